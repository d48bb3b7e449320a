/* SPDX-License-Identifier: MIT
 * avx2_halves.c - float32 to float16 and bfloat16 for AVX2 with F16C, 8 floats a register. */
#include "kernels/kernels.h"

#if defined(__AVX2__)
#include <immintrin.h>

/* vcvtps2ph makes a NaN quiet and keeps the highest bits of its payload, as tare_to_float16() does. */
static void to_float16(const float *x, int64_t n, void *to)
{
    unsigned char *bytes = to;
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128((__m128i *)(void *)(bytes + 2 * i),
                         _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT));
    tare_kernels_scalar.to_float16(x + i, n - i, bytes + 2 * i);
}

/* Rounds the bits as integers, to nearest even; the low half of each word of the result is meaningless. */
static inline __m256i rounded(__m256 x)
{
    const __m256i bits = _mm256_castps_si256(x);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i near = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    return _mm256_blendv_epi8(near, _mm256_or_si256(bits, _mm256_set1_epi32(0x400000)), nan);
}

static void to_bfloat16(const float *x, int64_t n, void *to)
{
    unsigned char *bytes = to;
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const __m256i low = _mm256_srli_epi32(rounded(_mm256_loadu_ps(x + i)), 16);
        const __m256i high = _mm256_srli_epi32(rounded(_mm256_loadu_ps(x + i + 8)), 16);
        /* Packing works in halves of 128 bits, so the middle quarters change places. */
        const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(low, high), 0xd8);
        _mm256_storeu_si256((__m256i *)(void *)(bytes + 2 * i), packed);
    }
    tare_kernels_scalar.to_bfloat16(x + i, n - i, bytes + 2 * i);
}

void tare_kernels_halves_avx2(struct tare_kernels *k)
{
    k->to_float16 = to_float16;
    k->to_bfloat16 = to_bfloat16;
}
#else
void tare_kernels_halves_avx2(struct tare_kernels *k)
{
    (void)k;
}
#endif
