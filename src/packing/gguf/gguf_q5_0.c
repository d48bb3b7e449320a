/* SPDX-License-Identifier: MIT
 * gguf_q5_0.c - GGUF's Q5_0: 32 columns in 22 bytes.
 *
 *     w = d * (q - 16)
 *
 * f16 d; 4 bytes of fifth bits; 16 bytes of nibbles.
 */
#include "packing/gguf/gguf_block.h"
#include "packing/suspect.h"

static void unpack(const unsigned char *block, uint8_t *code, struct tare_block_numbers *numbers)
{
    numbers->scale = tare_block_half(block);
    numbers->offset = 16;
    tare_block_nibbles(block + 6, code);
    tare_block_fifth_bit(block + 2, code);
}

static const struct tare_block_kind kind = {.bits = 5, .group_size = 32, .dtype = TARE_F16, .unpack = unpack};

const struct tare_packing tare_packing_gguf_q5_0 = {
    .name = "gguf-q5_0",
    .suffix = {".weight"},
    .key = TARE_PART_WEIGHT,
    .rowwise = true,
    .codes = TARE_CODE_INTEGER,
    .mode = TARE_MLX_AFFINE,
    .blocks = TARE_Q5_0,
    .block = &kind,
    .shape = tare_block_shape,
    .decode = tare_block_decode,
    .suspect = &tare_suspect_blocks,
};
