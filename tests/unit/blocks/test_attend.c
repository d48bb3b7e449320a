/* SPDX-License-Identifier: MIT
 * test_attend.c - attention of one query against a plain double loop: scale, soft cap, sink, keys that are not seen. */
#include "blocks/attention/attend.h"

#include <math.h>

#include "fixture.h"
#include "kernels/kernels.h"

enum { KEY = 6, VALUE = 10, ROWS = 40 };

static float noise(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (float)(*seed >> 8) / (1 << 23) - 1;
}

struct rows {
    struct tare_kernels kernels;
    struct tare_state *state;
    float key[ROWS][KEY], value[ROWS][VALUE], q[KEY];
};

static void fill(struct rows *r)
{
    const struct tare_state_part parts[] = {{TARE_STATE_ROWS, 2, KEY, 1}, {TARE_STATE_ROWS, 2, VALUE, 1}};
    struct tare_error err = {0};
    uint32_t seed = 7;
    assert_true(tare_kernels_pick(&r->kernels, "scalar"));
    assert_int_equal(tare_state_open(&r->state, parts, 2, ROWS, &err), TARE_OK);
    assert_int_equal(tare_state_reserve(r->state, 0, ROWS, &err), TARE_OK);
    for (int p = 0; p < ROWS; p++) {
        for (int d = 0; d < KEY; d++)
            r->key[p][d] = 2 * noise(&seed);
        for (int d = 0; d < VALUE; d++)
            r->value[p][d] = noise(&seed);
        tare_state_put(&r->kernels, r->state, 0, p, 1, r->key[p]);
        tare_state_put(&r->kernels, r->state, 1, p, 1, r->value[p]);
    }
    for (int d = 0; d < KEY; d++)
        r->q[d] = 2 * noise(&seed);
}

static bool every_third(const void *user, int64_t position)
{
    return position % 3 == *(const int *)user;
}

/* All values so that those after `last` and before `first` would be noticed. */
static void expect(const struct rows *r, const struct tare_attend *a)
{
    double y[VALUE] = {0}, sum = a->sink ? exp((double)*a->sink) : 0;
    float score[ROWS], got[VALUE];
    for (int64_t p = a->first; p <= a->last; p++) {
        double s = 0;
        for (int d = 0; d < KEY; d++)
            s += (double)r->q[d] * r->key[p][d];
        s *= a->scale;
        s = a->soft_cap > 0 ? a->soft_cap * tanh(s / a->soft_cap) : s;
        const double weight = a->sees && !a->sees(a->user, p) ? 0 : exp(s);
        sum += weight;
        for (int d = 0; d < VALUE; d++)
            y[d] += weight * r->value[p][d];
    }
    tare_attend(&r->kernels, a, r->q, score, got);
    for (int d = 0; d < VALUE; d++)
        assert_true(fabs(got[d] - y[d] / sum) < 1e-5);
}

static void as_a_plain_loop(void **unused)
{
    static struct rows r;
    const float sinks[] = {0.5f, 90, -90};
    const int third = 2;
    (void)unused;
    fill(&r);
    struct tare_attend a = {.state = r.state, .values = 1, .plane = 1, .last = ROWS - 1, .width = VALUE, .scale = 0.4f};
    expect(&r, &a);
    a.first = 11, a.last = 29;
    expect(&r, &a);
    a.soft_cap = 1.5f;
    expect(&r, &a);
    a.sees = every_third, a.user = &third;
    expect(&r, &a);
    for (int i = 0; i < 3; i++) {
        a.sink = &sinks[i];
        expect(&r, &a);
    }
    a.first = a.last = 17; /* one key */
    expect(&r, &a);
    tare_state_free(r.state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(as_a_plain_loop)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
