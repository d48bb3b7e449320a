/* SPDX-License-Identifier: MIT
 * test_state.c - what blocks remember: rows over several chunks against a plain array, forks that share until one
 * writes, sums in two turns. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "blocks/state.h"
#include "sample.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

enum { PLANES = 3, WIDTH = 10, CONTEXT = 700, STRIDE = 4 };
enum { ROWS, SHARED, SUMS, FEW }; /* parts */

static const struct tare_state_part parts[] = {{TARE_STATE_ROWS, PLANES, WIDTH, 0},
                                               {TARE_STATE_ROWS, 1, 2, STRIDE},
                                               {TARE_STATE_SUM, 5, 7, 0},
                                               {TARE_STATE_SUM, 0, 7, 0}};
static struct tare_kernels kernels;

static struct tare_state *open_state(void)
{
    struct tare_state *s = NULL;
    assert_int_equal(tare_state_open(&s, parts, FIXTURE_COUNT(parts), CONTEXT, NULL), TARE_OK);
    return s;
}

static struct tare_state *fork_state(const struct tare_state *s, int64_t length)
{
    struct tare_state *fork = NULL;
    assert_int_equal(tare_state_fork(&fork, s, length, NULL), TARE_OK);
    return fork;
}

/* Number k of a row that was written by `writer`. */
static float number(int writer, int64_t row, int64_t plane, int64_t k)
{
    return (float)(writer * 1000000 + row * 1000 + plane * 100 + k);
}

/* Reserve and write positions [from, to). */
static void write_rows(struct tare_state *s, int writer, int64_t from, int64_t to)
{
    assert_int_equal(tare_state_reserve(s, from, to, NULL), TARE_OK);
    for (int64_t row = from; row < to; row++)
        for (int64_t plane = 0; plane < PLANES; plane++) {
            float values[WIDTH];
            for (int64_t k = 0; k < WIDTH; k++)
                values[k] = number(writer, row, plane, k);
            tare_state_put(&kernels, s, ROWS, row, plane, values);
            if (row % STRIDE == 0 && plane == 0)
                tare_state_put(&kernels, s, SHARED, row / STRIDE, 0, values);
        }
}

static void expect_rows(const struct tare_state *s, int writer, int64_t from, int64_t to)
{
    for (int64_t row = from; row < to; row++)
        for (int64_t plane = 0; plane < PLANES; plane++) {
            float values[WIDTH], two[2];
            tare_state_get(&kernels, s, ROWS, row, plane, values);
            for (int64_t k = 0; k < WIDTH; k++)
                if (values[k] != number(writer, row, plane, k))
                    fail_msg("row %lld: %g is not of writer %d", (long long)row, (double)values[k], writer);
            tare_state_get(&kernels, s, SHARED, row / STRIDE, 0, two);
            if (row % STRIDE == 0)
                assert_true(two[1] == number(writer, row, 0, 1));
        }
}

static void test_rows(void **unused)
{
    (void)unused;
    static const int64_t ends[] = {0, 1, 5, 127, 128, 129, 300, 512, CONTEXT};
    struct tare_state *s = open_state();
    for (size_t i = 0; i + 1 < FIXTURE_COUNT(ends); i++) {
        write_rows(s, 1, ends[i], ends[i + 1]);
        expect_rows(s, 1, 0, ends[i + 1]); /* growing moves nothing */
    }
    write_rows(s, 2, 200, 400); /* rewound, and gone another way */
    expect_rows(s, 1, 0, 200);
    expect_rows(s, 2, 200, 400);
    tare_state_free(s);
    tare_state_free(NULL);
}

/* Both products over chunks, from every kind of beginning. */
static void test_products(void **unused)
{
    (void)unused;
    static const int64_t ranges[][2] = {{0, 1}, {0, 128}, {5, 124}, {100, 60}, {127, 258}, {256, 44}};
    struct tare_state *s = open_state();
    assert_int_equal(tare_state_reserve(s, 0, 400, NULL), TARE_OK);
    static float rows[400][WIDTH], q[WIDTH], p[400], score[400];
    sample_fill(rows[0], 400 * WIDTH, "rows", 0, 1);
    sample_fill(q, WIDTH, "q", 0, 1);
    sample_fill(p, 400, "p", 0, 1);
    for (int64_t row = 0; row < 400; row++)
        tare_state_put(&kernels, s, ROWS, row, 1, rows[row]);
    for (size_t i = 0; i < FIXTURE_COUNT(ranges); i++) {
        const int64_t first = ranges[i][0], n = ranges[i][1];
        float y[WIDTH] = {1, 2, 3}, sum[WIDTH] = {1, 2, 3};
        tare_state_scores(&kernels, s, ROWS, 1, q, first, n, 0.5f, score);
        tare_state_mix(&kernels, s, ROWS, 1, p, first, n, y);
        for (int64_t r = 0; r < n; r++) {
            float dot = 0;
            for (int64_t k = 0; k < WIDTH; k++) {
                dot += 0.5f * q[k] * rows[first + r][k];
                sum[k] += p[r] * rows[first + r][k];
            }
            sample_near(&score[r], &dot, 1, 1e-5f);
        }
        sample_near(y, sum, WIDTH, 1e-5f);
    }
    tare_state_free(s);
}

/* Bytes that malloc() has given out; 0 where it does not tell, as under sanitizers. */
#ifdef __GLIBC__
static size_t heap(void)
{
    const struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}
#else
static size_t heap(void)
{
    return 0;
}
#endif

/* A fork has no part of what its origin reserved, and one that is rewound lets go of chunks that others hold. */
static void test_memory(void **unused)
{
    (void)unused;
    const struct tare_state_part wide = {TARE_STATE_ROWS, 8, 1024, 0};
    const size_t chunk = sizeof(float) * 8 * 1024 * TARE_STATE_TOGETHER, before = heap();
    struct tare_state *s = NULL;
    if (!before)
        skip();
    assert_int_equal(tare_state_open(&s, &wide, 1, 1024, NULL), TARE_OK);
    assert_int_equal(tare_state_reserve(s, 0, 1024, NULL), TARE_OK);
    assert_true(heap() - before >= 8 * chunk);
    struct tare_state *fork = fork_state(s, 300), *part = fork_state(fork, 300);
    tare_state_free(s);
    assert_true(heap() - before < 4 * chunk); /* three chunks hold 300 rows */
    tare_state_rewind(part, 100);
    tare_state_free(fork);
    assert_true(heap() - before < 2 * chunk);
    assert_int_equal(tare_state_reserve(part, 100, 1024, NULL), TARE_OK);
    tare_state_rewind(part, 100); /* its own reserve stays */
    assert_true(heap() - before >= 8 * chunk);
    size_t first = 0;
    for (int i = 0; i < 1000; i++) { /* a fork of a fork of a fork takes no more than the first one */
        fork = fork_state(part, 100);
        tare_state_free(part);
        part = fork;
        first = i ? first : heap();
    }
    assert_true(heap() < first + 2048);
    tare_state_free(part);
}

/* Forks in both directions, of a fork, and after the first one is gone. */
static void test_forks(void **unused)
{
    (void)unused;
    struct tare_state *first = open_state();
    write_rows(first, 1, 0, 300);
    struct tare_state *second = fork_state(first, 310);
    expect_rows(second, 1, 0, 300);
    write_rows(second, 2, 300, 310);
    write_rows(first, 3, 300, 305);
    expect_rows(first, 3, 300, 305);
    expect_rows(second, 2, 300, 310);
    struct tare_state *third = fork_state(second, 310);
    write_rows(second, 4, 40, 500); /* from the first chunk on */
    expect_rows(second, 1, 0, 40);
    expect_rows(second, 4, 40, 500);
    expect_rows(first, 1, 0, 300);
    expect_rows(third, 1, 0, 300);
    expect_rows(third, 2, 300, 310);
    tare_state_free(second);
    tare_state_free(first);
    expect_rows(third, 1, 0, 300);
    write_rows(third, 5, 310, CONTEXT); /* room for the whole context, as the first had */
    expect_rows(third, 2, 300, 310);
    expect_rows(third, 5, 310, CONTEXT);
    tare_state_free(third);
}

static bool zero(const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (x[i] != 0)
            return false;
    return true;
}

static void test_sums(void **unused)
{
    (void)unused;
    enum { N = 35 };
    struct tare_state *s = open_state();
    assert_true(tare_state_sums(s));
    assert_true(zero(tare_state_from(s, SUMS, 0), N) && zero(tare_state_from(s, SUMS, 1), N));
    float *to = tare_state_to(s, SUMS, 0);
    const float *from = tare_state_from(s, SUMS, 0);
    assert_true(to + N <= from || from + N <= to);
    assert_ptr_equal(tare_state_from(s, SUMS, 1), to); /* what a pass leaves is what the next one reads */
    assert_ptr_equal(tare_state_to(s, SUMS, 1), from);
    assert_non_null(tare_state_from(s, FEW, 0)); /* of nothing, and may be asked for */
    for (int i = 0; i < N; i++)
        to[i] = (float)i + 1;
    assert_true(zero(from, N)); /* a pass that fails has changed nothing */

    struct tare_state *fork = fork_state(s, 0);
    assert_memory_equal(tare_state_from(fork, SUMS, 1), to, N * sizeof *to);
    assert_true(zero(tare_state_from(fork, SUMS, 0), N));
    tare_state_to(fork, SUMS, 0)[3] = -5;
    assert_true(to[3] == 4);
    tare_state_clear(s, 1);
    assert_true(zero(tare_state_from(s, SUMS, 1), N));
    assert_true(tare_state_from(fork, SUMS, 1)[4] == 5);
    tare_state_free(fork);
    tare_state_free(s);

    assert_int_equal(tare_state_open(&s, parts, 2, CONTEXT, NULL), TARE_OK);
    assert_false(tare_state_sums(s));
    tare_state_free(s);
}

/* Sizes beyond memory are refused as memory, with nothing left behind. */
static void test_too_large(void **unused)
{
    (void)unused;
    const int64_t huge = INT64_MAX / 2;
    const struct tare_state_part bad[][2] = {
        {{TARE_STATE_ROWS, 2, 2, 0}, {TARE_STATE_SUM, huge, 3, 0}},
        {{TARE_STATE_ROWS, 2, 2, 0}, {TARE_STATE_SUM, huge, 1, 0}},
        {{TARE_STATE_SUM, 2, 2, 0}, {TARE_STATE_ROWS, huge, huge, 0}},
    };
    for (size_t i = 0; i < FIXTURE_COUNT(bad); i++) {
        struct tare_state *s = NULL;
        struct tare_error err = {0};
        fixture_expect(tare_state_open(&s, bad[i], 2, CONTEXT, &err), &err, TARE_E_MEMORY, NULL, NULL);
        assert_null(s);
    }
    const struct tare_state_part wide = {TARE_STATE_ROWS, huge / 4, 1, 0}; /* a chunk does not fit */
    struct tare_state *s = NULL;
    struct tare_error err = {0};
    assert_int_equal(tare_state_open(&s, &wide, 1, CONTEXT, &err), TARE_OK);
    fixture_expect(tare_state_reserve(s, 0, 1, &err), &err, TARE_E_MEMORY, NULL, NULL);
    tare_state_free(s);
}

int main(void)
{
    tare_kernels_pick(&kernels, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows), cmocka_unit_test(test_products),  cmocka_unit_test(test_forks),
        cmocka_unit_test(test_sums), cmocka_unit_test(test_too_large), cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
