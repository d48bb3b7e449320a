/* SPDX-License-Identifier: MIT
 * gguf_q3_k.c - GGUF's Q3_K: 256 columns in 110 bytes.
 *
 *     w = d * (sc - 32) * (q - 4)
 *
 * 32 bytes of third bits; 64 bytes of low bits, as in Q2_K; 12 bytes of 6-bit scales of 16 columns; f16 d. Bit k of
 * byte l is the third bit of column l + 32k. Scale k has its low 4 bits in the nibbles of the first 8 bytes, its high
 * 2 in byte 8 + k % 4.
 */
#include <string.h>

#include "packing/gguf/gguf_block.h"

static void unpack(const unsigned char *block, uint8_t *code, struct tare_block_numbers *numbers)
{
    const unsigned char *scales = block + 96;
    numbers->scale = tare_block_half(block + 108);
    numbers->offset = 4;
    memset(code, 0, 256);
    tare_block_add_pairs(block + 32, 0, code);
    tare_block_add_bits(block, 2, code);
    for (int k = 0; k < 16; k++) {
        const int low = scales[k % 8] >> (k < 8 ? 0 : 4) & 15, high = scales[8 + k % 4] >> 2 * (k / 4) & 3;
        numbers->factor[k] = (int8_t)((low | high << 4) - 32);
    }
}

static const struct tare_block_kind kind = {.bits = 3, .group_size = 16, .dtype = TARE_F32, .unpack = unpack};

const struct tare_packing tare_packing_gguf_q3_k = {
    .name = "gguf-q3_k",
    .suffix = {".weight"},
    .key = TARE_PART_WEIGHT,
    .rowwise = true,
    .codes = TARE_CODE_INTEGER,
    .mode = TARE_MLX_AFFINE,
    .blocks = TARE_Q3_K,
    .block = &kind,
    .shape = tare_block_shape,
    .decode = tare_block_decode,
    .factoring = &tare_block_halves,
};
