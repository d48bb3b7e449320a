/* SPDX-License-Identifier: MIT
 * gguf_tq1_0.c - GGUF's TQ1_0: 256 columns in 54 bytes.
 *
 *     w = d * (q - 1)
 *
 * 48 bytes of five columns each: byte l of the first 32 has columns l, l + 32 .. l + 128, byte l of the next 16 columns
 * 160 + l, 176 + l .. 224 + l; 4 bytes of four columns, byte l columns 240 + l, 244 + l .. 252 + l; f16 d. A byte is the
 * fraction 0.q0 q1 q2 q3 q4 to the base 3, times 256 and rounded up: digit n is the whole part of three times what the
 * byte, times 3^n, has left in its eight bits.
 */
#include "packing/gguf/gguf_block.h"

/* Column l + n * bytes has digit n of byte l. */
static void put_digits(const unsigned char *from, int bytes, int digits, uint8_t *code)
{
    static const uint8_t power[5] = {1, 3, 9, 27, 81};
    for (int n = 0; n < digits; n++, code += bytes)
        for (int l = 0; l < bytes; l++)
            code[l] = (uint8_t)(3U * (uint8_t)(from[l] * power[n]) >> 8);
}

static void unpack(const unsigned char *block, uint8_t *code, struct tare_block_numbers *numbers)
{
    numbers->scale = tare_block_half(block + 52);
    numbers->offset = 1;
    put_digits(block, 32, 5, code);
    put_digits(block + 32, 16, 5, code + 160);
    put_digits(block + 48, 4, 4, code + 240);
}

static const struct tare_block_kind kind = {.bits = 2, .group_size = 256, .dtype = TARE_F16, .unpack = unpack};

const struct tare_packing tare_packing_gguf_tq1_0 = {
    .name = "gguf-tq1_0",
    .suffix = {".weight"},
    .key = TARE_PART_WEIGHT,
    .rowwise = true,
    .uncentered = true,
    .codes = TARE_CODE_INTEGER,
    .mode = TARE_MLX_AFFINE,
    .blocks = TARE_TQ1_0,
    .block = &kind,
    .shape = tare_block_shape,
    .decode = tare_block_decode,
};
