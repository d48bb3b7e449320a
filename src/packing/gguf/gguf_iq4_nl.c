/* SPDX-License-Identifier: MIT
 * gguf_iq4_nl.c - GGUF's IQ4_NL: 32 columns in 18 bytes.
 *
 *     w = d * T[n]
 *
 * f16 d; 16 bytes of nibbles. T is tare_block_nonlinear; the code is T[n] + 128.
 */
#include "packing/gguf/gguf_block.h"

static void unpack(const unsigned char *block, uint8_t *code, struct tare_block_numbers *numbers)
{
    numbers->scale = tare_block_half(block);
    numbers->offset = 128;
    tare_block_nibbles(block + 2, code);
    tare_block_look_up(32, code);
}

static const struct tare_block_kind kind = {.bits = 8, .group_size = 32, .dtype = TARE_F16, .unpack = unpack};

const struct tare_packing tare_packing_gguf_iq4_nl = {
    .name = "gguf-iq4_nl",
    .suffix = {".weight"},
    .key = TARE_PART_WEIGHT,
    .rowwise = true,
    .codes = TARE_CODE_INTEGER,
    .mode = TARE_MLX_AFFINE,
    .table = &tare_block_nonlinear,
    .blocks = TARE_IQ4_NL,
    .block = &kind,
    .shape = tare_block_shape,
    .decode = tare_block_decode,
};
