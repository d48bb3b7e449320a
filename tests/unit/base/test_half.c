/* SPDX-License-Identifier: MIT
 * test_half.c - all 16-bit patterns there and back, and rounding against a reference in double that searches. */
#include "base/half.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "fixture.h"

/* The value of a 16-bit pattern with that many exponent and fraction bits, from the definition of IEEE 754. */
static double value_of(uint32_t half, int exponent_bits, int fraction_bits)
{
    const int bias = (1 << (exponent_bits - 1)) - 1;
    const int exponent = (int)(half >> fraction_bits & ((1u << exponent_bits) - 1));
    const double fraction = half & ((1u << fraction_bits) - 1), sign = half & 0x8000 ? -1 : 1;
    if (exponent == (1 << exponent_bits) - 1)
        return fraction != 0 ? (double)NAN : sign * (double)INFINITY;
    if (!exponent)
        return sign * ldexp(fraction, 1 - bias - fraction_bits);
    return sign * ldexp(1 + ldexp(fraction, -fraction_bits), exponent - bias);
}

/* Nearest pattern of a positive value by bisection, ties to even; past the middle of the last gap it is infinity. */
static uint32_t nearest(double value, int exponent_bits, int fraction_bits)
{
    const uint32_t infinity = ((1u << exponent_bits) - 1) << fraction_bits;
    uint32_t low = 0, high = infinity;
    while (high - low > 1) {
        const uint32_t middle = (low + high) / 2;
        if (value_of(middle, exponent_bits, fraction_bits) <= value)
            low = middle;
        else
            high = middle;
    }
    const double below = value_of(low, exponent_bits, fraction_bits);
    /* infinity stands where the next number would if there were one */
    const double above = high == infinity ? below + (below - value_of(low - 1, exponent_bits, fraction_bits))
                                          : value_of(high, exponent_bits, fraction_bits);
    const double down = value - below, up = above - value; /* exact: all are floats of nearly one size, in double */
    if (down != up)
        return down < up ? low : high;
    return low & 1 ? high : low;
}

static void float16_there_and_back(void **state)
{
    (void)state;
    for (uint32_t half = 0; half <= 0xffff; half++) {
        const float value = tare_from_float16((uint16_t)half);
        const double expected = value_of(half, 5, 10);
        const uint16_t back = tare_to_float16(value);
        if (isnan(expected)) {
            assert_true(isnan(value));
            assert_true((back & 0x7c00) == 0x7c00 && (back & 0x3ff) && (back & 0x8000) == (half & 0x8000));
            continue;
        }
        assert_true((double)value == expected && !signbit(value) == !(half & 0x8000));
        assert_int_equal(back, half);
    }
}

static void bfloat16_there_and_back(void **state)
{
    (void)state;
    for (uint32_t half = 0; half <= 0xffff; half++) {
        const float value = tare_from_bfloat16((uint16_t)half);
        const double expected = value_of(half, 8, 7);
        const uint16_t back = tare_to_bfloat16(value);
        if (isnan(expected)) {
            assert_true(isnan(value));
            assert_true((back & 0x7f80) == 0x7f80 && (back & 0x7f) && (back & 0x8000) == (half & 0x8000));
            continue;
        }
        assert_true((double)value == expected && !signbit(value) == !(half & 0x8000));
        assert_int_equal(back, half);
    }
}

static void check(float value)
{
    const uint32_t sign = tare_float_bits(value) >> 16 & 0x8000;
    const double size = fabs((double)value);
    assert_int_equal(tare_to_float16(value), nearest(size, 5, 10) | sign);
    assert_int_equal(tare_to_bfloat16(value), nearest(size, 8, 7) | sign);
}

/* Between each two neighbours: the middle, a hair to both sides of it, and a hair beside the ends. */
static void check_around(float below, float above)
{
    const float middle = (float)(((double)below + (double)above) / 2);
    static const float signs[] = {1, -1};
    for (int i = 0; i < 2; i++) {
        check(signs[i] * middle);
        check(signs[i] * nextafterf(middle, INFINITY));
        check(signs[i] * nextafterf(middle, 0));
        check(signs[i] * nextafterf(below, INFINITY));
        check(signs[i] * nextafterf(above, 0));
    }
}

static void float16_rounds_to_even(void **state)
{
    (void)state;
    for (uint32_t half = 0; half < 0x7bff; half++)
        check_around(tare_from_float16((uint16_t)half), tare_from_float16((uint16_t)(half + 1)));
    check_around(65504, 65536);
    check(65519.996f);
    check(65520);
    check(1e30f);
    check(INFINITY);
    check(-INFINITY);
}

static void bfloat16_rounds_to_even(void **state)
{
    (void)state;
    for (uint32_t half = 0; half < 0x7f7f; half++)
        check_around(tare_from_bfloat16((uint16_t)half), tare_from_bfloat16((uint16_t)(half + 1)));
    check(3.4028235e38f); /* FLT_MAX lies past the middle: infinity */
    check(tare_bits_float(0x7f7f7fff));
    check(tare_bits_float(0x7f7f8000));
}

static void any_float_rounds(void **state)
{
    (void)state;
    uint32_t bits = 1;
    for (int i = 0; i < 300000; i++) {
        bits = bits * 1664525u + 1013904223u;
        const float value = tare_bits_float(bits);
        if (!isnan(value))
            check(value);
        else
            assert_true(isnan(tare_from_float16(tare_to_float16(value))) &&
                        isnan(tare_from_bfloat16(tare_to_bfloat16(value))));
    }
    for (uint32_t low = 0; low < 0x10000; low++) /* NaNs whose payload lies in the low bits alone */
        assert_true(low == 0 || (isnan(tare_from_float16(tare_to_float16(tare_bits_float(0x7f800000 | low)))) &&
                                 isnan(tare_from_bfloat16(tare_to_bfloat16(tare_bits_float(0x7f800000 | low))))));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(float16_there_and_back), cmocka_unit_test(bfloat16_there_and_back),
        cmocka_unit_test(float16_rounds_to_even), cmocka_unit_test(bfloat16_rounds_to_even),
        cmocka_unit_test(any_float_rounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
