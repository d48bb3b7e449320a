/* SPDX-License-Identifier: MIT
 * half.h - 16-bit floats to float32 and back, rounded to nearest even. */
#ifndef TARE_BASE_HALF_H
#define TARE_BASE_HALF_H

#include <stdint.h>
#include <string.h>

static inline float tare_bits_float(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t tare_float_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float tare_from_bfloat16(uint16_t half)
{
    return tare_bits_float((uint32_t)half << 16);
}

/* Rounds to nearest, ties to even: adding 0x7fff, and 1 more when the last kept bit is odd, carries into that bit. */
static inline uint16_t tare_to_bfloat16(float value)
{
    const uint32_t bits = tare_float_bits(value);
    /* A NaN stays a NaN and becomes a quiet one. */
    if ((bits & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* binary16: 1 sign, 5 exponent (bias 15), 10 fraction bits. */
static inline float tare_from_float16(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    const uint32_t exponent = half >> 10 & 31, fraction = half & 0x3ff;
    if (exponent == 31)
        return tare_bits_float(sign | 0x7f800000 | fraction << 13);
    if (exponent)
        return tare_bits_float(sign | (exponent + 112) << 23 | fraction << 13);
    const float small = (float)fraction * 0x1p-24f; /* subnormal: exact */
    return tare_bits_float(sign | tare_float_bits(small));
}

/* The same for 13 dropped bits: 0xfff is half a unit less one, and 0x38000000 changes the bias from 127 to 15. */
static inline uint16_t tare_to_float16(float value)
{
    const uint32_t bits = tare_float_bits(value);
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    const uint32_t size = bits & 0x7fffffff;
    if (size > 0x7f800000)
        return (uint16_t)(sign | 0x7e00 | (size >> 13 & 0x3ff));
    if (size >= 0x477ff000) /* 65520 and more round to infinity */
        return (uint16_t)(sign | 0x7c00);
    if (size < 0x38800000) { /* below 2^-14: a multiple of 2^-24; adding 2^-1 aligns it so that the FPU rounds */
        const float aligned = tare_bits_float(size) + 0.5f;
        return (uint16_t)(sign | (tare_float_bits(aligned) - 0x3f000000));
    }
    return (uint16_t)(sign | ((size + 0xfff + (size >> 13 & 1) - 0x38000000) >> 13));
}

#endif
