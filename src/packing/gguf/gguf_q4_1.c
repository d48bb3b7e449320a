/* SPDX-License-Identifier: MIT
 * gguf_q4_1.c - GGUF's Q4_1: 32 columns in 20 bytes.
 *
 *     w = d * q + m
 *
 * f16 d, f16 m; 16 bytes of nibbles.
 */
#include "packing/gguf/gguf_block.h"
#include "packing/suspect.h"

static void unpack(const unsigned char *block, uint8_t *code, struct tare_block_numbers *numbers)
{
    numbers->scale = tare_block_half(block);
    numbers->offset = tare_block_half(block + 2);
    tare_block_nibbles(block + 4, code);
}

static const struct tare_block_kind kind = {.bits = 4, .group_size = 32, .dtype = TARE_F16, .unpack = unpack};

const struct tare_packing tare_packing_gguf_q4_1 = {
    .name = "gguf-q4_1",
    .suffix = {".weight"},
    .key = TARE_PART_WEIGHT,
    .rowwise = true,
    .biases = true,
    .codes = TARE_CODE_INTEGER,
    .mode = TARE_MLX_AFFINE,
    .blocks = TARE_Q4_1,
    .block = &kind,
    .shape = tare_block_shape,
    .decode = tare_block_decode,
    .suspect = &tare_suspect_blocks,
};
