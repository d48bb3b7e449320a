/* SPDX-License-Identifier: MIT
 * neon.h - what the kernels of 64-bit ARM share: two registers of four floats as one of eight. Sums of a row are added
 * in the same order wherever they are made. For files that are compiled for ARM. */
#ifndef TARE_KERNELS_NEON_H
#define TARE_KERNELS_NEON_H

#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#define TARE_INLINE static inline __attribute__((always_inline)) /* kinds and counts are constants where called */

struct tare_eight {
    float32x4_t low, high;
};

/* The first n of four floats, zeros after them; n may be anything. */
TARE_INLINE float32x4_t tare_four_load(const float *x, int64_t n)
{
    float some[4] = {0};
    if (n >= 4)
        return vld1q_f32(x);
    for (int64_t i = 0; i < n; i++)
        some[i] = x[i];
    return vld1q_f32(some);
}

TARE_INLINE void tare_four_store(float *x, int64_t n, float32x4_t v)
{
    float some[4];
    if (n >= 4) {
        vst1q_f32(x, v);
        return;
    }
    vst1q_f32(some, v);
    for (int64_t i = 0; i < n; i++)
        x[i] = some[i];
}

TARE_INLINE struct tare_eight tare_eight_load(const float *x, int64_t n)
{
    if (n >= 8)
        return (struct tare_eight){vld1q_f32(x), vld1q_f32(x + 4)};
    return (struct tare_eight){tare_four_load(x, n), n > 4 ? tare_four_load(x + 4, n - 4) : vdupq_n_f32(0)};
}

TARE_INLINE void tare_eight_store(float *x, int64_t n, struct tare_eight v)
{
    tare_four_store(x, n, v.low);
    if (n > 4)
        tare_four_store(x + 4, n - 4, v.high);
}

TARE_INLINE struct tare_eight tare_eight_zero(void)
{
    return (struct tare_eight){vdupq_n_f32(0), vdupq_n_f32(0)};
}

TARE_INLINE struct tare_eight tare_eight_madd(struct tare_eight a, struct tare_eight b, struct tare_eight sum)
{
    return (struct tare_eight){vfmaq_f32(sum.low, a.low, b.low), vfmaq_f32(sum.high, a.high, b.high)};
}

TARE_INLINE float tare_eight_total(struct tare_eight v)
{
    return vaddvq_f32(vaddq_f32(v.low, v.high));
}

/* Four numbers of 16 bits at any address. */
TARE_INLINE float32x4_t tare_four_f16(const unsigned char *bytes)
{
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(bytes)));
}

TARE_INLINE float32x4_t tare_four_bf16(const unsigned char *bytes)
{
    return vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(vld1_u8(bytes)), 16));
}

TARE_INLINE float32x4_t tare_four_f32(const unsigned char *bytes)
{
    return vreinterpretq_f32_u8(vld1q_u8(bytes));
}

#endif
