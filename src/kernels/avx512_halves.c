/* SPDX-License-Identifier: MIT
 * avx512_halves.c - float32 to float16 and bfloat16 for AVX-512, 16 floats a register.
 *
 * The processor's own vcvtneps2bf16 is of no use here: it takes denormals for zero.
 */
#include "kernels/kernels.h"

#if defined(__AVX512F__)
#include <immintrin.h>

static inline __mmask16 tail(int64_t n)
{
    const unsigned mask = n >= 16 ? 0xffff : (1u << n) - 1;
    return (__mmask16)mask;
}

/* vcvtps2ph makes a NaN quiet and keeps the highest bits of its payload, as tare_to_float16() does. */
static void to_float16(const float *x, int64_t n, void *to)
{
    unsigned char *bytes = to;
    for (int64_t i = 0; i < n; i += 16) {
        const __m512 v = _mm512_maskz_loadu_ps(tail(n - i), x + i);
        _mm256_mask_storeu_epi16(bytes + 2 * i, tail(n - i), _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
    }
}

static void to_bfloat16(const float *x, int64_t n, void *to)
{
    const __m512i one = _mm512_set1_epi32(1), half = _mm512_set1_epi32(0x7fff), quiet = _mm512_set1_epi32(0x400000);
    unsigned char *bytes = to;
    for (int64_t i = 0; i < n; i += 16) {
        const __m512 v = _mm512_maskz_loadu_ps(tail(n - i), x + i);
        const __m512i bits = _mm512_castps_si512(v);
        const __m512i odd = _mm512_and_epi32(_mm512_srli_epi32(bits, 16), one);
        const __m512i near = _mm512_add_epi32(bits, _mm512_add_epi32(odd, half));
        const __m512i whole = _mm512_mask_or_epi32(near, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), bits, quiet);
        _mm256_mask_storeu_epi16(bytes + 2 * i, tail(n - i), _mm512_cvtepi32_epi16(_mm512_srli_epi32(whole, 16)));
    }
}

void tare_kernels_halves_avx512(struct tare_kernels *k)
{
    k->to_float16 = to_float16;
    k->to_bfloat16 = to_bfloat16;
}
#else
void tare_kernels_halves_avx512(struct tare_kernels *k)
{
    (void)k;
}
#endif
