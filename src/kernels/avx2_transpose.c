/* SPDX-License-Identifier: MIT
 * avx2_transpose.c - awq's columns into mlx's rows: nibbles transposed eight words at a time, then words.
 *
 * A step takes 128 input rows and 16 words of each, one cache line a row, and gives 128 output rows of 64 bytes, one
 * cache line a row again. Between the two transposes the words wait in 8 KB, which the first cache holds.
 */
#include "kernels/transpose.h"

#if defined(__AVX2__) && defined(__F16C__)
#include <immintrin.h>
#include <stddef.h>
#include <string.h>

#include "base/awq_order.h"

#define BLOCKS 16 /* of eight input rows, in a step */
#define AHEAD 128 /* input rows that are prefetched for the next step */

bool tare_transpose_avx2(void)
{
    /* Every CPU with AVX2 has F16C, as kernels.c says. CPUID itself is not asked: in a virtual machine it is a call of the
     * hypervisor, which takes longer than reading a row. */
    return __builtin_cpu_supports("avx2");
}

static inline __m256i load(const unsigned char *at)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)at);
}

/* Transposes, in each 32-bit lane, the 8 x 8 matrix of nibbles that a[0..7] hold: quarters of 4 x 4 nibbles change
 * places, then those of 2 x 2, then single ones. */
static inline void transpose_nibbles(__m256i a[8])
{
    const __m256i bytes = _mm256_set1_epi16(0x00ff), nibbles = _mm256_set1_epi8(0x0f);
    for (int i = 0; i < 4; i++) {
        const __m256i x = a[i], y = a[i + 4];
        a[i] = _mm256_blend_epi16(x, _mm256_slli_epi32(y, 16), 0xaa);
        a[i + 4] = _mm256_blend_epi16(_mm256_srli_epi32(x, 16), y, 0xaa);
    }
    for (int k = 0; k < 4; k++) {
        const int i = k / 2 * 4 + k % 2;
        const __m256i x = a[i], y = a[i + 2];
        a[i] = _mm256_or_si256(_mm256_and_si256(x, bytes), _mm256_slli_epi16(y, 8));
        a[i + 2] = _mm256_or_si256(_mm256_srli_epi16(x, 8), _mm256_andnot_si256(bytes, y));
    }
    for (int i = 0; i < 8; i += 2) {
        const __m256i x = a[i], y = a[i + 1];
        const __m256i swap = _mm256_and_si256(_mm256_xor_si256(_mm256_srli_epi16(x, 4), y), nibbles);
        a[i] = _mm256_xor_si256(x, _mm256_slli_epi16(swap, 4));
        a[i + 1] = _mm256_xor_si256(y, swap);
    }
}

/* Transposes 8 x 8 words: word w of a[b] becomes word b of a[w]. */
static inline void transpose_words(__m256i a[8])
{
    __m256i t[8], u[8];
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_epi32(a[i], a[i + 1]);
        t[i + 1] = _mm256_unpackhi_epi32(a[i], a[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        u[i] = _mm256_unpacklo_epi64(t[i], t[i + 2]);
        u[i + 1] = _mm256_unpackhi_epi64(t[i], t[i + 2]);
        u[i + 2] = _mm256_unpacklo_epi64(t[i + 1], t[i + 3]);
        u[i + 3] = _mm256_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int i = 0; i < 4; i++) {
        a[i] = _mm256_permute2x128_si256(u[i], u[i + 4], 0x20);
        a[i + 4] = _mm256_permute2x128_si256(u[i], u[i + 4], 0x31);
    }
}

/* Transposes the nibbles of 8 input rows of 16 words: word [k][w] of the result holds nibble k of column word w. */
static inline void take_block(const unsigned char *from, int64_t stride, __m256i held[8][2])
{
    for (int half = 0; half < 2; half++) {
        __m256i a[8];
        for (int i = 0; i < 8; i++)
            a[i] = load(from + i * stride + (ptrdiff_t)32 * half);
        transpose_nibbles(a);
        for (int k = 0; k < 8; k++)
            held[k][half] = a[k];
    }
}

/*
 * Writes eight blocks as 32 bytes of each of 128 output rows, and n times eight blocks as 32 n bytes of each. A row
 * gets all its bytes at once: rows may lie a power of two apart, and the cache then holds only few of them.
 */
static inline void give_eights(__m256i (*held)[8][2], int n, int64_t row_bytes, unsigned char *to)
{
    for (int k = 0; k < 8; k++)
        for (int half = 0; half < 2; half++) {
            __m256i a[2][8];
            for (int e = 0; e < n; e++) {
                for (int b = 0; b < 8; b++)
                    a[e][b] = held[8 * e + b][k][half];
                transpose_words(a[e]);
            }
            unsigned char *row = to + (64 * half + tare_awq_column[k]) * row_bytes;
            for (int w = 0; w < 8; w++)
                for (int e = 0; e < n; e++)
                    _mm256_storeu_si256((__m256i *)(void *)(row + (ptrdiff_t)8 * w * row_bytes + (ptrdiff_t)32 * e),
                                        a[e][w]);
        }
}

/* Writes one more word of each row, where fewer than eight blocks are left. */
static void give_one(__m256i held[8][2], int64_t row_bytes, unsigned char *to)
{
    uint32_t words[16];
    for (int k = 0; k < 8; k++) {
        memcpy(words, held[k], sizeof words);
        for (int w = 0; w < 16; w++)
            memcpy(to + (8 * w + tare_awq_column[k]) * row_bytes, &words[w], 4);
    }
}

/* Does one step: 16 words of n blocks of eight input rows from `first` on. */
static void step(const unsigned char *from, int64_t stride, int64_t first, int n, int64_t in, unsigned char *to)
{
    __m256i held[BLOCKS][8][2];
    const int64_t row_bytes = in / 2;
    for (int b = 0; b < n; b++) {
        const int64_t row = 8 * (first + b);
        for (int i = 0; i < 8 && row + AHEAD < in; i++)
            _mm_prefetch((const char *)from + (row + AHEAD + i) * stride, _MM_HINT_T0);
        take_block(from + row * stride, stride, held[b]);
    }
    if (n == BLOCKS) {
        give_eights(held, 2, row_bytes, to + 4 * first);
        return;
    }
    if (n >= 8)
        give_eights(held, 1, row_bytes, to + 4 * first);
    for (int b = n / 8 * 8; b < n; b++)
        give_one(held[b], row_bytes, to + 4 * (first + b));
}

/* Takes all words of a few input rows before the next rows, so that the input is read along its lines. */
void tare_awq_codes_avx2(const void *qweight, int64_t in, int64_t words, int64_t w, int64_t n, unsigned char *to)
{
    const unsigned char *from = (const unsigned char *)qweight + 4 * w;
    for (int64_t first = 0; first < in / 8; first += BLOCKS) {
        const int blocks = in / 8 - first < BLOCKS ? (int)(in / 8 - first) : BLOCKS;
        for (int64_t k = 0; k < n; k++)
            step(from + 64 * k, 4 * words, first, blocks, in, to + 128 * k * (in / 2));
    }
}

/* Rounds eight float32 to bfloat16, to nearest even, as base/half.h does; a NaN becomes a quiet NaN. */
static inline __m128i to_bfloat16(__m256 value)
{
    const __m256i bits = _mm256_castps_si256(value);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i near = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(value, value, _CMP_UNORD_Q));
    const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    const __m256i half = _mm256_srli_epi32(_mm256_blendv_epi8(near, quiet, nan), 16);
    return _mm_packus_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

void tare_awq_biases_avx2(const void *scales, const void *zeros, bool bfloat16, uint16_t biases[128])
{
    const __m256i shifts = _mm256_loadu_si256((const __m256i *)tare_awq_shift);
    const __m256 sign = _mm256_set1_ps(-0.0f);
    for (int w = 0; w < 16; w++) {
        int32_t word = (int32_t)0x88888888u;
        if (zeros)
            memcpy(&word, (const unsigned char *)zeros + (ptrdiff_t)4 * w, sizeof word);
        const __m256i zero =
            _mm256_and_si256(_mm256_srlv_epi32(_mm256_set1_epi32(word), shifts), _mm256_set1_epi32(15));
        const __m128i stored =
            _mm_loadu_si128((const __m128i *)(const void *)((const unsigned char *)scales + (ptrdiff_t)16 * w));
        const __m256 scale = bfloat16 ? _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(stored), 16))
                                      : _mm256_cvtph_ps(stored);
        const __m256 bias = _mm256_mul_ps(_mm256_xor_ps(_mm256_cvtepi32_ps(zero), sign), scale);
        const __m128i half = bfloat16 ? to_bfloat16(bias) : _mm256_cvtps_ph(bias, _MM_FROUND_TO_NEAREST_INT);
        _mm_storeu_si128((__m128i *)(void *)(biases + (ptrdiff_t)8 * w), half);
    }
}
#elif defined(__x86_64__) && defined(__GNUC__)
#error "avx2_transpose.c is compiled with -mavx2 -mf16c: see CMakeLists.txt"
#endif
