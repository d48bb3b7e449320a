/* SPDX-License-Identifier: MIT
 * test_sampler_reference.c - the sampler against a plain one in double precision: each filter and chains of them, by
 * the chi-square of many draws; penalties and biases; large vocabularies; how long a draw takes. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fixture.h"

static int32_t sampled(const float *logits, int64_t n, const struct tare_sampling *sampling, uint64_t draw)
{
    int32_t id = -2;
    assert_int_equal(tare_sample(&id, logits, n, sampling, draw, NULL), TARE_OK);
    return id;
}

enum { N = 60, DRAWS = 20000 };

struct entry {
    double logit, p, turn;
    int32_t id;
};

static int by_turn(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return x->turn < y->turn ? -1 : x->turn > y->turn ? 1 : x->id - y->id;
}

static void normalize(struct entry *e, int n, double temperature)
{
    double total = 0;
    for (int i = 0; i < n; i++)
        total += e[i].p = exp((e[i].logit - e[0].logit) / temperature);
    for (int i = 0; i < n; i++)
        e[i].p /= total;
}

static int nucleus(struct entry *e, int n, double share)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        if ((sum += e[i].p) >= share)
            return i + 1;
    return n;
}

static void likeliest_first(struct entry *e, int n)
{
    for (int i = 0; i < n; i++)
        e[i].turn = -e[i].logit;
    qsort(e, (size_t)n, sizeof *e, by_turn);
    normalize(e, n, 1);
}

/* Probabilities by id, as tare.h says it, step by step. */
static void reference(const float *logits, const struct tare_sampling *s, double p[N])
{
    struct entry e[N];
    int n = N;
    for (int i = 0; i < N; i++)
        e[i] = (struct entry){.logit = (double)logits[i], .id = i};
    likeliest_first(e, n);
    if (s->top_k > 0 && s->top_k < n)
        n = s->top_k;
    normalize(e, n, 1);
    if (s->typical_p > 0 && s->typical_p < 1) {
        double entropy = 0;
        for (int i = 0; i < n; i++)
            entropy -= e[i].p * log(e[i].p);
        for (int i = 0; i < n; i++)
            e[i].turn = fabs(-log(e[i].p) - entropy);
        qsort(e, (size_t)n, sizeof *e, by_turn);
        n = nucleus(e, n, (double)s->typical_p);
        likeliest_first(e, n);
    }
    if (s->top_p > 0 && s->top_p < 1)
        n = nucleus(e, n, (double)s->top_p);
    while (s->min_p > 0 && n > 1 && e[n - 1].p < (double)s->min_p * e[0].p)
        n--;
    normalize(e, n, (double)s->temperature);
    memset(p, 0, N * sizeof *p);
    for (int i = 0; i < n; i++)
        p[e[i].id] = e[i].p;
}

static void compare(const float *logits, const struct tare_sampling *s)
{
    double p[N], chi = 0, rest = 0;
    int count[N] = {0}, df = -1, rest_count = 0;
    reference(logits, s, p);
    for (uint64_t d = 0; d < DRAWS; d++)
        count[sampled(logits, N, s, d)]++;
    for (int i = 0; i < N; i++) {
        if (p[i] == 0 && count[i])
            fail_msg("id %d was drawn and is filtered out", i);
        if (p[i] * DRAWS < 8) { /* too rare for a cell of its own */
            rest += p[i] * DRAWS;
            rest_count += count[i];
            continue;
        }
        chi += pow(count[i] - p[i] * DRAWS, 2) / (p[i] * DRAWS);
        df++;
    }
    if (rest > 8) {
        chi += pow(rest_count - rest, 2) / rest;
        df++;
    }
    if (chi > df + 4.5 * sqrt(2.0 * df) + 8) /* mean df, variance 2 df; about one in a million */
        fail_msg("chi-square %.1f of %d degrees", chi, df);
}

static uint32_t state = 1;
static double real(void)
{
    state = state * 1664525u + 1013904223u;
    return (state >> 8) * 0x1p-24;
}

static void test_chains(void **unused)
{
    (void)unused;
    for (int turn = 0; turn < 60; turn++) {
        float logits[N];
        for (int i = 0; i < N; i++)
            logits[i] = (float)(real() * real() * 12 - 3);
        struct tare_sampling s = TARE_SAMPLING_INIT;
        s.seed = (uint64_t)turn;
        s.temperature = (float)(0.3 + 1.5 * real());
        s.top_k = turn & 1 ? 1 + (int)(real() * 30) : 0;
        s.typical_p = turn & 2 ? (float)real() : 0;
        s.top_p = turn & 4 ? (float)real() : 1;
        s.min_p = turn & 8 ? (float)(real() * 0.3) : 0;
        compare(logits, &s);
    }
}

/* Probabilities 0.5, 0.3, 0.1, 0.1: the entropy is 1.168, nearest to it is -log 0.3 = 1.204, then -log 0.5 = 0.693. */
static void test_typical_leaves_out_the_likeliest(void **unused)
{
    (void)unused;
    const float l[4] = {logf(0.5f), logf(0.3f), logf(0.1f), logf(0.1f)};
    struct tare_sampling s = {.size = sizeof s, .temperature = 1, .typical_p = 0.2f};
    for (uint64_t d = 0; d < 100; d++)
        assert_int_equal(sampled(l, 4, &s, d), 1);
}

static void test_penalties(void **unused)
{
    (void)unused;
    struct tare_error err = {0};
    const struct tare_bias bias[] = {{3, 1.5f}, {0, -INFINITY}};
    const int32_t recent[] = {4, 1, 1, 2, 1, 99, -1};
    struct tare_sampling s = {.size = sizeof s,
                              .repetition_penalty = 2,
                              .presence_penalty = 0.5f,
                              .frequency_penalty = 0.25f,
                              .penalty_window = 6,
                              .bias = bias,
                              .n_bias = 2};
    float l[5] = {1, 3, -2, 1, 7};
    assert_int_equal(tare_sample_adjust(l, 5, &s, recent, 7, &err), TARE_OK);
    assert_true(isinf(l[0]) && l[0] < 0);
    assert_float_equal(l[1], 1.5 - 0.5 - 0.75, 1e-6); /* thrice */
    assert_float_equal(l[2], -4 - 0.5 - 0.25, 1e-6);
    assert_float_equal(l[3], 2.5, 1e-6);
    assert_float_equal(l[4], 7, 1e-6); /* before the window */
    s.penalty_window = -1;
    assert_int_equal(tare_sample_adjust(l, 5, &s, recent, 7, &err), TARE_OK);
    assert_float_equal(l[4], 3.5 - 0.5 - 0.25, 1e-6);
    s.bias = &(struct tare_bias){5, 1};
    s.n_bias = 1;
    assert_int_equal(tare_sample_adjust(l, 5, &s, recent, 7, &err), TARE_E_ARGUMENT);
    assert_string_equal(err.text, "id 5 is not in the vocabulary: 0 to 4");
    assert_int_equal(tare_sample_adjust(l, 5, NULL, recent, 7, &err), TARE_OK);
}

/* A caller built against the first header: its struct ends with the seed, and what follows is not read. */
static void test_older_struct(void **unused)
{
    (void)unused;
    struct tare_sampling s = {.size = offsetof(struct tare_sampling, typical_p), .temperature = 1, .typical_p = 0.01f};
    const float l[3] = {0, 0, 0.1f};
    int seen[3] = {0};
    for (uint64_t d = 0; d < 100; d++)
        seen[sampled(l, 3, &s, d)]++;
    assert_true(seen[0] && seen[1] && seen[2]);
}

static void test_nothing_possible(void **unused)
{
    (void)unused;
    const struct tare_sampling s = {.size = sizeof s, .temperature = 1, .top_p = 0.9f, .typical_p = 0.9f, .top_k = 2};
    const float none[3] = {NAN, NAN, NAN}, one[4] = {NAN, -INFINITY, 2, NAN}, more[3] = {0, INFINITY, INFINITY};
    const float shut[2] = {-INFINITY, -INFINITY};
    for (uint64_t d = 0; d < 50; d++) {
        assert_int_equal(sampled(none, 3, &s, d), 0);
        assert_int_equal(sampled(one, 4, &s, d), 2);
        assert_int_equal(sampled(more, 3, &s, d), 1);
        assert_int_equal(sampled(shut, 2, &s, d), 0);
    }
}

enum { LARGE = 151936 };

static double microseconds(const float *l, const struct tare_sampling *s)
{
    struct timespec a, b;
    volatile int32_t id = 0;
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (uint64_t d = 0; d < 20; d++)
        id = id + sampled(l, LARGE, s, d);
    clock_gettime(CLOCK_MONOTONIC, &b);
    return ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / 20e3;
}

/* Filters of a large vocabulary keep what the plain definition keeps; the times are printed. */
static void test_large(void **unused)
{
    (void)unused;
    float *l = malloc(LARGE * sizeof *l);
    for (int i = 0; i < LARGE; i++)
        l[i] = (float)(10 * (real() + real() + real() + real()) - 20);
    for (int i = 0; i < 5; i++)
        l[i * 1000] = 30 - (float)i; /* 0.6, 0.2, 0.09 ... of nearly all */
    const struct tare_sampling greedy = {.size = sizeof greedy}, all = {.size = sizeof all, .temperature = 1},
                               k = {.size = sizeof k, .temperature = 1, .top_k = 3},
                               p = {.size = sizeof p, .temperature = 1, .top_p = 0.8f},
                               wide = {.size = sizeof wide, .temperature = 8, .top_p = 0.9999f},
                               type = {.size = sizeof type, .temperature = 1, .typical_p = 0.9f};
    for (uint64_t d = 0; d < 200; d++) {
        assert_int_equal(sampled(l, LARGE, &greedy, d), 0);
        const int32_t a = sampled(l, LARGE, &k, d), b = sampled(l, LARGE, &p, d);
        assert_true(a == 0 || a == 1000 || a == 2000);
        assert_true(b == 0 || b == 1000);
    }
    print_message("microseconds a draw: greedy %.0f, all %.0f, top-k %.0f, top-p %.0f, top-p of nearly all %.0f, "
                  "typical %.0f\n",
                  microseconds(l, &greedy), microseconds(l, &all), microseconds(l, &k), microseconds(l, &p),
                  microseconds(l, &wide), microseconds(l, &type));
    free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chains),    cmocka_unit_test(test_typical_leaves_out_the_likeliest),
        cmocka_unit_test(test_penalties), cmocka_unit_test(test_older_struct),
        cmocka_unit_test(test_large),     cmocka_unit_test(test_nothing_possible),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
