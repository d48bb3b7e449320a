/* SPDX-License-Identifier: MIT
 * gguf_q2_k.c - GGUF's Q2_K: 256 columns in 84 bytes.
 *
 *     w = d * sc * q - dmin * mn
 *
 * 16 bytes, each a 4-bit scale (low) and minimum of 16 columns; 64 bytes of codes; f16 d, f16 dmin. Byte l of 32 has
 * columns l, l + 32, l + 64, l + 96 of 128, the lowest bits first.
 */
#include <string.h>

#include "packing/gguf/gguf_block.h"

static void unpack(const unsigned char *block, uint8_t *code, struct tare_block_numbers *numbers)
{
    numbers->scale = tare_block_half(block + 80);
    numbers->offset = -tare_block_half(block + 82);
    memset(code, 0, 256);
    tare_block_add_pairs(block + 16, 0, code);
    for (int k = 0; k < 16; k++) {
        numbers->factor[k] = (int8_t)(block[k] & 15);
        numbers->least[k] = block[k] >> 4;
    }
}

static const struct tare_block_kind kind = {.bits = 2, .group_size = 16, .dtype = TARE_F32, .unpack = unpack};

const struct tare_packing tare_packing_gguf_q2_k = {
    .name = "gguf-q2_k",
    .suffix = {".weight"},
    .key = TARE_PART_WEIGHT,
    .rowwise = true,
    .biases = true,
    .codes = TARE_CODE_INTEGER,
    .mode = TARE_MLX_AFFINE,
    .blocks = TARE_Q2_K,
    .block = &kind,
    .shape = tare_block_shape,
    .decode = tare_block_decode,
    .factoring = &tare_block_halves,
};
