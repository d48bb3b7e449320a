/* SPDX-License-Identifier: MIT
 * gguf_q4_k.c - GGUF's Q4_K: 256 columns in 144 bytes.
 *
 *     w = d * sc * q - dmin * mn
 *
 * f16 d, f16 dmin; 12 bytes of 6-bit scales and minima of 32 columns; 128 bytes: four runs of 32, whose low nibbles
 * are 32 columns and the high ones the next 32. d * sc has 17 bits: float32 scales hold it.
 */
#include "packing/gguf/gguf_block.h"

static void unpack(const unsigned char *block, uint8_t *code, struct tare_block_numbers *numbers)
{
    numbers->scale = tare_block_half(block);
    numbers->offset = -tare_block_half(block + 2);
    tare_block_nibble_runs(block + 16, code);
    for (int k = 0; k < 8; k++)
        tare_block_six_bits(block + 4, k, &numbers->factor[k], &numbers->least[k]);
}

static const struct tare_block_kind kind = {.bits = 4, .group_size = 32, .dtype = TARE_F32, .unpack = unpack};

const struct tare_packing tare_packing_gguf_q4_k = {
    .name = "gguf-q4_k",
    .suffix = {".weight"},
    .key = TARE_PART_WEIGHT,
    .rowwise = true,
    .biases = true,
    .codes = TARE_CODE_INTEGER,
    .mode = TARE_MLX_AFFINE,
    .blocks = TARE_Q4_K,
    .block = &kind,
    .shape = tare_block_shape,
    .decode = tare_block_decode,
    .factoring = &tare_block_halves,
};
