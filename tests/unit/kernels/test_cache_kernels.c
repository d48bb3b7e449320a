/* SPDX-License-Identifier: MIT
 * test_cache_kernels.c - rows of an attention cache in 32, 16, 8 and 4 bits: every set against scalar, on random odd
 * sizes. `test_cache_kernels --bench` times them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "guarded.h"

static const char *const names[TARE_CACHES] = {"f32", "f16", "q8", "q4"};

/* Rows as a set stores them, and what the scalar set says they hold. */
struct sample {
    struct tare_rows rows;
    struct guarded data;
    float *value; /* (n, dim) */
};

static struct sample sample(const struct tare_kernels *k, enum tare_cache cache, int64_t n, int64_t dim)
{
    const size_t row = tare_cache_row(cache, dim);
    struct sample s = {.rows = {.cache = cache, .n = n, .dim = dim}, .data = guard((size_t)n * row)};
    struct tare_kernels scalar;
    assert_true(tare_kernels_pick(&scalar, "scalar"));
    unsigned char *data = s.data.data, *reference = malloc(row);
    s.rows.data = data;
    s.value = malloc((size_t)(n * dim) * sizeof *s.value);
    for (int64_t j = 0; j < n; j++) {
        struct guarded g;
        float *x = floats(&g, dim);
        for (int64_t i = 0; i < dim; i++)
            x[i] *= j % 3 ? 1 : 3000;
        k->cache_store(cache, x, dim, data + (size_t)j * row);
        scalar.cache_store(cache, x, dim, reference);
        assert_memory_equal(data + (size_t)j * row, reference, row);
        unguard(&g);
    }
    scalar.cache_load(&s.rows, s.value);
    free(reference);
    return s;
}

static void discard(struct sample *s)
{
    unguard(&s->data);
    free(s->value);
}

static void check_load(const struct tare_kernels *k, const struct sample *s)
{
    struct guarded g;
    const int64_t n = s->rows.n * s->rows.dim;
    float *x = floats(&g, n);
    k->cache_load(&s->rows, x);
    assert_memory_equal(x, s->value, (size_t)n * sizeof *x);
    unguard(&g);
}

/* Close to scalar, and the very bits of `scores` and `mix` on loaded rows. */
static void check_attention(const struct tare_kernels *k, const struct sample *s)
{
    const int64_t n = s->rows.n, dim = s->rows.dim;
    struct guarded gq, gs, gy, ge;
    const float *q = floats(&gq, dim);
    float *score = floats(&gs, n), *y = floats(&gy, dim), *expected = floats(&ge, n > dim ? n : dim);
    k->cache_scores(q, &s->rows, 0.25f, score);
    k->scores(q, s->value, n, dim, 0.25f, expected);
    assert_memory_equal(score, expected, (size_t)n * sizeof *score);
    for (int64_t j = 0; j < n; j++) {
        double want = 0, magnitude = 0;
        for (int64_t d = 0; d < dim; d++) {
            want += 0.25 * (double)q[d] * (double)s->value[j * dim + d];
            magnitude += fabs(0.25 * (double)q[d] * (double)s->value[j * dim + d]);
        }
        assert_true(fabs((double)score[j] - want) <= 4e-6 * magnitude);
    }
    memcpy(expected, y, (size_t)dim * sizeof *y);
    k->cache_mix(score, &s->rows, y);
    k->mix(score, s->value, n, dim, expected);
    assert_memory_equal(y, expected, (size_t)dim * sizeof *y);
    unguard(&gq);
    unguard(&gs);
    unguard(&gy);
    unguard(&ge);
}

/* Several queries: the bits of each alone. */
static void check_each(const struct tare_kernels *k, const struct sample *s)
{
    const int64_t rows = s->rows.n, dim = s->rows.dim, n = size(11), ld = rows + size(3) - 1;
    struct guarded gx, gs, ge;
    float *x = floats(&gx, n * dim), *score = floats(&gs, (n - 1) * ld + rows);
    float *expected = floats(&ge, rows > dim ? rows : dim);
    const struct tare_queries queries = {n, rows, dim, x, score, ld};
    k->scores_each(&queries, s->value, 0.25f);
    for (int64_t t = 0; t < n; t++) {
        k->scores(x + t * dim, s->value, rows, dim, 0.25f, expected);
        assert_memory_equal(score + t * ld, expected, (size_t)rows * sizeof *score);
    }
    float *sums = malloc((size_t)(n * dim) * sizeof *sums);
    memcpy(sums, x, (size_t)(n * dim) * sizeof *sums);
    for (int64_t t = 0; t < n; t++)
        k->mix(score + t * ld, s->value, rows, dim, sums + t * dim);
    k->mix_each(&queries, s->value);
    assert_memory_equal(x, sums, (size_t)(n * dim) * sizeof *sums);
    free(sums);
    unguard(&gx);
    unguard(&gs);
    unguard(&ge);
}

static void all(const struct tare_kernels *k)
{
    for (int c = 0; c < 160; c++) {
        struct sample s = sample(k, (enum tare_cache)(c % TARE_CACHES), size(20), c % 3 ? size(300) : 32 * size(8));
        check_load(k, &s);
        check_attention(k, &s);
        check_each(k, &s);
        discard(&s);
    }
}

static void test_all(void **unused)
{
    (void)unused;
    each_set(all);
}

/* How far from what was stored, in parts of the largest of a block. */
static void precision(const struct tare_kernels *k)
{
    static const float most[TARE_CACHES] = {0, 1.0f / 2048, 0.51f / 127, 1.02f / 15};
    for (int c = 0; c < 40; c++) {
        const enum tare_cache cache = (enum tare_cache)(c % TARE_CACHES);
        const int64_t dim = size(100);
        struct guarded g;
        float *x = floats(&g, dim), *again = malloc((size_t)dim * sizeof *again);
        unsigned char *row = malloc(tare_cache_row(cache, dim));
        k->cache_store(cache, x, dim, row);
        k->cache_load(&(struct tare_rows){cache, row, 1, dim}, again);
        for (int64_t i = 0; i < dim; i++)
            assert_true(fabsf(again[i] - x[i]) <= most[cache]);
        free(row);
        free(again);
        unguard(&g);
    }
}

static void test_precision(void **unused)
{
    (void)unused;
    each_set(precision);
}

/* Zeros stay zeros, what is too large for float16 becomes the largest, and what is not a number stays that. */
static void extremes(const struct tare_kernels *k)
{
    for (int cache = TARE_CACHE_F16; cache < TARE_CACHES; cache++) {
        float x[64] = {0}, again[64];
        unsigned char row[256];
        struct tare_rows rows = {(enum tare_cache)cache, row, 1, 64};
        k->cache_store(rows.cache, x, 64, row);
        k->cache_load(&rows, again);
        assert_memory_equal(again, x, sizeof x);
        x[1] = 1e30f;
        x[2] = -1e30f;
        x[40] = NAN;
        k->cache_store(rows.cache, x, 64, row);
        k->cache_load(&rows, again);
        assert_true(again[1] > 60000 && again[1] < INFINITY && again[2] < 0 && again[2] > -INFINITY);
        assert_true(isnan(again[40]));
        x[1] = x[2] = x[40] = 1e-30f;
        k->cache_store(rows.cache, x, 64, row);
        k->cache_load(&rows, again);
        for (int i = 0; i < 64; i++)
            assert_true(fabsf(again[i]) <= 1e-7f);
    }
}

static void test_extremes(void **unused)
{
    (void)unused;
    each_set(extremes);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Best of five; rows that stay in L2. */
static void bench_one(const struct tare_kernels *k, enum tare_cache cache, int64_t dim)
{
    enum { ROWS = 1024, REPEATS = 100 };
    struct sample s = sample(k, cache, ROWS, dim);
    float *q = calloc((size_t)dim, sizeof *q), *score = calloc(ROWS, sizeof *score);
    double best[3] = {1e9, 1e9, 1e9};
    for (int i = 0; i < 5; i++) {
        double at[4] = {now()};
        for (int r = 0; r < REPEATS; r++)
            k->cache_scores(q, &s.rows, 1, score);
        at[1] = now();
        for (int r = 0; r < REPEATS; r++)
            k->cache_mix(score, &s.rows, q);
        at[2] = now();
        for (int r = 0; r < REPEATS; r++)
            k->cache_load(&s.rows, s.value);
        at[3] = now();
        for (int p = 0; p < 3; p++)
            best[p] = at[p + 1] - at[p] < best[p] ? at[p + 1] - at[p] : best[p];
    }
    const double rows = ROWS * (double)REPEATS, bytes = (double)tare_cache_row(cache, dim) * rows;
    printf("%-7s %-4s dim %4lld  scores %6.2f ns a row %6.1f GB/s   mix %6.2f ns %6.1f GB/s   load %6.2f ns\n", k->name,
           names[cache], (long long)dim, best[0] / rows * 1e9, bytes / best[0] * 1e-9, best[1] / rows * 1e9,
           bytes / best[1] * 1e-9, best[2] / rows * 1e9);
    free(q);
    free(score);
    discard(&s);
}

/* 32 queries, 128 rows: a tile of a prefill. */
static void bench_each(const struct tare_kernels *k, int64_t dim)
{
    enum { ROWS = 128, QUERIES = 32, REPEATS = 200 };
    struct sample s = sample(k, TARE_CACHE_F32, ROWS, dim);
    struct tare_queries queries = {
        QUERIES, ROWS, dim, calloc((size_t)dim * QUERIES, sizeof(float)), calloc((size_t)ROWS * QUERIES, sizeof(float)),
        ROWS};
    double best[2] = {1e9, 1e9};
    for (int i = 0; i < 5; i++) {
        const double start = now();
        for (int r = 0; r < REPEATS; r++)
            k->scores_each(&queries, s.value, 1);
        const double middle = now();
        for (int r = 0; r < REPEATS; r++)
            k->mix_each(&queries, s.value);
        best[0] = fmin(best[0], middle - start);
        best[1] = fmin(best[1], now() - middle);
    }
    const double products = (double)ROWS * QUERIES * REPEATS * (double)dim * 1e-9;
    printf("%-7s 32 queries, dim %4lld  scores %6.1f Gmac/s   mix %6.1f Gmac/s\n", k->name, (long long)dim,
           products / best[0], products / best[1]);
    free(queries.x);
    free(queries.score);
    discard(&s);
}

static void bench(const struct tare_kernels *k)
{
    for (int cache = 0; cache < TARE_CACHES; cache++)
        for (int64_t dim = 64; dim <= 128; dim *= 2)
            bench_one(k, (enum tare_cache)cache, dim);
    for (int64_t dim = 64; dim <= 128; dim *= 2)
        bench_each(k, dim);
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "--bench")) {
        each_set(bench);
        return 0;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all), cmocka_unit_test(test_precision),
                                       cmocka_unit_test(test_extremes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
