/* SPDX-License-Identifier: MIT
 * avx512_cache.c - attention on rows of 32, 16, 8 and 4 bits for AVX-512: 16 numbers a register, expanded as they are
 * read. */
#include "kernels/kernels.h"

#if defined(__AVX512F__)
#include <immintrin.h>

#define Q8_BYTES 34 /* of a block */
#define Q4_BYTES 20

static __mmask16 tail(int64_t n)
{
    const unsigned mask = n >= 16 ? 0xffff : n > 0 ? (1u << n) - 1 : 0;
    return (__mmask16)mask;
}

static inline __m512 half(const unsigned char *bytes)
{
    int16_t value;
    __builtin_memcpy(&value, bytes, sizeof value);
    return _mm512_cvtph_ps(_mm256_set1_epi16(value));
}

static inline __m512 codes(__m128i bytes)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes));
}

#define INLINE inline __attribute__((always_inline)) /* `cache` is a constant where these are called */

/* Expands numbers i .. i + 15 of a row of dim, with zeros past its end; i is a multiple of 16. */
static INLINE __m512 sixteen(enum tare_cache cache, const unsigned char *row, int64_t i, int64_t dim)
{
    const int64_t u = i / 16;
    if (cache == TARE_CACHE_F32)
        return _mm512_maskz_loadu_ps(tail(dim - i), row + 4 * i);
    if (cache == TARE_CACHE_F16)
        return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)(row + 32 * u)));
    if (cache == TARE_CACHE_Q8) {
        const unsigned char *block = row + u / 2 * Q8_BYTES;
        const __m128i code = _mm_loadu_si128((const __m128i *)(const void *)(block + 2 + u % 2 * 16));
        return _mm512_mul_ps(half(block), _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(code)));
    }
    const unsigned char *block = row + u / 2 * Q4_BYTES;
    const __m128i both = _mm_loadu_si128((const __m128i *)(const void *)(block + 4));
    const __m128i code = _mm_and_si128(u % 2 ? _mm_srli_epi16(both, 4) : both, _mm_set1_epi8(15));
    return _mm512_fmadd_ps(half(block), codes(code), half(block + 2));
}

static INLINE void load_of(enum tare_cache cache, const struct tare_rows *r, float *x)
{
    const size_t stride = tare_cache_row(cache, r->dim);
    const unsigned char *row = r->data;
    for (int64_t j = 0; j < r->n; j++, row += stride, x += r->dim)
        for (int64_t i = 0; i < r->dim; i += 16)
            _mm512_mask_storeu_ps(x + i, tail(r->dim - i), sixteen(cache, row, i, r->dim));
}

/* Computes K scores together: their sums do not depend on each other, which hides the latency of additions, and the
 * query is loaded once for all. */
static INLINE void rows_of(enum tare_cache cache, int K, const float *q, const unsigned char *keys, int64_t dim,
                           float scale, float *into)
{
    const size_t stride = tare_cache_row(cache, dim);
    __m512 sum[8];
    for (int k = 0; k < K; k++)
        sum[k] = _mm512_setzero_ps();
    for (int64_t d = 0; d < dim; d += 16) {
        const __m512 part = _mm512_maskz_loadu_ps(tail(dim - d), q + d);
        for (int k = 0; k < K; k++)
            sum[k] = _mm512_fmadd_ps(part, sixteen(cache, keys + (size_t)k * stride, d, dim), sum[k]);
    }
    for (int k = 0; k < K; k++)
        into[k] = scale * _mm512_reduce_add_ps(sum[k]);
}

static INLINE void scores_of(enum tare_cache cache, const float *q, const struct tare_rows *r, float scale, float *into)
{
    const size_t stride = tare_cache_row(cache, r->dim);
    int64_t j = 0;
    for (; j + 8 <= r->n; j += 8)
        rows_of(cache, 8, q, r->data + (size_t)j * stride, r->dim, scale, into + j);
    for (; j + 4 <= r->n; j += 4)
        rows_of(cache, 4, q, r->data + (size_t)j * stride, r->dim, scale, into + j);
    for (; j < r->n; j++)
        rows_of(cache, 1, q, r->data + (size_t)j * stride, r->dim, scale, into + j);
}

/* Adds up U registers of y, from number d on, which stay in registers while the loop runs over the rows. */
static INLINE void columns_of(enum tare_cache cache, int U, const float *p, const struct tare_rows *r, int64_t d,
                              float *y)
{
    const size_t stride = tare_cache_row(cache, r->dim);
    const unsigned char *row = r->data;
    __m512 sum[8];
    for (int u = 0; u < U; u++)
        sum[u] = _mm512_maskz_loadu_ps(tail(r->dim - d - 16 * u), y + d + 16 * u);
    for (int64_t j = 0; j < r->n; j++, row += stride)
        for (int u = 0; u < U; u++)
            sum[u] = _mm512_fmadd_ps(_mm512_set1_ps(p[j]), sixteen(cache, row, d + 16 * u, r->dim), sum[u]);
    for (int u = 0; u < U; u++)
        _mm512_mask_storeu_ps(y + d + 16 * u, tail(r->dim - d - 16 * u), sum[u]);
}

static INLINE void mix_of(enum tare_cache cache, const float *p, const struct tare_rows *r, float *y)
{
    int64_t d = 0;
    for (; d + 128 <= r->dim; d += 128)
        columns_of(cache, 8, p, r, d, y);
    for (; d + 32 <= r->dim; d += 32)
        columns_of(cache, 2, p, r, d, y);
    for (; d < r->dim; d += 16)
        columns_of(cache, 1, p, r, d, y);
}

static void store(enum tare_cache cache, const float *x, int64_t n, unsigned char *row)
{
    if (cache != TARE_CACHE_F16) {
        tare_scalar_cache_store(cache, x, n, row);
        return;
    }
    const __m512 largest = _mm512_set1_ps(65504), least = _mm512_set1_ps(-65504);
    for (int64_t i = 0; i < n; i += 16) { /* x is the second operand, so that a NaN passes */
        const __m512 held = _mm512_max_ps(least, _mm512_min_ps(largest, _mm512_maskz_loadu_ps(tail(n - i), x + i)));
        _mm256_storeu_si256((__m256i *)(void *)(row + 2 * i), _mm512_cvtps_ph(held, _MM_FROUND_TO_NEAREST_INT));
    }
}

/* A tile, whose sums stay in registers: that many queries, and that many keys or columns of values. */
#define QUERIES 4
#define KEYS 4
#define COLUMNS 64

/* Adds the 16 lanes of each of four sums to 4 lanes; the result holds the four results one after another. Lanes are
 * added in the order of _mm512_reduce_add_ps(). */
static inline __m512 four_quarters(__m512 v[4])
{
    const __m512 ab = _mm512_add_ps(_mm512_shuffle_f32x4(v[0], v[1], 0x44), _mm512_shuffle_f32x4(v[0], v[1], 0xee));
    const __m512 cd = _mm512_add_ps(_mm512_shuffle_f32x4(v[2], v[3], 0x44), _mm512_shuffle_f32x4(v[2], v[3], 0xee));
    return _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xdd));
}

/* Adds up the lanes for 4 keys and 4 queries: lane 4 t + k of the result is the sum of key k and query t. */
static inline __m512 sixteen_sums(__m512 sum[KEYS][QUERIES])
{
    const __m512 a = four_quarters(sum[0]), b = four_quarters(sum[1]), c = four_quarters(sum[2]),
                 d = four_quarters(sum[3]);
    const __m512 ab = _mm512_add_ps(_mm512_shuffle_ps(a, b, 0x44), _mm512_shuffle_ps(a, b, 0xee));
    const __m512 cd = _mm512_add_ps(_mm512_shuffle_ps(c, d, 0x44), _mm512_shuffle_ps(c, d, 0xee));
    return _mm512_add_ps(_mm512_shuffle_ps(ab, cd, 0x88), _mm512_shuffle_ps(ab, cd, 0xdd));
}

static void score_tile(const float *q, const float *keys, int64_t dim, float scale, float *score, int64_t ld)
{
    __m512 sum[KEYS][QUERIES];
    for (int k = 0; k < KEYS; k++)
        for (int t = 0; t < QUERIES; t++)
            sum[k][t] = _mm512_setzero_ps();
    for (int64_t d = 0; d < dim; d += 16) {
        const __mmask16 mask = tail(dim - d);
        __m512 key[KEYS];
        for (int k = 0; k < KEYS; k++)
            key[k] = _mm512_maskz_loadu_ps(mask, keys + k * dim + d);
        for (int t = 0; t < QUERIES; t++) {
            const __m512 part = _mm512_maskz_loadu_ps(mask, q + t * dim + d);
            for (int k = 0; k < KEYS; k++)
                sum[k][t] = _mm512_fmadd_ps(part, key[k], sum[k][t]);
        }
    }
    const __m512 all = _mm512_mul_ps(_mm512_set1_ps(scale), sixteen_sums(sum));
    _mm_storeu_ps(score, _mm512_castps512_ps128(all));
    _mm_storeu_ps(score + ld, _mm512_extractf32x4_ps(all, 1));
    _mm_storeu_ps(score + 2 * ld, _mm512_extractf32x4_ps(all, 2));
    _mm_storeu_ps(score + 3 * ld, _mm512_extractf32x4_ps(all, 3));
}

/* Queries t .. t + 3, columns d .. d + 63. */
static void mix_tile(const struct tare_queries *c, int64_t t, const float *values, int64_t d)
{
    float *y = c->x + t * c->dim + d;
    const float *p = c->score + t * c->ld;
    __m512 sum[QUERIES][4];
    __mmask16 mask[4];
    for (int u = 0; u < 4; u++)
        mask[u] = tail(c->dim - d - 16 * u);
    for (int k = 0; k < QUERIES; k++)
        for (int u = 0; u < 4; u++)
            sum[k][u] = _mm512_maskz_loadu_ps(mask[u], y + k * c->dim + 16 * u);
    for (int64_t j = 0; j < c->rows; j++) {
        __m512 value[4];
        for (int u = 0; u < 4; u++)
            value[u] = _mm512_maskz_loadu_ps(mask[u], values + j * c->dim + d + 16 * u);
        for (int k = 0; k < QUERIES; k++)
            for (int u = 0; u < 4; u++)
                sum[k][u] = _mm512_fmadd_ps(_mm512_set1_ps(p[k * c->ld + j]), value[u], sum[k][u]);
    }
    for (int k = 0; k < QUERIES; k++)
        for (int u = 0; u < 4; u++)
            _mm512_mask_storeu_ps(y + k * c->dim + 16 * u, mask[u], sum[k][u]);
}

#include "kernels/cache_queries.h"

#include "kernels/cache_dispatch.h"

void tare_kernels_cache_avx512(struct tare_kernels *kernels)
{
    fill_cache(kernels);
}
#else
void tare_kernels_cache_avx512(struct tare_kernels *kernels)
{
    (void)kernels;
}
#endif
