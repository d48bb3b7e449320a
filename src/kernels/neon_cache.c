/* SPDX-License-Identifier: MIT
 * neon_cache.c - attention on rows of 32, 16, 8 and 4 bits for 64-bit ARM: 8 numbers in two registers, expanded as they
 * are read. One query and several, rows as they are stored and as they are loaded go through the same two functions,
 * so all give the same bits. */
#include "kernels/kernels.h"

#if defined(__aarch64__) && defined(__ARM_FEATURE_DOTPROD)
#include "kernels/neon.h"

#define Q8_BYTES 34 /* of a block */
#define Q4_BYTES 20
/* That many queries have their sums in registers, with that many keys each. */
#define QUERIES 2
#define KEYS 4

TARE_INLINE float32x4_t half(const unsigned char *bytes)
{
    uint16_t value;
    memcpy(&value, bytes, sizeof value);
    return vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(value)));
}

TARE_INLINE struct tare_eight widened(int16x8_t code)
{
    return (struct tare_eight){vcvtq_f32_s32(vmovl_s16(vget_low_s16(code))),
                               vcvtq_f32_s32(vmovl_s16(vget_high_s16(code)))};
}

/* Expands numbers i .. i + 7 of a row of dim; i is a multiple of 8. */
TARE_INLINE struct tare_eight eight(enum tare_cache cache, const unsigned char *row, int64_t i, int64_t dim)
{
    const int64_t b = i / TARE_CACHE_BLOCK, k = i % TARE_CACHE_BLOCK;
    if (cache == TARE_CACHE_F32)
        return tare_eight_load((const float *)(const void *)row + i, dim - i);
    if (cache == TARE_CACHE_F16)
        return (struct tare_eight){tare_four_f16(row + 2 * i), tare_four_f16(row + 2 * i + 8)};
    const unsigned char *block = row + b * (cache == TARE_CACHE_Q8 ? Q8_BYTES : Q4_BYTES);
    const float32x4_t scale = half(block);
    if (cache == TARE_CACHE_Q8) {
        const struct tare_eight code = widened(vmovl_s8(vreinterpret_s8_u8(vld1_u8(block + 2 + k))));
        return (struct tare_eight){vmulq_f32(scale, code.low), vmulq_f32(scale, code.high)};
    }
    const uint8x8_t both = vld1_u8(block + 4 + k % 16);
    const uint8x8_t low = k >= 16 ? vshr_n_u8(both, 4) : vand_u8(both, vdup_n_u8(15));
    const float32x4_t least = half(block + 2);
    return tare_eight_madd((struct tare_eight){scale, scale}, widened(vreinterpretq_s16_u16(vmovl_u8(low))),
                           (struct tare_eight){least, least});
}

/* Computes the scores of T queries from t on and K rows from j on. */
TARE_INLINE void score_tile(enum tare_cache cache, int T, int K, const struct tare_queries *c, int64_t t,
                            const struct tare_rows *r, int64_t j, float scale)
{
    const size_t stride = tare_cache_row(cache, r->dim);
    const unsigned char *keys = r->data + (size_t)j * stride;
    const float *q = c->x + t * c->dim;
    struct tare_eight sum[QUERIES][KEYS];
    for (int a = 0; a < T; a++)
        for (int k = 0; k < K; k++)
            sum[a][k] = tare_eight_zero();
    for (int64_t d = 0; d < r->dim; d += 8) {
        struct tare_eight part[QUERIES];
        for (int a = 0; a < T; a++)
            part[a] = tare_eight_load(q + a * c->dim + d, r->dim - d);
        for (int k = 0; k < K; k++) {
            const struct tare_eight key = eight(cache, keys + (size_t)k * stride, d, r->dim);
            for (int a = 0; a < T; a++)
                sum[a][k] = tare_eight_madd(part[a], key, sum[a][k]);
        }
    }
    for (int a = 0; a < T; a++)
        for (int k = 0; k < K; k++)
            c->score[(t + a) * c->ld + j + k] = scale * tare_eight_total(sum[a][k]);
}

TARE_INLINE void score_rows(enum tare_cache cache, int T, const struct tare_queries *c, int64_t t,
                            const struct tare_rows *r, float scale)
{
    int64_t j = 0;
    for (; j + KEYS <= r->n; j += KEYS)
        score_tile(cache, T, KEYS, c, t, r, j, scale);
    for (; j < r->n; j++)
        score_tile(cache, T, 1, c, t, r, j, scale);
}

/* Adds up 8 U columns from d on for T queries from t on. The sums stay in registers while the loop runs over the rows.
 */
TARE_INLINE void mix_tile(enum tare_cache cache, int T, int U, const struct tare_queries *c, int64_t t,
                          const struct tare_rows *r, int64_t d)
{
    const size_t stride = tare_cache_row(cache, r->dim);
    const unsigned char *row = r->data;
    float *y = c->x + t * c->dim + d;
    const float *p = c->score + t * c->ld;
    struct tare_eight sum[QUERIES][4];
    for (int a = 0; a < T; a++)
        for (int u = 0; u < U; u++)
            sum[a][u] = tare_eight_load(y + a * c->dim + 8 * u, r->dim - d - 8 * u);
    for (int64_t j = 0; j < r->n; j++, row += stride)
        for (int u = 0; u < U; u++) {
            const struct tare_eight value = eight(cache, row, d + 8 * u, r->dim);
            for (int a = 0; a < T; a++) {
                const float32x4_t weight = vdupq_n_f32(p[a * c->ld + j]);
                sum[a][u] = tare_eight_madd((struct tare_eight){weight, weight}, value, sum[a][u]);
            }
        }
    for (int a = 0; a < T; a++)
        for (int u = 0; u < U; u++)
            tare_eight_store(y + a * c->dim + 8 * u, r->dim - d - 8 * u, sum[a][u]);
}

TARE_INLINE void mix_rows(enum tare_cache cache, int T, const struct tare_queries *c, int64_t t,
                          const struct tare_rows *r)
{
    int64_t d = 0;
    for (; d + 32 <= r->dim; d += 32)
        mix_tile(cache, T, 4, c, t, r, d);
    for (; d < r->dim; d += 8)
        mix_tile(cache, T, 1, c, t, r, d);
}

static void store(enum tare_cache cache, const float *x, int64_t n, unsigned char *row)
{
    if (cache != TARE_CACHE_F16) {
        tare_scalar_cache_store(cache, x, n, row);
        return;
    }
    const float32x4_t largest = vdupq_n_f32(65504), least = vdupq_n_f32(-65504);
    for (int64_t i = 0; i < (n + 15) / 16 * 16; i += 4) {
        const float32x4_t v = i < n ? tare_four_load(x + i, n - i) : vdupq_n_f32(0);
        vst1_u8(row + 2 * i, vreinterpret_u8_f16(vcvt_f16_f32(vmaxq_f32(least, vminq_f32(largest, v)))));
    }
}

TARE_INLINE void load_of(enum tare_cache cache, const struct tare_rows *r, float *x)
{
    const size_t stride = tare_cache_row(cache, r->dim);
    const unsigned char *row = r->data;
    for (int64_t j = 0; j < r->n; j++, row += stride, x += r->dim)
        for (int64_t i = 0; i < r->dim; i += 8)
            tare_eight_store(x + i, r->dim - i, eight(cache, row, i, r->dim));
}

TARE_INLINE void scores_of(enum tare_cache cache, const float *q, const struct tare_rows *r, float scale, float *into)
{
    const struct tare_queries one = {1, r->n, r->dim, (float *)q, into, r->n}; /* with keys, x is only read */
    score_rows(cache, 1, &one, 0, r, scale);
}

TARE_INLINE void mix_of(enum tare_cache cache, const float *p, const struct tare_rows *r, float *y)
{
    const struct tare_queries one = {1, r->n, r->dim, y, (float *)p, r->n}; /* with values, scores are only read */
    mix_rows(cache, 1, &one, 0, r);
}

static struct tare_rows plain(const float *rows, int64_t n, int64_t dim)
{
    return (struct tare_rows){TARE_CACHE_F32, (const unsigned char *)rows, n, dim};
}

static void scores_each(const struct tare_queries *c, const float *keys, float scale)
{
    const struct tare_rows rows = plain(keys, c->rows, c->dim);
    int64_t t = 0;
    for (; t + QUERIES <= c->n; t += QUERIES)
        score_rows(TARE_CACHE_F32, QUERIES, c, t, &rows, scale);
    for (; t < c->n; t++)
        score_rows(TARE_CACHE_F32, 1, c, t, &rows, scale);
}

static void mix_each(const struct tare_queries *c, const float *values)
{
    const struct tare_rows rows = plain(values, c->rows, c->dim);
    int64_t t = 0;
    for (; t + QUERIES <= c->n; t += QUERIES)
        mix_rows(TARE_CACHE_F32, QUERIES, c, t, &rows);
    for (; t < c->n; t++)
        mix_rows(TARE_CACHE_F32, 1, c, t, &rows);
}

#include "kernels/cache_dispatch.h"

static void scores(const float *q, const float *keys, int64_t n, int64_t dim, float scale, float *into)
{
    const struct tare_rows rows = plain(keys, n, dim);
    cache_scores(q, &rows, scale, into);
}

static void mix(const float *p, const float *values, int64_t n, int64_t dim, float *y)
{
    const struct tare_rows rows = plain(values, n, dim);
    cache_mix(p, &rows, y);
}

void tare_kernels_cache_neon(struct tare_kernels *kernels)
{
    fill_cache(kernels);
    kernels->scores = scores;
    kernels->mix = mix;
}
#else
void tare_kernels_cache_neon(struct tare_kernels *kernels)
{
    (void)kernels;
}
#endif
