/* SPDX-License-Identifier: MIT
 * small_float.h - floats of 4 and 8 bits to float32: e2m1, e4m3 (fn), e8m0. Source: OCP Microscaling Formats 1.0,
 * section 5. */
#ifndef TARE_BASE_SMALL_FLOAT_H
#define TARE_BASE_SMALL_FLOAT_H

#include "base/half.h"

/* 1 sign, 4 exponent (bias 7), 3 fraction bits; no infinity, 0x7f and 0xff are NaN. */
static inline float tare_from_e4m3(uint8_t byte)
{
    const uint32_t size = byte & 0x7f, sign = (uint32_t)(byte & 0x80) << 24;
    if (size == 0x7f)
        return tare_bits_float(sign | 0x7fc00000);
    /* Read as a float32 with the same fields the exponent's bias is off by 120. Subnormals scale likewise, and 2^120
     * is exact. */
    return tare_bits_float(sign | tare_float_bits(tare_bits_float(size << 20) * 0x1p120f));
}

/* A power of two, 2^(byte - 127); 0xff is NaN. 0 is 2^-127, a subnormal float32. */
static inline float tare_from_e8m0(uint8_t byte)
{
    return byte == 0xff ? tare_bits_float(0x7fc00000) : tare_bits_float(byte ? (uint32_t)byte << 23 : 0x00400000);
}

/* The byte of a power of two that tare_from_e8m0() gave. */
static inline uint8_t tare_to_e8m0(float value)
{
    const uint32_t bits = tare_float_bits(value);
    return (uint8_t)(bits >> 23 & 0xff);
}

/* 0, .5, 1, 1.5, 2, 3, 4, 6; the sign is bit 3. */
static inline float tare_from_e2m1(uint8_t nibble)
{
    static const float values[16] = {0.0f,  0.5f,  1.0f,  1.5f,  2.0f,  3.0f,  4.0f,  6.0f,
                                     -0.0f, -0.5f, -1.0f, -1.5f, -2.0f, -3.0f, -4.0f, -6.0f};
    return values[nibble & 15];
}

#endif
