/* SPDX-License-Identifier: MIT
 * avx2_cache.c - attention on rows of 32, 16, 8 and 4 bits for AVX2: 8 numbers a register, expanded as they are read.
 */
#include "kernels/kernels.h"

#if defined(__AVX2__)
#include <immintrin.h>

#define Q8_BYTES 34 /* of a block */
#define Q4_BYTES 20
#define INLINE inline __attribute__((always_inline)) /* `cache` is a constant where these are called */

static inline __m256i tail(int64_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n < 8 ? (int)n : 8), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

/* The first n (at most 8) of 8 floats, zeros after them. */
static inline __m256 some(const float *x, int64_t n)
{
    return n >= 8 ? _mm256_loadu_ps(x) : _mm256_maskload_ps(x, tail(n));
}

static inline void put_some(float *x, int64_t n, __m256 v)
{
    if (n >= 8)
        _mm256_storeu_ps(x, v);
    else
        _mm256_maskstore_ps(x, tail(n), v);
}

/* The order of the additions is that of avx2_rows.c: `scores` on loaded rows gives the same bits. */
static inline float total(__m256 v)
{
    __m128 sum = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
    return _mm_cvtss_f32(_mm_add_ss(sum, _mm_shuffle_ps(sum, sum, 1)));
}

static inline __m256 half(const unsigned char *bytes)
{
    int16_t value;
    __builtin_memcpy(&value, bytes, sizeof value);
    return _mm256_cvtph_ps(_mm_set1_epi16(value));
}

static inline __m128i eight_bytes(const unsigned char *bytes)
{
    return _mm_loadl_epi64((const __m128i *)(const void *)bytes);
}

/* Expands numbers i .. i + 7 of a row of dim; i is a multiple of 8. */
static INLINE __m256 eight(enum tare_cache cache, const unsigned char *row, int64_t i, int64_t dim)
{
    const int64_t b = i / TARE_CACHE_BLOCK, k = i % TARE_CACHE_BLOCK;
    if (cache == TARE_CACHE_F32)
        return some((const float *)(const void *)(row + 4 * i), dim - i);
    if (cache == TARE_CACHE_F16)
        return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(row + 2 * i)));
    if (cache == TARE_CACHE_Q8) {
        const unsigned char *block = row + b * Q8_BYTES;
        const __m256i code = _mm256_cvtepi8_epi32(eight_bytes(block + 2 + k));
        return _mm256_mul_ps(half(block), _mm256_cvtepi32_ps(code));
    }
    const unsigned char *block = row + b * Q4_BYTES;
    const __m128i both = eight_bytes(block + 4 + k % 16);
    const __m128i code = _mm_and_si128(k >= 16 ? _mm_srli_epi16(both, 4) : both, _mm_set1_epi8(15));
    return _mm256_fmadd_ps(half(block), _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(code)), half(block + 2));
}

static INLINE void load_of(enum tare_cache cache, const struct tare_rows *r, float *x)
{
    const size_t stride = tare_cache_row(cache, r->dim);
    const unsigned char *row = r->data;
    for (int64_t j = 0; j < r->n; j++, row += stride, x += r->dim)
        for (int64_t i = 0; i < r->dim; i += 8)
            put_some(x + i, r->dim - i, eight(cache, row, i, r->dim));
}

/* Computes K scores together: their sums do not depend on each other, which hides the latency of additions. */
static INLINE void rows_of(enum tare_cache cache, int K, const float *q, const unsigned char *keys, int64_t dim,
                           float scale, float *into)
{
    const size_t stride = tare_cache_row(cache, dim);
    __m256 sum[4];
    for (int k = 0; k < K; k++)
        sum[k] = _mm256_setzero_ps();
    for (int64_t d = 0; d < dim; d += 8) {
        const __m256 part = some(q + d, dim - d);
        for (int k = 0; k < K; k++)
            sum[k] = _mm256_fmadd_ps(part, eight(cache, keys + (size_t)k * stride, d, dim), sum[k]);
    }
    for (int k = 0; k < K; k++)
        into[k] = scale * total(sum[k]);
}

static INLINE void scores_of(enum tare_cache cache, const float *q, const struct tare_rows *r, float scale, float *into)
{
    const size_t stride = tare_cache_row(cache, r->dim);
    int64_t j = 0;
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
    __m256 sum[8];
    for (int u = 0; u < U; u++)
        sum[u] = some(y + d + 8 * u, r->dim - d - 8 * u);
    for (int64_t j = 0; j < r->n; j++, row += stride)
        for (int u = 0; u < U; u++)
            sum[u] = _mm256_fmadd_ps(_mm256_set1_ps(p[j]), eight(cache, row, d + 8 * u, r->dim), sum[u]);
    for (int u = 0; u < U; u++)
        put_some(y + d + 8 * u, r->dim - d - 8 * u, sum[u]);
}

static INLINE void mix_of(enum tare_cache cache, const float *p, const struct tare_rows *r, float *y)
{
    int64_t d = 0;
    for (; d + 64 <= r->dim; d += 64)
        columns_of(cache, 8, p, r, d, y);
    for (; d < r->dim; d += 8)
        columns_of(cache, 1, p, r, d, y);
}

static void store(enum tare_cache cache, const float *x, int64_t n, unsigned char *row)
{
    if (cache != TARE_CACHE_F16) {
        tare_scalar_cache_store(cache, x, n, row);
        return;
    }
    const __m256 largest = _mm256_set1_ps(65504), least = _mm256_set1_ps(-65504);
    for (int64_t i = 0; i < (n + 15) / 16 * 16; i += 8) { /* x is the second operand, so that a NaN passes */
        const __m256 v = i < n ? some(x + i, n - i) : _mm256_setzero_ps();
        const __m128i to = _mm256_cvtps_ph(_mm256_max_ps(least, _mm256_min_ps(largest, v)), _MM_FROUND_TO_NEAREST_INT);
        _mm_storeu_si128((__m128i *)(void *)(row + 2 * i), to);
    }
}

/* A tile, whose sums stay in registers: that many queries, and that many keys or columns of values. */
#define QUERIES 2
#define KEYS 4
#define COLUMNS 32

/* Adds up the lanes of four registers at once, each in the order of total(). */
static inline __m128 totals(const __m256 v[4])
{
    __m128 part[4];
    for (int k = 0; k < 4; k++)
        part[k] = _mm_add_ps(_mm256_castps256_ps128(v[k]), _mm256_extractf128_ps(v[k], 1));
    const __m128 ab = _mm_add_ps(_mm_movelh_ps(part[0], part[1]), _mm_movehl_ps(part[1], part[0]));
    const __m128 cd = _mm_add_ps(_mm_movelh_ps(part[2], part[3]), _mm_movehl_ps(part[3], part[2]));
    return _mm_add_ps(_mm_shuffle_ps(ab, cd, 0x88), _mm_shuffle_ps(ab, cd, 0xdd));
}

static void score_tile(const float *q, const float *keys, int64_t dim, float scale, float *score, int64_t ld)
{
    __m256 sum[QUERIES][KEYS];
    for (int t = 0; t < QUERIES; t++)
        for (int k = 0; k < KEYS; k++)
            sum[t][k] = _mm256_setzero_ps();
    for (int64_t d = 0; d < dim; d += 8) {
        __m256 key[KEYS];
        for (int k = 0; k < KEYS; k++)
            key[k] = some(keys + k * dim + d, dim - d);
        for (int t = 0; t < QUERIES; t++) {
            const __m256 part = some(q + t * dim + d, dim - d);
            for (int k = 0; k < KEYS; k++)
                sum[t][k] = _mm256_fmadd_ps(part, key[k], sum[t][k]);
        }
    }
    for (int t = 0; t < QUERIES; t++)
        _mm_storeu_ps(score + t * ld, _mm_mul_ps(_mm_set1_ps(scale), totals(sum[t])));
}

/* Adds up U registers each for queries t and t + 1, from column d on. */
static INLINE void columns_each(int U, const struct tare_queries *c, int64_t t, const float *values, int64_t d)
{
    float *y = c->x + t * c->dim + d;
    const float *p = c->score + t * c->ld;
    __m256 sum[QUERIES][4];
    for (int k = 0; k < QUERIES; k++)
        for (int u = 0; u < U; u++)
            sum[k][u] = some(y + k * c->dim + 8 * u, c->dim - d - 8 * u);
    for (int64_t j = 0; j < c->rows; j++)
        for (int u = 0; u < U; u++) {
            const __m256 value = some(values + j * c->dim + d + 8 * u, c->dim - d - 8 * u);
            for (int k = 0; k < QUERIES; k++)
                sum[k][u] = _mm256_fmadd_ps(_mm256_set1_ps(p[k * c->ld + j]), value, sum[k][u]);
        }
    for (int k = 0; k < QUERIES; k++)
        for (int u = 0; u < U; u++)
            put_some(y + k * c->dim + 8 * u, c->dim - d - 8 * u, sum[k][u]);
}

/* Queries t and t + 1, columns d .. d + 31. */
static void mix_tile(const struct tare_queries *c, int64_t t, const float *values, int64_t d)
{
    if (d + COLUMNS <= c->dim)
        columns_each(4, c, t, values, d);
    else
        for (; d < c->dim; d += 8)
            columns_each(1, c, t, values, d);
}

#include "kernels/cache_queries.h"

#include "kernels/cache_dispatch.h"

void tare_kernels_cache_avx2(struct tare_kernels *kernels)
{
    fill_cache(kernels);
}
#else
void tare_kernels_cache_avx2(struct tare_kernels *kernels)
{
    (void)kernels;
}
#endif
