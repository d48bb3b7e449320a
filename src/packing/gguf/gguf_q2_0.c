/* SPDX-License-Identifier: MIT
 * gguf_q2_0.c - GGUF's Q2_0: 64 columns in 18 bytes.
 *
 *     w = d * (q - 1)
 *
 * f16 d; 16 bytes of four columns each, the lowest bits first.
 */
#include "packing/gguf/gguf_block.h"

static void unpack(const unsigned char *block, uint8_t *code, struct tare_block_numbers *numbers)
{
    numbers->scale = tare_block_half(block);
    numbers->offset = 1;
    for (int i = 0; i < 64; i++)
        code[i] = block[2 + i / 4] >> 2 * (i % 4) & 3;
}

static const struct tare_block_kind kind = {.bits = 2, .group_size = 64, .dtype = TARE_F16, .unpack = unpack};

const struct tare_packing tare_packing_gguf_q2_0 = {
    .name = "gguf-q2_0",
    .suffix = {".weight"},
    .key = TARE_PART_WEIGHT,
    .rowwise = true,
    .uncentered = true,
    .codes = TARE_CODE_INTEGER,
    .mode = TARE_MLX_AFFINE,
    .blocks = TARE_Q2_0,
    .block = &kind,
    .shape = tare_block_shape,
    .decode = tare_block_decode,
};
