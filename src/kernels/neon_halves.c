/* SPDX-License-Identifier: MIT
 * neon_halves.c - float32 to float16 and bfloat16 for 64-bit ARM, 8 floats at a time. */
#include "kernels/kernels.h"

#if defined(__aarch64__) && defined(__ARM_FEATURE_DOTPROD)
#include "kernels/neon.h"

/* fcvtn makes a NaN quiet and keeps the highest bits of its payload, as tare_to_float16() does. */
static void to_float16(const float *x, int64_t n, void *to)
{
    unsigned char *bytes = to;
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const float16x8_t half = vcvt_high_f16_f32(vcvt_f16_f32(vld1q_f32(x + i)), vld1q_f32(x + i + 4));
        vst1q_u8(bytes + 2 * i, vreinterpretq_u8_f16(half));
    }
    tare_kernels_scalar.to_float16(x + i, n - i, bytes + 2 * i);
}

/* Rounds the bits as integers, to nearest even; the low half of each word of the result is meaningless. */
TARE_INLINE uint32x4_t rounded(const float *x)
{
    const float32x4_t v = vld1q_f32(x);
    const uint32x4_t bits = vreinterpretq_u32_f32(v);
    const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    const uint32x4_t near = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
    return vbslq_u32(vceqq_f32(v, v), near, vorrq_u32(bits, vdupq_n_u32(0x400000)));
}

static void to_bfloat16(const float *x, int64_t n, void *to)
{
    unsigned char *bytes = to;
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const uint16x8_t half = vshrn_high_n_u32(vshrn_n_u32(rounded(x + i), 16), rounded(x + i + 4), 16);
        vst1q_u8(bytes + 2 * i, vreinterpretq_u8_u16(half));
    }
    tare_kernels_scalar.to_bfloat16(x + i, n - i, bytes + 2 * i);
}

void tare_kernels_halves_neon(struct tare_kernels *k)
{
    k->to_float16 = to_float16;
    k->to_bfloat16 = to_bfloat16;
}
#else
void tare_kernels_halves_neon(struct tare_kernels *k)
{
    (void)k;
}
#endif
