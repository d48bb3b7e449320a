/* SPDX-License-Identifier: MIT
 * gguf_tq2_0.c - GGUF's TQ2_0: 256 columns in 66 bytes.
 *
 *     w = d * (q - 1)
 *
 * 64 bytes of pairs; f16 d. Of 128 columns, byte l of 32 has columns l, l + 32, l + 64 and l + 96, the lowest bits first.
 */
#include "packing/gguf/gguf_block.h"

static void unpack(const unsigned char *block, uint8_t *code, struct tare_block_numbers *numbers)
{
    numbers->scale = tare_block_half(block + 64);
    numbers->offset = 1;
    memset(code, 0, 256);
    tare_block_add_pairs(block, 0, code);
}

static const struct tare_block_kind kind = {.bits = 2, .group_size = 256, .dtype = TARE_F16, .unpack = unpack};

const struct tare_packing tare_packing_gguf_tq2_0 = {
    .name = "gguf-tq2_0",
    .suffix = {".weight"},
    .key = TARE_PART_WEIGHT,
    .rowwise = true,
    .uncentered = true,
    .codes = TARE_CODE_INTEGER,
    .mode = TARE_MLX_AFFINE,
    .blocks = TARE_TQ2_0,
    .block = &kind,
    .shape = tare_block_shape,
    .decode = tare_block_decode,
};
