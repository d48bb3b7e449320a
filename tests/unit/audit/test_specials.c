/* SPDX-License-Identifier: MIT
 * test_specials.c - NaN, infinity and denormal numbers are found in every dtype, at every place in a block and at any
 * alignment, as isnan() and isinf() find them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "audit/specials.h"
#include "base/small_float.h"
#include "fixture.h"

static uint64_t state_of = 1;

static uint64_t draw(void)
{
    state_of = state_of * 6364136223846793005u + 1442695040888963407u;
    return state_of >> 20;
}

/* The kind of one element, by its value; TARE_SPECIALS: a sound number. */
static enum tare_special kind_of(const unsigned char *bytes, enum tare_dtype dtype, bool small)
{
    uint16_t half;
    double value = 0, least = 0; /* the smallest normal number */
    float single;
    memcpy(&half, bytes, sizeof half);
    memcpy(&single, bytes, sizeof single);
    switch (dtype) {
    case TARE_F16:
        value = (double)tare_from_float16(half);
        least = 0x1p-14;
        break;
    case TARE_BF16:
        value = (double)tare_from_bfloat16(half);
        least = 0x1p-126;
        break;
    case TARE_F32:
        value = (double)single;
        least = 0x1p-126;
        break;
    case TARE_F8_E4M3:
        value = (double)tare_from_e4m3(*bytes);
        least = 0x1p-6;
        break;
    case TARE_F8_E5M2:
        value = (double)tare_from_float16((uint16_t)(*bytes << 8));
        least = 0x1p-14;
        break;
    case TARE_F8_E8M0:
        return *bytes == 0xff ? TARE_IS_NAN : TARE_SPECIALS;
    default:
        memcpy(&value, bytes, sizeof value);
        least = 0x1p-1022;
    }
    return isnan(value)                   ? TARE_IS_NAN
           : isinf(value)                 ? TARE_IS_INFINITE
           : small && value == 0          ? TARE_IS_ZERO
           : small && fabs(value) < least ? TARE_IS_DENORMAL
                                          : TARE_SPECIALS;
}

static void one(enum tare_dtype dtype, uint64_t n, bool small, unsigned often)
{
    const size_t size = tare_dtype_size(dtype);
    unsigned char *raw = malloc(n * size + 16), *data = raw + draw() % 8;
    assert_non_null(raw);
    struct tare_specials want = {0}, got = {0};
    for (uint64_t i = 0; i < n; i++) {
        const uint64_t any = draw() << 32 ^ draw();
        memcpy(data + i * size, &any, size);
        if (often && draw() % often) /* mostly sound: exponents in the middle */
            data[i * size + size - 1] = (unsigned char)((data[i * size + size - 1] & 0x83) | 0x30);
    }
    memset(data + n * size, 0, 8);
    for (uint64_t i = 0; i < n; i++) {
        unsigned char element[8] = {0};
        memcpy(element, data + i * size, size);
        const enum tare_special kind = kind_of(element, dtype, small);
        if (kind != TARE_SPECIALS && !want.count[kind]++)
            want.first[kind] = 100 + i;
    }
    tare_specials_find(data, dtype, 100, n, small, &got);
    assert_memory_equal(&got, &want, sizeof got);
    free(raw);
}

static void test_all(void **state)
{
    static const enum tare_dtype dtypes[] = {TARE_F16,     TARE_BF16,    TARE_F32,    TARE_F64,
                                             TARE_F8_E4M3, TARE_F8_E5M2, TARE_F8_E8M0};
    (void)state;
    for (size_t k = 0; k < FIXTURE_COUNT(dtypes); k++)
        for (int i = 0; i < 60; i++)
            one(dtypes[k], draw() % 3000, i % 2, i % 3 == 0 ? 0 : i % 3 == 1 ? 700 : 20);
}

static void test_sum(void **state)
{
    (void)state;
    struct tare_specials sum = {0};
    const struct tare_specials late = {{2, 0, 0, 1}, {70, 0, 0, 9}}, early = {{1, 1, 0, 0}, {30, 40, 0, 0}};
    tare_specials_add(&sum, &late);
    tare_specials_add(&sum, &early);
    assert_int_equal(sum.count[TARE_IS_NAN], 3);
    assert_int_equal(sum.first[TARE_IS_NAN], 30);
    assert_int_equal(sum.first[TARE_IS_INFINITE], 40);
    assert_int_equal(sum.first[TARE_IS_DENORMAL], 9);
    const uint32_t word = 0x7fc00000; /* no float, nothing special */
    struct tare_specials none = {0};
    tare_specials_find(&word, TARE_U32, 0, 1, true, &none);
    assert_int_equal(none.count[TARE_IS_NAN], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all), cmocka_unit_test(test_sum)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
