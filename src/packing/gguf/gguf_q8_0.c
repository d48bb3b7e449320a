/* SPDX-License-Identifier: MIT
 * gguf_q8_0.c - GGUF's Q8_0: 32 columns in 34 bytes.
 *
 *     w = d * q
 *
 * f16 d; 32 signed bytes. The code is q + 128, which flips the highest bit; its zero is 128.
 */
#include "packing/gguf/gguf_block.h"
#include "packing/suspect.h"

static void unpack(const unsigned char *block, uint8_t *code, struct tare_block_numbers *numbers)
{
    numbers->scale = tare_block_half(block);
    numbers->offset = 128;
    for (int i = 0; i < 32; i++)
        code[i] = block[2 + i] ^ 0x80;
}

static const struct tare_block_kind kind = {.bits = 8, .group_size = 32, .dtype = TARE_F16, .unpack = unpack};

const struct tare_packing tare_packing_gguf_q8_0 = {
    .name = "gguf-q8_0",
    .suffix = {".weight"},
    .key = TARE_PART_WEIGHT,
    .rowwise = true,
    .codes = TARE_CODE_INTEGER,
    .mode = TARE_MLX_AFFINE,
    .blocks = TARE_Q8_0,
    .block = &kind,
    .shape = tare_block_shape,
    .decode = tare_block_decode,
    .to_tiles = tare_q8_0_to_tiles,
    .suspect = &tare_suspect_blocks,
};
