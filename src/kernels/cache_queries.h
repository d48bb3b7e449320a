/* SPDX-License-Identifier: MIT
 * cache_queries.h - several queries that look at the same float32 rows, as AVX2 and AVX-512 go through them: by tiles
 * of queries and keys, or of queries and columns of values, whose sums stay in registers. What fills no tile goes by
 * the functions for one query, which add in the same order. The cache files of both sets have defined before:
 *
 *   QUERIES, KEYS, COLUMNS            the shape of a tile
 *   score_tile(q, keys, dim, scale, score, ld)          QUERIES times KEYS scores; rows of score are ld apart
 *   mix_tile(queries, t, values, d)                     queries from t on, columns from d on, fewer where they end
 *   scores_of(), mix_of()                               of one query; see cache_dispatch.h
 */

/* The rows from `first` on, as rows of a cache. */
static struct tare_rows plain(const struct tare_queries *c, const float *rows, int64_t first)
{
    return (struct tare_rows){TARE_CACHE_F32, (const unsigned char *)(rows + first * c->dim), c->rows - first, c->dim};
}

static void scores_each(const struct tare_queries *c, const float *keys, float scale)
{
    const int64_t whole = c->rows / KEYS * KEYS;
    const struct tare_rows rest = plain(c, keys, whole), all = plain(c, keys, 0);
    int64_t t = 0;
    for (; t + QUERIES <= c->n; t += QUERIES) {
        for (int64_t j = 0; j < whole; j += KEYS)
            score_tile(c->x + t * c->dim, keys + j * c->dim, c->dim, scale, c->score + t * c->ld + j, c->ld);
        for (int64_t k = t; k < t + QUERIES && rest.n; k++)
            scores_of(TARE_CACHE_F32, c->x + k * c->dim, &rest, scale, c->score + k * c->ld + whole);
    }
    for (; t < c->n; t++)
        scores_of(TARE_CACHE_F32, c->x + t * c->dim, &all, scale, c->score + t * c->ld);
}

static void mix_each(const struct tare_queries *c, const float *values)
{
    const struct tare_rows all = plain(c, values, 0);
    int64_t t = 0;
    for (; t + QUERIES <= c->n; t += QUERIES)
        for (int64_t d = 0; d < c->dim; d += COLUMNS)
            mix_tile(c, t, values, d);
    for (; t < c->n; t++)
        mix_of(TARE_CACHE_F32, c->score + t * c->ld, &all, c->x + t * c->dim);
}
