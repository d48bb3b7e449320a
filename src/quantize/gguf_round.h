/* SPDX-License-Identifier: MIT
 * gguf_round.h - what the files that round blocks of GGUF share: gguf_round.c (Q4_0 to Q8_0, and Q6_K),
 * gguf_round_k.c (Q2_K to Q5_K), gguf_round_iq4.c.
 */
#ifndef TARE_QUANTIZE_GGUF_ROUND_H
#define TARE_QUANTIZE_GGUF_ROUND_H

#include <math.h>
#include <string.h>

#include "base/half.h"
#include "quantize/gguf_types.h"

#define LEAST 1e-15f /* below it a group counts as all 0 */

static inline unsigned char *put_half(unsigned char *to, float value)
{
    const uint16_t half = tare_to_float16(value);
    to[0] = (unsigned char)(half & 255);
    to[1] = (unsigned char)(half >> 8);
    return to + 2;
}

/* What a float is when it was stored as float16. */
static inline float as_half(float value)
{
    return tare_from_float16(tare_to_float16(value));
}

/* The value farthest from 0, with its sign; of equals the first. */
static inline float farthest(const float *x, int64_t n)
{
    float largest = 0, found = 0;
    for (int64_t k = 0; k < n; k++)
        if (fabsf(x[k]) > largest) {
            largest = fabsf(x[k]);
            found = x[k];
        }
    return found;
}

/* The nearest whole number, halves to even, read from the low bits of the sum with 1.5 * 2^23. So has ggml it: beyond
 * 2^22, where scales of denormal numbers lead, the result is of no use but the same. */
static inline int whole_of(float value)
{
    const float sum = value + 12582912.0f;
    int bits;
    memcpy(&bits, &sum, sizeof bits);
    return (bits & 0x7fffff) - 0x400000;
}

static inline int nearest(float value, int low, int high)
{
    const int whole = whole_of(value);
    return whole < low ? low : whole > high ? high : whole;
}

/* Two bits of each of 128 codes, from bit `shift` on, into 32 bytes: those of columns l, l + 32, l + 64, l + 96 in byte
 * l, the lowest first (Q2_K, Q3_K, Q6_K). */
static inline void put_pairs(const uint8_t *code, int shift, unsigned char *to)
{
    for (int l = 0; l < 32; l++) {
        unsigned pairs = 0;
        for (int k = 0; k < 4; k++)
            pairs |= (code[l + 32 * k] >> shift & 3u) << 2 * k;
        to[l] = (unsigned char)pairs;
    }
}

/* One bit of each of 256 codes into 32 bytes: that of column l + 32k is bit k of byte l (Q3_K, Q5_K). */
static inline void put_bits(const uint8_t *code, int shift, unsigned char *to)
{
    for (int l = 0; l < 32; l++) {
        unsigned bits = 0;
        for (int k = 0; k < 8; k++)
            bits |= (code[l + 32 * k] >> shift & 1u) << k;
        to[l] = (unsigned char)bits;
    }
}

#endif
