/* SPDX-License-Identifier: MIT
 * attend_each.c - several queries over the same rows, a block of rows at a time: it is read and expanded once for all.
 * The largest score so far is kept for each query, and what was summed up is scaled down when it grows (Milakov &
 * Gimelshein 2018; by blocks: Dao et al. 2022). Blocks begin at the same positions for every query, so that the order
 * of its sums is a query's own.
 */
#include <math.h>
#include <string.h>

#include "blocks/attention/attend.h"

/* Fewer queries than this read the rows as they are stored; for more, unpacking the rows once is faster. */
#define FEW 3

/* What is kept of all queries while they go through the rows block by block. */
struct running {
    const struct tare_kernels *kernels;
    const struct tare_attend *attend;
    const struct tare_query *queries;
    int64_t n, key_width, block; /* block: rows */
    float *q, *y, *score, *rows; /* (n, key_width), (n, width), (n, block), (block, the wider one) */
    float most[TARE_ATTEND_MOST], sum[TARE_ATTEND_MOST];
};

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Rows of a block: a part of those that lie together in the state, and few enough to stay in L1 or L2. */
static int64_t block_rows(int64_t key_width, int64_t width)
{
    int64_t rows = TARE_STATE_TOGETHER;
    while (rows > 16 && rows * larger(key_width, width) > 16384)
        rows /= 2;
    return rows;
}

int64_t tare_attend_together(int64_t key_width, int64_t width)
{
    const int64_t block = block_rows(key_width, width), left = TARE_PANEL_FLOATS - block * larger(key_width, width);
    const int64_t n = left / (key_width + width + block);
    return n < 0 ? 0 : n < TARE_ATTEND_MOST ? n : TARE_ATTEND_MOST;
}

static void keys(const struct running *r, int64_t first, int64_t rows)
{
    const struct tare_attend *a = r->attend;
    const struct tare_rows stored = tare_state_rows(a->state, a->keys, a->plane, first, rows);
    const struct tare_queries all = {r->n, rows, r->key_width, r->q, r->score, r->block};
    if (r->n < FEW) {
        for (int64_t i = 0; i < r->n; i++)
            r->kernels->cache_scores(r->q + i * r->key_width, &stored, a->scale, r->score + i * r->block);
        return;
    }
    r->kernels->cache_load(&stored, r->rows);
    r->kernels->scores_each(&all, r->rows, a->scale);
}

static void values(const struct running *r, int64_t first, int64_t rows)
{
    const struct tare_attend *a = r->attend;
    const struct tare_rows stored = tare_state_rows(a->state, a->values, a->plane, first, rows);
    const struct tare_queries all = {r->n, rows, a->width, r->y, r->score, r->block};
    if (r->n < FEW) {
        for (int64_t i = 0; i < r->n; i++)
            r->kernels->cache_mix(r->score + i * r->block, &stored, r->y + i * a->width);
        return;
    }
    r->kernels->cache_load(&stored, r->rows);
    r->kernels->mix_each(&all, r->rows);
}

/* The largest of n numbers, NaN left out. The maximum is taken in lanes, which the compiler keeps in registers. */
static float largest(const float *x, int64_t n)
{
    float lane[16], most = -INFINITY;
    for (int l = 0; l < 16; l++)
        lane[l] = -INFINITY;
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int l = 0; l < 16; l++)
            lane[l] = x[i + l] > lane[l] ? x[i + l] : lane[l];
    for (; i < n; i++)
        most = x[i] > most ? x[i] : most;
    for (int l = 0; l < 16; l++)
        most = lane[l] > most ? lane[l] : most;
    return most;
}

/* A block has a larger score than those before it, so the sum and the output so far shrink to the new scale. */
static void grow(struct running *r, int64_t i, float most)
{
    if (most > r->most[i] && r->most[i] > -INFINITY) {
        const float factor = expf(r->most[i] - most);
        r->sum[i] *= factor;
        for (int64_t d = 0; d < r->attend->width; d++)
            r->y[i * r->attend->width + d] *= factor;
    }
    r->most[i] = most > r->most[i] ? most : r->most[i];
}

/* Scores of rows [first, first + rows) of query i become weights, which are 0 where the query does not look. */
static void weigh(struct running *r, int64_t i, int64_t first, int64_t rows)
{
    const struct tare_query *query = &r->queries[i];
    float *score = r->score + i * r->block;
    const int64_t from = query->first > first ? query->first - first : 0;
    const int64_t to = query->last + 1 - first < rows ? query->last + 1 - first : rows;
    if (from >= to) {
        memset(score, 0, (size_t)rows * sizeof *score);
        return;
    }
    const float cap = r->attend->soft_cap;
    for (int64_t k = from; k < to && cap > 0; k++)
        score[k] = cap * tanhf(score[k] / cap);
    for (int64_t k = 0; k < from; k++)
        score[k] = -INFINITY;
    for (int64_t k = to; k < rows; k++)
        score[k] = -INFINITY;
    grow(r, i, largest(score, rows));
    r->sum[i] += r->kernels->exponents(score, rows, r->most[i]);
}

static void finish(struct running *r, int64_t i)
{
    const struct tare_query *query = &r->queries[i];
    if (query->sink) {
        grow(r, i, *query->sink);
        r->sum[i] += expf(*query->sink - r->most[i]);
    }
    for (int64_t d = 0; d < r->attend->width; d++)
        query->y[d] = r->y[i * r->attend->width + d] / r->sum[i];
}

void tare_attend_each(const struct tare_kernels *kernels, const struct tare_attend *attend, int64_t key_width,
                      const struct tare_query *queries, int64_t n, float *work)
{
    struct running r = {.kernels = kernels,
                        .attend = attend,
                        .queries = queries,
                        .n = n,
                        .key_width = key_width,
                        .block = block_rows(key_width, attend->width)};
    int64_t first = queries[0].first, last = queries[0].last;
    r.q = work;
    r.y = r.q + n * key_width;
    r.score = r.y + n * attend->width;
    r.rows = r.score + n * r.block;
    memset(r.y, 0, (size_t)(n * attend->width) * sizeof *r.y);
    for (int64_t i = 0; i < n; i++) {
        memcpy(r.q + i * key_width, queries[i].q, (size_t)key_width * sizeof *r.q);
        first = queries[i].first < first ? queries[i].first : first;
        last = larger(last, queries[i].last);
        r.most[i] = -INFINITY;
        r.sum[i] = 0;
    }
    for (int64_t row = first / r.block * r.block; row <= last; row += r.block) {
        const int64_t rows = last + 1 - row < r.block ? last + 1 - row : r.block;
        keys(&r, row, rows);
        for (int64_t i = 0; i < n; i++)
            weigh(&r, i, row, rows);
        values(&r, row, rows);
    }
    for (int64_t i = 0; i < n; i++)
        finish(&r, i);
}
