/* SPDX-License-Identifier: MIT
 * test_levels.c - 16 floats as whole numbers of 16 bits: within half a unit, zero exact, and numbers that are none counted as zero. */
#include "run/weights/levels.h"

#include <math.h>

#include "fixture.h"

static float back(const struct tare_levels *l, int k)
{
    return l->unit * (float)(256 * l->table[k] + l->low[k] - TARE_LEVELS_ZERO);
}

static void nf4(void **state)
{
    static const float level[16] = {
        -1,          -0.69619280f, -0.52507305f, -0.39491749f, -0.28444138f, -0.18477343f, -0.09105004f, 0,
        0.07958030f, 0.16093020f,  0.24611230f,  0.33791524f,  0.44070983f,  0.56261700f,  0.72295684f,  1};
    struct tare_levels l;
    (void)state;
    tare_levels_fit(level, &l);
    for (int k = 0; k < 16; k++)
        assert_true(fabsf(back(&l, k) - level[k]) <= 0.5001f * l.unit);
    assert_true(back(&l, 7) == 0);
    assert_true(l.unit < 1.0f / 32000);
}

static void odd_ones(void **state)
{
    static const float level[16] = {0, NAN, INFINITY, -INFINITY, 3e38f, -3e38f, 1e-38f};
    static const float none[16] = {0};
    struct tare_levels l;
    (void)state;
    tare_levels_fit(level, &l);
    assert_true(back(&l, 0) == 0 && back(&l, 1) == 0 && back(&l, 2) == 0 && back(&l, 6) == 0);
    assert_true(fabsf(back(&l, 5) + 3e38f) <= l.unit);
    tare_levels_fit(none, &l);
    for (int k = 0; k < 16; k++)
        assert_true(back(&l, k) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nf4), cmocka_unit_test(odd_ones)};
    return cmocka_run_group_tests_name("levels", tests, NULL, NULL);
}
