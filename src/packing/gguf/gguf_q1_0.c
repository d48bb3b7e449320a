/* SPDX-License-Identifier: MIT
 * gguf_q1_0.c - GGUF's Q1_0: 128 columns in 18 bytes.
 *
 *     w = d where the bit is set, else -d
 *
 * f16 d; 16 bytes of eight columns each, the lowest bit first. The code is twice the bit, and its zero is 1.
 */
#include "packing/gguf/gguf_block.h"

static void unpack(const unsigned char *block, uint8_t *code, struct tare_block_numbers *numbers)
{
    numbers->scale = tare_block_half(block);
    numbers->offset = 1;
    for (int i = 0; i < 128; i++)
        code[i] = (uint8_t)((block[2 + i / 8] >> i % 8 & 1) << 1);
}

static const struct tare_block_kind kind = {.bits = 2, .group_size = 128, .dtype = TARE_F16, .unpack = unpack};

const struct tare_packing tare_packing_gguf_q1_0 = {
    .name = "gguf-q1_0",
    .suffix = {".weight"},
    .key = TARE_PART_WEIGHT,
    .rowwise = true,
    .uncentered = true,
    .codes = TARE_CODE_INTEGER,
    .mode = TARE_MLX_AFFINE,
    .blocks = TARE_Q1_0,
    .block = &kind,
    .shape = tare_block_shape,
    .decode = tare_block_decode,
};
