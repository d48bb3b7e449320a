/* SPDX-License-Identifier: MIT
 * test_head.c - a dense head in 8 bits: each weight within half a step of its group's rounded scale; zeros, tiny
 * groups, NaN and infinities. */
#include "run/weights/head8.h"

#include <math.h>
#include <stdlib.h>

#include "base/half.h"
#include "fixture.h"
#include "kernels/tiles.h"

static uint32_t next(void)
{
    static uint64_t state = 3;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 32);
}

static float real(void)
{
    return ((float)next() / 4294967296.0f - 0.5f) * 0.1f;
}

static void count(void *user)
{
    ++*(int *)user;
}

static void make(struct tare_head8 **head, const float *w, int64_t rows, int64_t in)
{
    struct tare_pool *pool = NULL;
    struct tare_kernels kernels;
    const struct tare_matrix dense = {
        .storage = TARE_STORE_F32, .rows = rows, .in = in, .stride = (size_t)in * sizeof *w, .data = (const void *)w};
    int read = 0;
    const struct tare_head_source source = {&dense, count, &read};
    tare_kernels_pick(&kernels, NULL);
    assert_true(tare_head8_fits(&dense));
    assert_int_equal(tare_pool_open(&pool, 2, NULL), TARE_OK);
    assert_int_equal(tare_head8_make(head, &source, &kernels, pool, NULL), TARE_OK);
    assert_in_range(read, 1, 8);
    tare_pool_free(pool);
}

static void near_by(void **state)
{
    (void)state;
    for (int c = 0; c < 12; c++) {
        const int64_t in = 32 * (1 + next() % 9), rows = 1 + next() % 70, group = tare_head8_group(in);
        float *w = malloc((size_t)(rows * in) * sizeof *w), *row = malloc((size_t)in * sizeof *row);
        for (int64_t i = 0; i < rows * in; i++)
            w[i] = real();
        for (int64_t i = 0; i < group; i++)
            w[i] = c % 3 == 0 ? 0 : c % 3 == 1 ? real() * 0x1p-118f : real() * 0x1p120f;
        struct tare_head8 *head = NULL;
        make(&head, w, rows, in);
        assert_int_equal(in % group, 0);
        for (int64_t r = 0; r < rows; r++) {
            tare_scalar_unpack_tile(&head->matrix, r, 0, in, row);
            for (int64_t g = 0; g < in; g += group) {
                float most = 0;
                for (int64_t i = g; i < g + group; i++)
                    most = fmaxf(most, fabsf(w[r * in + i]));
                for (int64_t i = g; i < g + group; i++) /* half a step, and the rounding of the scale */
                    assert_true(fabsf(row[i] - w[r * in + i]) <= most / 127 * 0.51f + 0x1p-100f);
            }
        }
        tare_head8_free(head);
        free(w);
        free(row);
    }
}

static void not_finite(void **state)
{
    (void)state;
    float w[64] = {1, 2, 3}, row[64];
    w[40] = NAN;
    struct tare_head8 *head = NULL;
    const struct tare_matrix odd = {.storage = TARE_STORE_F32, .rows = 1, .in = 40};
    assert_false(tare_head8_fits(&odd));
    make(&head, w, 2, 32);
    tare_scalar_unpack_tile(&head->matrix, 0, 0, 32, row);
    assert_true(fabsf(row[2] - 3) < 0.02f);
    tare_scalar_unpack_tile(&head->matrix, 1, 0, 32, row);
    assert_true(isnan(row[0]) && isnan(row[8]));
    tare_head8_free(head);
    w[40] = -INFINITY;
    make(&head, w, 2, 32);
    tare_scalar_unpack_tile(&head->matrix, 1, 0, 32, row);
    assert_true(isnan(row[0]) && isnan(row[8]));
    tare_head8_free(head);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(near_by), cmocka_unit_test(not_finite)};
    return cmocka_run_group_tests_name("head", tests, NULL, NULL);
}
