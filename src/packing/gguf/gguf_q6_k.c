/* SPDX-License-Identifier: MIT
 * gguf_q6_k.c - GGUF's Q6_K: 256 columns in 210 bytes.
 *
 *     w = d * sc * (q - 32)
 *
 * 128 bytes of nibbles, 64 of high bits, 16 signed bytes of scales of 16 columns, f16 d. Of 128 columns: 64 bytes, low
 * nibbles columns 0 to 63, high ones 64 to 127; 32 bytes of high bits as in Q2_K.
 */
#include "packing/gguf/gguf_block.h"

static void unpack(const unsigned char *block, uint8_t *code, struct tare_block_numbers *numbers)
{
    numbers->scale = tare_block_half(block + 208);
    numbers->offset = 32;
    for (int half = 0; half < 2; half++)
        for (int l = 0; l < 64; l++) {
            code[128 * half + l] = block[64 * half + l] & 15;
            code[128 * half + 64 + l] = block[64 * half + l] >> 4;
        }
    tare_block_add_pairs(block + 128, 4, code);
    memcpy(numbers->factor, block + 192, 16);
}

static const struct tare_block_kind kind = {.bits = 6, .group_size = 16, .dtype = TARE_F32, .unpack = unpack};

const struct tare_packing tare_packing_gguf_q6_k = {
    .name = "gguf-q6_k",
    .suffix = {".weight"},
    .key = TARE_PART_WEIGHT,
    .rowwise = true,
    .codes = TARE_CODE_INTEGER,
    .mode = TARE_MLX_AFFINE,
    .blocks = TARE_Q6_K,
    .block = &kind,
    .shape = tare_block_shape,
    .decode = tare_block_decode,
    .factoring = &tare_block_halves,
};
