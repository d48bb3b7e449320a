/* SPDX-License-Identifier: MIT
 * test_sampler.c - greedy, each filter, the order of filters, and that draws follow the distribution and repeat. */
#include <math.h>
#include <stdlib.h>

#include "fixture.h"

static int32_t sampled(const float *logits, int64_t n, const struct tare_sampling *sampling, uint64_t draw)
{
    int32_t id = -2;
    assert_int_equal(tare_sample(&id, logits, n, sampling, draw, NULL), TARE_OK);
    return id;
}

#define DRAWS 20000

/* Probabilities 0.4, 0.3, 0.2, 0.1 at temperature 1, as logits, out of order. */
static void logits_of(float l[4])
{
    const double p[] = {0.2, 0.4, 0.1, 0.3};
    for (int i = 0; i < 4; i++)
        l[i] = (float)log(p[i]) + 3;
}

/* Shares of each id over many draws. */
static void shares(const struct tare_sampling *s, double share[4])
{
    float l[4];
    logits_of(l);
    for (int i = 0; i < 4; i++)
        share[i] = 0;
    for (uint64_t d = 0; d < DRAWS; d++) {
        const int32_t id = sampled(l, 4, s, d);
        assert_true(id >= 0 && id < 4);
        share[id] += 1.0 / DRAWS;
    }
}

static void expect(const struct tare_sampling *s, double a, double b, double c, double d)
{
    const double want[] = {a, b, c, d};
    double got[4];
    shares(s, got);
    for (int i = 0; i < 4; i++) /* four standard deviations of a share of 0.5 */
        if (fabs(got[i] - want[i]) > (want[i] > 0 ? 4 * sqrt(0.25 / DRAWS) : 0))
            fail_msg("id %d: share %.4f, expected %.4f", i, got[i], want[i]);
}

#define SAMPLING(...) (&(struct tare_sampling){.size = sizeof(struct tare_sampling), .seed = 7, __VA_ARGS__})

static void test_greedy(void **unused)
{
    (void)unused;
    const float tie[] = {1, 3, 3, NAN}, nothing[] = {NAN, NAN, -INFINITY};
    expect(SAMPLING(.temperature = 0), 0, 1, 0, 0);
    expect(NULL, 0, 1, 0, 0);
    assert_int_equal(sampled(tie, 4, NULL, 0), 1); /* the smaller id */
    assert_int_equal(sampled(nothing, 3, SAMPLING(.temperature = 1), 0), 2);
}

static void test_temperature(void **unused)
{
    (void)unused;
    expect(SAMPLING(.temperature = 1), 0.2, 0.4, 0.1, 0.3);
    /* squares: 0.04, 0.16, 0.01, 0.09 of 0.30 */
    expect(SAMPLING(.temperature = 0.5f), 0.04 / 0.3, 0.16 / 0.3, 0.01 / 0.3, 0.09 / 0.3);
}

static void test_filters(void **unused)
{
    (void)unused;
    expect(SAMPLING(.temperature = 1, .top_k = 2), 0, 4.0 / 7, 0, 3.0 / 7);
    expect(SAMPLING(.temperature = 1, .top_k = 1), 0, 1, 0, 0);
    expect(SAMPLING(.temperature = 1, .top_k = 9), 0.2, 0.4, 0.1, 0.3);
    expect(SAMPLING(.temperature = 1, .top_p = 0.65f), 0, 4.0 / 7, 0, 3.0 / 7);
    expect(SAMPLING(.temperature = 1, .top_p = 0.75f), 2.0 / 9, 4.0 / 9, 0, 3.0 / 9);
    expect(SAMPLING(.temperature = 1, .top_p = 1e-6f), 0, 1, 0, 0);
    expect(SAMPLING(.temperature = 1, .min_p = 0.4f), 2.0 / 9, 4.0 / 9, 0, 3.0 / 9);
    expect(SAMPLING(.temperature = 1, .min_p = 1), 0, 1, 0, 0);
}

/* Top-p sees what top-k left, renormalized: 4/7 and 3/7, so 0.5 is reached by the first. The temperature comes last. */
static void test_order(void **unused)
{
    (void)unused;
    expect(SAMPLING(.temperature = 1, .top_k = 2, .top_p = 0.5f), 0, 1, 0, 0);
    expect(SAMPLING(.temperature = 5, .top_p = 0.65f), 0, pow(4, 0.2) / (pow(4, 0.2) + pow(3, 0.2)), 0,
           pow(3, 0.2) / (pow(4, 0.2) + pow(3, 0.2)));
}

/* A draw is a function of seed, draw and logits; other seeds and draws give others. */
static void test_repeats(void **unused)
{
    (void)unused;
    float l[1000];
    for (int i = 0; i < 1000; i++)
        l[i] = 0;
    const struct tare_sampling *s = SAMPLING(.temperature = 1),
                               other = {.size = sizeof other, .temperature = 1, .seed = 8};
    int same_draw = 0, same_seed = 0;
    for (uint64_t d = 0; d < 1000; d++) {
        const int32_t id = sampled(l, 1000, s, d);
        assert_int_equal(sampled(l, 1000, s, d), id);
        same_draw += sampled(l, 1000, s, d + 1) == id;
        same_seed += sampled(l, 1000, &other, d) == id;
    }
    assert_true(same_draw < 10 && same_seed < 10);
}

/* Ties at the edge of top-k go to smaller ids, and large vocabularies are cut as the small one. */
static void test_large(void **unused)
{
    (void)unused;
    enum { N = 50000 };
    float *l = malloc(N * sizeof *l);
    for (int i = 0; i < N; i++)
        l[i] = (float)((i * 7919) % N) * 1e-3f;
    l[10] = l[40000] = 60;
    l[30000] = 55;
    for (uint64_t d = 0; d < 50; d++) {
        assert_int_equal(sampled(l, N, SAMPLING(.temperature = 1, .top_k = 1), d), 10);
        const int32_t id = sampled(l, N, SAMPLING(.temperature = 1, .top_p = 0.9f), d);
        assert_true(id == 10 || id == 40000);
    }
    free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_greedy), cmocka_unit_test(test_temperature), cmocka_unit_test(test_filters),
        cmocka_unit_test(test_order),  cmocka_unit_test(test_repeats),     cmocka_unit_test(test_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
