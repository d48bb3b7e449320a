/* SPDX-License-Identifier: MIT
 * test_halves.c - every set's to_float16 and to_bfloat16, bit by bit against base/half.h: all signs, exponents and
 * leading fraction bits, ties and their neighbours, NaNs, infinities and denormals; any number of floats, at any
 * alignment, between pages that may not be touched. `test_halves --bench` times them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/half.h"
#include "guarded.h"

static void check(const struct tare_kernels *k, const float *x, int64_t n)
{
    for (int kind = 0; kind < 2; kind++) {
        struct guarded to = guard((size_t)n * 2);
        (kind ? k->to_bfloat16 : k->to_float16)(x, n, to.data);
        for (int64_t i = 0; i < n; i++) {
            uint16_t got;
            memcpy(&got, (const unsigned char *)to.data + 2 * i, sizeof got);
            const uint16_t wanted = kind ? tare_to_bfloat16(x[i]) : tare_to_float16(x[i]);
            if (got != wanted)
                fail_msg("%s, %s: %08x became %04x, not %04x", k->name, kind ? "bfloat16" : "float16",
                         (unsigned)tare_float_bits(x[i]), (unsigned)got, (unsigned)wanted);
        }
        unguard(&to);
    }
}

/* The lower halves that decide how either type rounds: nothing, the least, ties of 13 and of 16 dropped bits and what
 * lies beside them. */
static void patterns(const struct tare_kernels *k)
{
    static const uint32_t low[] = {0,      1,      0x0fff, 0x1000, 0x1001, 0x2fff, 0x3000, 0x3001, 0x5000,
                                   0x6fff, 0x7000, 0x7fff, 0x8000, 0x8001, 0xefff, 0xf000, 0xf001, 0xffff};
    struct guarded g;
    float *x = floats(&g, 65536);
    for (size_t j = 0; j < sizeof low / sizeof *low; j++) {
        for (uint32_t high = 0; high < 65536; high++) {
            const uint32_t bits = high << 16 | low[j];
            memcpy(x + high, &bits, sizeof bits); /* a float that is copied as a float may lose a NaN's bits */
        }
        check(k, x, 65536);
    }
    unguard(&g);
}

static void sizes(const struct tare_kernels *k)
{
    for (int64_t n = 0; n <= 100; n++) {
        struct guarded g;
        float *x = floats(&g, n + 1);
        check(k, x + 1, n); /* the floats end at the page as well */
        unguard(&g);
    }
    unsigned char to[2 * 77 + 1];
    struct guarded g;
    const float *x = floats(&g, 77);
    k->to_float16(x, 77, to + 1);
    for (int i = 0; i < 77; i++) {
        uint16_t got;
        memcpy(&got, to + 1 + 2 * i, sizeof got);
        assert_int_equal(got, tare_to_float16(x[i]));
    }
    k->to_bfloat16(x, 77, to + 1);
    for (int i = 0; i < 77; i++) {
        uint16_t got;
        memcpy(&got, to + 1 + 2 * i, sizeof got);
        assert_int_equal(got, tare_to_bfloat16(x[i]));
    }
    unguard(&g);
}

static void test_patterns(void **state)
{
    (void)state;
    each_set(patterns);
}

static void test_sizes(void **state)
{
    (void)state;
    each_set(sizes);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Best of twenty, in one thread, of numbers that fit the second cache. */
static void bench(const struct tare_kernels *k)
{
    enum { N = 65536 };
    struct guarded g;
    const float *x = floats(&g, N);
    unsigned char *to = malloc(2 * N);
    for (int kind = 0; kind < 2; kind++) {
        double best = 1e9;
        for (int i = 0; i < 20; i++) {
            const double start = now();
            for (int r = 0; r < 20; r++)
                (kind ? k->to_bfloat16 : k->to_float16)(x, N, to);
            const double t = (now() - start) / 20;
            best = t < best ? t : best;
        }
        printf("%-7s %-8s  %6.2f GB/s of output\n", k->name, kind ? "bfloat16" : "float16", 2 * N / best * 1e-9);
    }
    free(to);
    unguard(&g);
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "--bench")) {
        each_set(bench);
        return 0;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_patterns), cmocka_unit_test(test_sizes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
