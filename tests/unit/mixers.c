/* SPDX-License-Identifier: MIT
 * mixers.c - references and the three tests of all blocks with a state. */
#include "mixers.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIM = MIXER_DIM, TOKENS = MIXER_TOKENS };

static const struct tare_parameter *find(const struct mixer_reference *r, const char *name, const char *more)
{
    char full[80];
    snprintf(full, sizeof full, "mixer.%s%s", name, more);
    return tare_tree_find(&r->b->tree, full);
}

bool mixer_has(const struct mixer_reference *r, const char *name)
{
    return find(r, name, "") != NULL;
}

const float *mixer_weight(const struct mixer_reference *r, const char *name)
{
    const struct tare_parameter *p = find(r, name, "");
    if (!p)
        fail_msg("no %s", name);
    return tare_loaded_vector(&r->b->loaded, p);
}

/* <name>.bias [i], or 0 */
static double bias_of(const struct mixer_reference *r, const char *name, int64_t i)
{
    const struct tare_parameter *p = find(r, name, ".bias");
    return p ? (double)tare_loaded_vector(&r->b->loaded, p)[i] : 0;
}

void mixer_multiply(const struct mixer_reference *r, const char *name, const double *x, double *y)
{
    const struct tare_parameter *p = find(r, name, ".weight");
    const float *w = tare_loaded_vector(&r->b->loaded, p);
    for (int64_t k = 0; k < p->shape[0]; k++) {
        y[k] = bias_of(r, name, k);
        for (int64_t i = 0; i < p->shape[1]; i++)
            y[k] += (double)w[k * p->shape[1] + i] * x[i];
    }
}

void mixer_convolve(struct mixer_reference *r, int which, const char *name, double *x, int64_t n, int64_t width)
{
    const float *w = tare_loaded_vector(&r->b->loaded, find(r, name, ".weight"));
    double(*before)[MIXER_MOST] = r->before[which];
    memmove(before[1], before[0], sizeof r->before[which] - sizeof before[0]);
    memcpy(before[0], x, (size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++) {
        x[i] = bias_of(r, name, i);
        for (int64_t k = 0; k < width; k++)
            x[i] += (double)w[i * width + width - 1 - k] * before[k][i];
    }
}

void mixer_rms(double *x, int64_t n, double eps, const float *weight)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i] * x[i];
    const double length = sqrt(sum / (double)n + eps);
    for (int64_t i = 0; i < n; i++)
        x[i] *= (weight ? (double)weight[i] : 1) / length;
}

double mixer_silu(double x)
{
    return x * mixer_sigmoid(x);
}

double mixer_sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

double mixer_softplus(double x)
{
    return log1p(exp(x));
}

static const struct mixer *mixers;
static size_t n_mixers;

static void begin(struct sample_block *b, const struct mixer *m, int threads)
{
    const struct tare_at root = sample_block_begin(b, threads, DIM);
    m->declare(&b->layer, root);
    if (!b->layer.mixer.ops)
        fail_msg("%s does not run", m->name);
    sample_block_load(b);
}

/* The tokens of one text at once, in a block of its own. */
static void run_alone(const struct mixer *m, int threads, const float *x, float *y)
{
    struct sample_block b;
    struct sample_text text;
    begin(&b, m, threads);
    sample_text_begin(&text, &b);
    sample_run(&b, &text, (const int64_t[]){TOKENS}, 1, x, y);
    sample_text_end(&text);
    sample_block_end(&b);
}

static float x[2][TOKENS * DIM], y[TOKENS * DIM], want[2][TOKENS * DIM];

static void test_reference(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < n_mixers; i++) {
        struct sample_block b;
        struct mixer_reference *r = calloc(1, sizeof *r);
        begin(&b, &mixers[i], 1);
        r->b = &b;
        for (int t = 0; t < TOKENS; t++) {
            double in[DIM], out[DIM];
            r->position = t;
            for (int k = 0; k < DIM; k++)
                in[k] = (double)x[0][t * DIM + k];
            mixers[i].token(r, in, out);
            for (int k = 0; k < DIM; k++)
                want[0][t * DIM + k] = (float)out[k];
        }
        free(r);
        sample_block_end(&b);
        run_alone(&mixers[i], 2, x[0], y);
        sample_near(y, want[0], TOKENS * DIM, 1e-5f);
    }
}

static void test_threads(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < n_mixers; i++) {
        run_alone(&mixers[i], 1, x[0], y);
        run_alone(&mixers[i], 3, x[0], want[0]);
        assert_memory_equal(y, want[0], sizeof y);
    }
}

/* Two texts by turns and side by side: 2 + 5 tokens, 1 + 1, 4 alone, and so on, against each at once. */
static void test_pieces(void **unused)
{
    (void)unused;
    static const int64_t pieces[][2] = {{2, 5}, {1, 1}, {4, 0}, {0, 6}, {13, 1}, {1, 8}};
    for (size_t i = 0; i < n_mixers; i++) {
        struct sample_block b;
        struct sample_text texts[2];
        run_alone(&mixers[i], 1, x[0], want[0]);
        run_alone(&mixers[i], 1, x[1], want[1]);
        begin(&b, &mixers[i], 2);
        sample_text_begin(&texts[0], &b);
        sample_text_begin(&texts[1], &b);
        for (size_t p = 0; p < FIXTURE_COUNT(pieces); p++) {
            const int64_t *n = pieces[p], at[2] = {texts[0].length, texts[1].length};
            float in[TOKENS * DIM];
            memcpy(in, x[0] + at[0] * DIM, (size_t)(n[0] * DIM) * sizeof *in);
            memcpy(in + n[0] * DIM, x[1] + at[1] * DIM, (size_t)(n[1] * DIM) * sizeof *in);
            const int first = n[0] == 0; /* spans have tokens */
            sample_run(&b, texts + first, n + first, n[0] && n[1] ? 2 : 1, in, y);
            sample_near(y, want[0] + at[0] * DIM, n[0] * DIM, 1e-5f);
            sample_near(y + n[0] * DIM, want[1] + at[1] * DIM, n[1] * DIM, 1e-5f);
        }
        sample_text_end(&texts[0]);
        sample_text_end(&texts[1]);
        sample_block_end(&b);
    }
}

int mixers_main(const struct mixer *all, size_t n, const struct CMUnitTest *more, size_t n_more)
{
    struct CMUnitTest tests[3 + MIXERS_MORE] = {cmocka_unit_test(test_reference), cmocka_unit_test(test_threads),
                                                cmocka_unit_test(test_pieces)};
    mixers = all;
    n_mixers = n;
    sample_fill(x[0], TOKENS * DIM, "first", 0, 2);
    sample_fill(x[1], TOKENS * DIM, "second", 0, 2);
    for (size_t i = 0; i < MIXERS_MORE; i++)
        tests[3 + i] = i < n_more ? more[i] : (struct CMUnitTest){0}; /* those without a function are passed over */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
