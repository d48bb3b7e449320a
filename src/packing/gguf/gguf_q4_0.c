/* SPDX-License-Identifier: MIT
 * gguf_q4_0.c - GGUF's Q4_0: 32 columns in 18 bytes.
 *
 *     w = d * (q - 8)
 *
 * f16 d; 16 bytes of nibbles.
 */
#include "packing/gguf/gguf_block.h"
#include "packing/suspect.h"

static void unpack(const unsigned char *block, uint8_t *code, struct tare_block_numbers *numbers)
{
    numbers->scale = tare_block_half(block);
    numbers->offset = 8;
    tare_block_nibbles(block + 2, code);
}

static const struct tare_block_kind kind = {.bits = 4, .group_size = 32, .dtype = TARE_F16, .unpack = unpack};

const struct tare_packing tare_packing_gguf_q4_0 = {
    .name = "gguf-q4_0",
    .suffix = {".weight"},
    .key = TARE_PART_WEIGHT,
    .rowwise = true,
    .codes = TARE_CODE_INTEGER,
    .mode = TARE_MLX_AFFINE,
    .blocks = TARE_Q4_0,
    .block = &kind,
    .shape = tare_block_shape,
    .decode = tare_block_decode,
    .to_tiles = tare_q4_0_to_tiles,
    .suspect = &tare_suspect_blocks,
};
