/* SPDX-License-Identifier: MIT
 * gguf_q4_0.c - GGUF's Q4_0: 32 columns in 18 bytes.
 *
 *     w = d * (q - 8)
 *
 * f16 d; 16 bytes of nibbles.
 */
#include "packing/gguf/gguf_block.h"
#include "packing/suspect.h"

static void unpack(const unsigned char *block, uint8_t *code, float *scale, float *offset)
{
    *scale = tare_block_half(block);
    *offset = 8;
    tare_block_nibbles(block + 2, code);
}

TARE_BLOCK_FUNCTIONS(unpack, 4, 32, TARE_F16)

const struct tare_packing tare_packing_gguf_q4_0 = {
    .name = "gguf-q4_0",
    .suffix = {".weight"},
    .key = TARE_PART_WEIGHT,
    .codes = TARE_CODE_INTEGER,
    .mode = TARE_MLX_AFFINE,
    .blocks = TARE_Q4_0,
    .shape = shape,
    .decode = decode,
    .suspect = &tare_suspect_blocks,
};
