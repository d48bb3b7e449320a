/* SPDX-License-Identifier: MIT
 * test_dtype.c - names, sizes and blocks of all dtypes, and elements of each as numbers, at places of any alignment. */
#include "base/dtype.h"

#include <math.h>

#include "base/number.h"
#include "fixture.h"

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(tare_dtype_name(TARE_BF16), "BF16");
    assert_string_equal(tare_dtype_name(TARE_Q4_K), "Q4_K");
    assert_string_equal(tare_dtype_name(TARE_DTYPE_END), "?");
    assert_int_equal(tare_dtype_size(TARE_U64), 8);
    assert_int_equal(tare_dtype_size(TARE_Q8_0), 0);
    assert_int_equal(tare_dtype_block(TARE_F16).columns, 1);
    assert_int_equal(tare_dtype_block(TARE_F16).bytes, 2);
    assert_int_equal(tare_dtype_block(TARE_Q6_K).columns, 256);
    assert_int_equal(tare_dtype_block(TARE_Q6_K).bytes, 210);
    assert_true(tare_dtype_is_float(TARE_F8_E8M0) && !tare_dtype_is_float(TARE_I32) && !tare_dtype_is_float(TARE_Q4_0));
}

/* The second element of an array that begins at an odd address. */
static double second(enum tare_dtype dtype, const void *element)
{
    unsigned char bytes[1 + 2 * 8] = {0};
    const size_t size = tare_dtype_size(dtype);
    memcpy(bytes + 1 + size, element, size);
    return tare_number_at(bytes + 1, dtype, 1);
}
#define NUMBER(dtype, type, value) assert_true(second(dtype, &(const type){value}) == (double)(value))

static void test_numbers(void **state)
{
    (void)state;
    NUMBER(TARE_BOOL, uint8_t, 1);
    NUMBER(TARE_U8, uint8_t, 200);
    NUMBER(TARE_I8, int8_t, -3);
    NUMBER(TARE_I16, int16_t, -32768);
    NUMBER(TARE_U16, uint16_t, 65535);
    NUMBER(TARE_I32, int32_t, -2147483647);
    NUMBER(TARE_U32, uint32_t, 4294967295u);
    NUMBER(TARE_I64, int64_t, -9007199254740993);
    NUMBER(TARE_U64, uint64_t, 18446744073709551615u);
    NUMBER(TARE_F32, float, 0.1f);
    NUMBER(TARE_F64, double, 0.1);
    assert_true(second(TARE_F16, &(const uint16_t){0x3c01}) == 1 + 0x1p-10);
    assert_true(second(TARE_BF16, &(const uint16_t){0xbf81}) == -1 - 0x1p-7);
    assert_true(second(TARE_F8_E4M3, &(const uint8_t){0x81}) == 0x81);
}

static void test_floats(void **state)
{
    (void)state;
    const double stored[3] = {1, 0.1, -2};
    float made[2], put[3] = {0};
    assert_true(tare_floats_at(stored, TARE_F64, 1, 2, made));
    assert_true(made[0] == 0.1f && made[1] == -2);
    assert_false(tare_floats_at(stored, TARE_U8, 0, 1, made));
    const enum tare_dtype floats[] = {TARE_F16, TARE_BF16, TARE_F32};
    for (size_t k = 0; k < 3; k++) {
        tare_float_put(put, floats[k], 2, 0.1f);
        assert_true(tare_float_at(put, floats[k], 2) == tare_float_round(floats[k], 0.1f));
        assert_true(tare_floats_at(put, floats[k], 2, 1, made) && made[0] == tare_float_round(floats[k], 0.1f));
    }
}

static void test_integers(void **state)
{
    (void)state;
    assert_int_equal(tare_common_divisor(12, 18), 6);
    assert_int_equal(tare_common_divisor(7, 0), 7);
    assert_int_equal(tare_common_divisor(0, 7), 7);
    const unsigned char bytes[9] = {0, 0, 0, 0, 0, 1, 2, 3, 4};
    assert_int_equal(tare_word_at(bytes + 1, 1), 0x04030201);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_names), cmocka_unit_test(test_numbers),
                                       cmocka_unit_test(test_floats), cmocka_unit_test(test_integers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
