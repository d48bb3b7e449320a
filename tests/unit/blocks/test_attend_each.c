/* SPDX-License-Identifier: MIT
 * test_attend_each.c - several queries over kept rows against a plain double loop, with windows, caps and sinks; and
 * that a query comes out the same, to the bit, whatever stands beside it. */
#include "blocks/attention/attend.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "guarded.h"

enum { ROWS = 300 };

struct sample {
    const struct tare_kernels *kernels;
    struct tare_state *state;
    int64_t key, width;
    float *keys, *values; /* as the state gives them back */
    struct tare_attend attend;
};

static void open_sample(struct sample *s, enum tare_cache cache)
{
    const struct tare_state_part parts[] = {{TARE_STATE_ROWS, 2, s->key, 1}, {TARE_STATE_ROWS, 2, s->width, 1}};
    assert_int_equal(tare_state_open(&s->state, parts, 2, ROWS, NULL), TARE_OK);
    tare_state_keep(s->state, cache);
    assert_int_equal(tare_state_reserve(s->state, 0, ROWS, NULL), TARE_OK);
    s->keys = malloc((size_t)(ROWS * s->key) * sizeof *s->keys);
    s->values = malloc((size_t)(ROWS * s->width) * sizeof *s->values);
    for (int64_t i = 0; i < ROWS * s->key; i++)
        s->keys[i] = 2 * real();
    for (int64_t i = 0; i < ROWS * s->width; i++)
        s->values[i] = real();
    for (int64_t p = 0; p < ROWS; p++) {
        tare_state_put(s->kernels, s->state, 0, p, 1, s->keys + p * s->key);
        tare_state_put(s->kernels, s->state, 1, p, 1, s->values + p * s->width);
        tare_state_get(s->kernels, s->state, 0, p, 1, s->keys + p * s->key);
        tare_state_get(s->kernels, s->state, 1, p, 1, s->values + p * s->width);
    }
    s->attend = (struct tare_attend){.state = s->state, .values = 1, .plane = 1, .width = s->width, .scale = 0.2f};
    s->attend.soft_cap = size(2) == 1 ? 1.5f : 0;
}

static void close_sample(struct sample *s)
{
    tare_state_free(s->state);
    free(s->keys);
    free(s->values);
}

static void expect(const struct sample *s, const struct tare_query *query)
{
    double *y = calloc((size_t)s->width, sizeof *y), sum = query->sink ? exp((double)*query->sink) : 0;
    const double cap = (double)s->attend.soft_cap;
    for (int64_t p = query->first; p <= query->last; p++) {
        double score = 0;
        for (int64_t d = 0; d < s->key; d++)
            score += (double)query->q[d] * (double)s->keys[p * s->key + d];
        score *= (double)s->attend.scale;
        const double weight = exp(cap > 0 ? cap * tanh(score / cap) : score);
        sum += weight;
        for (int64_t d = 0; d < s->width; d++)
            y[d] += weight * (double)s->values[p * s->width + d];
    }
    for (int64_t d = 0; d < s->width; d++)
        assert_true(fabs((double)query->y[d] - y[d] / sum) < 1e-5);
    free(y);
}

static void check(const struct sample *s)
{
    static const float sinks[] = {0.5f, 90, -90};
    const int64_t most = tare_attend_together(s->key, s->width), n = size(most);
    struct tare_query queries[TARE_ATTEND_MOST];
    struct guarded gq, gy, gw;
    float *q = floats(&gq, n * s->key), *y = floats(&gy, n * s->width), *work = floats(&gw, TARE_PANEL_FLOATS);
    for (int64_t i = 0; i < n; i++) {
        queries[i] = (struct tare_query){.q = q + i * s->key, .y = y + i * s->width, .last = size(ROWS) - 1};
        queries[i].first = size(2) == 1 ? 0 : size(queries[i].last + 1) - 1;
        queries[i].sink = size(2) == 1 ? NULL : &sinks[size(3) - 1];
    }
    tare_attend_each(s->kernels, &s->attend, s->key, queries, n, work);
    float *alone = malloc((size_t)s->width * sizeof *alone);
    for (int64_t i = 0; i < n; i++) {
        expect(s, &queries[i]);
        struct tare_query one = queries[i];
        one.y = alone;
        tare_attend_each(s->kernels, &s->attend, s->key, &one, 1, work);
        assert_memory_equal(alone, queries[i].y, (size_t)s->width * sizeof *alone);
    }
    free(alone);
    unguard(&gq);
    unguard(&gy);
    unguard(&gw);
}

static void samples(const struct tare_kernels *k)
{
    for (int c = 0; c < 24; c++) {
        struct sample s = {.kernels = k, .key = c % 2 ? size(130) : 64, .width = c % 3 ? size(300) : 64};
        open_sample(&s, (enum tare_cache)(c % TARE_CACHES));
        check(&s);
        close_sample(&s);
    }
}

static void test_samples(void **unused)
{
    (void)unused;
    each_set(samples);
}

static void test_together(void **unused)
{
    (void)unused;
    assert_int_equal(tare_attend_together(64, 64), TARE_ATTEND_MOST);
    assert_true(tare_attend_together(256, 256) >= 16);
    assert_int_equal(tare_attend_together(4096, 128), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_samples), cmocka_unit_test(test_together)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
