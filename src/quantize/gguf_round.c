/* SPDX-License-Identifier: MIT
 * gguf_round.c - rows of floats to blocks of GGUF, with the bits of ggml's reference functions.
 *
 * Q4_0 and Q5_0 put the value farthest from 0 on the lowest code, Q4_1 and Q5_1 the least value on 0, and Q8_0 the
 * largest size on 127. d is a float16, but codes follow from the float32 before it was rounded. Codes are rounded by
 * adding a half and cutting off, Q8_0's by roundf().
 * Q6_K has 16 groups of 16 columns; each tries nineteen scales and keeps the one whose error, weighted by x^2, is least;
 * their scales are integers of 8 bits times the block's d.
 * Source: docs/quantizing.md; docs/layouts.md, "GGUF blocks"; ggml's results.
 */
#include "quantize/gguf_round.h"

#include "quantize/quantizing.h"

#define COLUMNS 32

/* Codes of 4 or 5 bits: the fifth bits of all columns first, then column k and k + 16 in a byte. */
static void put_codes(unsigned char *to, const uint8_t code[COLUMNS], int bits)
{
    if (bits == 5) {
        uint32_t high = 0;
        for (int k = 0; k < COLUMNS; k++)
            high |= (uint32_t)(code[k] >> 4) << k;
        for (int k = 0; k < 4; k++)
            *to++ = (unsigned char)(high >> 8 * k & 255);
    }
    for (int k = 0; k < COLUMNS / 2; k++)
        to[k] = (unsigned char)((code[k] & 15) | (code[k + COLUMNS / 2] & 15) << 4);
}

static void put_symmetric(const float *x, int bits, unsigned char *to)
{
    uint8_t code[COLUMNS];
    const int half = 1 << (bits - 1), most = 2 * half - 1;
    const float d = farthest(x, COLUMNS) / (float)-half, inverse = d != 0 ? 1.0f / d : 0.0f;
    for (int k = 0; k < COLUMNS; k++) {
        const int whole = (int)(x[k] * inverse + ((float)half + 0.5f));
        code[k] = (uint8_t)(whole < most ? whole : most);
    }
    put_codes(put_half(to, d), code, bits);
}

static void put_ranged(const float *x, int bits, unsigned char *to)
{
    uint8_t code[COLUMNS];
    const int most = (1 << bits) - 1;
    float low = x[0], high = x[0];
    for (int k = 1; k < COLUMNS; k++) {
        low = x[k] < low ? x[k] : low;
        high = x[k] > high ? x[k] : high;
    }
    const float d = (high - low) / (float)most, inverse = d != 0 ? 1.0f / d : 0.0f;
    for (int k = 0; k < COLUMNS; k++) {
        const int whole = (int)((x[k] - low) * inverse + 0.5f);
        code[k] = (uint8_t)(whole < most ? whole : most);
    }
    put_codes(put_half(put_half(to, d), low), code, bits);
}

void tare_round_Q4_0(const float *x, unsigned char *to)
{
    put_symmetric(x, 4, to);
}

void tare_round_Q5_0(const float *x, unsigned char *to)
{
    put_symmetric(x, 5, to);
}

void tare_round_Q4_1(const float *x, unsigned char *to)
{
    put_ranged(x, 4, to);
}

void tare_round_Q5_1(const float *x, unsigned char *to)
{
    put_ranged(x, 5, to);
}

void tare_round_Q8_0(const float *x, unsigned char *to)
{
    const float d = fabsf(farthest(x, COLUMNS)) / 127.0f, inverse = d != 0 ? 1.0f / d : 0.0f;
    to = put_half(to, d);
    for (int k = 0; k < COLUMNS; k++)
        to[k] = (unsigned char)((unsigned)(int)roundf(x[k] * inverse) & 255);
}

/* ---- Q6_K ------------------------------------------------------------------------------------------------------ */

/* The codes of 16 values at a scale, and how well they fit: sums of x^2 * x * code and x^2 * code^2. */
static void fit(const float *x, float inverse, uint8_t *code, float *product, float *square)
{
    *product = *square = 0;
    for (int k = 0; k < 16; k++) {
        const int whole = nearest(inverse * x[k], -32, 31);
        const float weight = x[k] * x[k];
        code[k] = (uint8_t)(whole + 32);
        *product += weight * x[k] * (float)whole;
        *square += weight * (float)whole * (float)whole;
    }
}

/* The scale of 16 values that fits best, and their codes at it: -32 over the farthest value, or up to nine steps of 0.1
 * to either side of it. */
static float best_scale(const float *x, uint8_t *code)
{
    const float edge = farthest(x, 16);
    float product, square;
    uint8_t other[16];
    memset(code, 0, 16);
    if (fabsf(edge) < LEAST)
        return 0;
    fit(x, -32.0f / edge, code, &product, &square);
    float scale = square != 0 ? product / square : 0, best = scale * product;
    for (int off = -9; off <= 9; off++) {
        if (!off)
            continue;
        fit(x, -(32.0f + 0.1f * (float)off) / edge, other, &product, &square);
        if (!(square > 0 && product * product > best * square))
            continue;
        memcpy(code, other, 16);
        scale = product / square;
        best = scale * product;
    }
    return scale;
}

/* The low halves of the codes of 128 columns in 64 bytes. */
static void put_halves(const uint8_t *code, unsigned char *to)
{
    for (int k = 0; k < 64; k++)
        to[k] = (unsigned char)((code[k] & 15) | (code[k + 64] & 15) << 4);
}

void tare_round_Q6_K(const float *x, unsigned char *to)
{
    uint8_t code[256];
    float scale[16];
    unsigned char *scales = to + 192;
    for (int g = 0; g < 16; g++)
        scale[g] = best_scale(x + 16 * g, code + 16 * g);
    const float edge = farthest(scale, 16);
    memset(to, 0, 210);
    if (fabsf(edge) < LEAST)
        return;
    const float inverse = -128.0f / edge;
    put_half(to + 208, 1 / inverse);
    const float d = as_half(1 / inverse);
    for (int g = 0; g < 16; g++) {
        const int whole = nearest(inverse * scale[g], -128, 127);
        const float step = d * (float)whole;
        scales[g] = (unsigned char)((unsigned)whole & 255);
        for (int k = 0; step != 0 && k < 16; k++) /* at a scale of 0 they stay those of best_scale() */
            code[16 * g + k] = (uint8_t)(nearest(x[16 * g + k] / step, -32, 31) + 32);
    }
    for (int half = 0; half < 2; half++) {
        put_halves(code + 128 * half, to + 64 * half);
        put_pairs(code + 128 * half, 4, to + 128 + 32 * half);
    }
}

void tare_round_blocks(const float *row, int64_t n, enum tare_dtype type, unsigned char *to)
{
    const struct tare_gguf_blocks *blocks = tare_gguf_blocks_of(type);
    const struct tare_block_size size = tare_dtype_block(type);
    for (int64_t k = 0; k < n; k += size.columns, to += size.bytes)
        blocks->round(row + k, to);
}
