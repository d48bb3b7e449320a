/* SPDX-License-Identifier: MIT
 * test_mamba.c - the recurrent mixers against plain loops in double, token by token; then the same text by pieces,
 * beside another one, and with other numbers of threads.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "run/gated_conv.h"
#include "run/mamba1_mixer.h"
#include "run/mamba2_mixer.h"
#include "run/plamo_mixer.h"
#include "sample.h"

enum { DIM = 24, TOKENS = 21, MOST = 512 };

/* What a mixer does with one text, written as in the papers. */
struct reference {
    const struct sample_block *b;
    double h[MOST * 16];    /* the recurrence */
    double before[8][MOST]; /* what went into the convolution, the last token first */
};

static void multiply(const struct sample_block *b, const char *name, const double *x, double *y)
{
    char full[80];
    snprintf(full, sizeof full, "mixer.%s.weight", name);
    const struct tare_parameter *p = tare_tree_find(&b->tree, full);
    const float *w = sample_weight(b, full);
    snprintf(full, sizeof full, "mixer.%s.bias", name);
    const float *bias = tare_tree_find(&b->tree, full) ? sample_weight(b, full) : NULL;
    for (int64_t r = 0; r < p->shape[0]; r++) {
        y[r] = bias ? (double)bias[r] : 0;
        for (int64_t i = 0; i < p->shape[1]; i++)
            y[r] += (double)w[r * p->shape[1] + i] * x[i];
    }
}

static double silu(double x)
{
    return x / (1 + exp(-x));
}

static void convolve(struct reference *r, const char *name, double *x, int64_t n, int64_t width)
{
    char full[80];
    snprintf(full, sizeof full, "mixer.%s.weight", name);
    const float *w = sample_weight(r->b, full);
    snprintf(full, sizeof full, "mixer.%s.bias", name);
    const float *bias = tare_tree_find(&r->b->tree, full) ? sample_weight(r->b, full) : NULL;
    memmove(r->before[1], r->before[0], sizeof r->before - sizeof r->before[0]);
    memcpy(r->before[0], x, (size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++) {
        x[i] = bias ? (double)bias[i] : 0;
        for (int64_t k = 0; k < width; k++)
            x[i] += (double)w[i * width + width - 1 - k] * r->before[k][i];
    }
}

static void rms(double *x, int64_t n, double eps, const float *weight)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i] * x[i];
    for (int64_t i = 0; i < n; i++)
        x[i] *= (weight ? (double)weight[i] : 1) / sqrt(sum / (double)n + eps);
}

static double one_weight(const struct reference *r, const char *name, int64_t i)
{
    char full[80];
    snprintf(full, sizeof full, "mixer.%s", name);
    return (double)sample_weight(r->b, full)[i];
}

/* One channel: h and what comes out. */
static double recur(double *h, const double *a, double dt, double x, const double *b, const double *c, int64_t states)
{
    double y = 0;
    for (int64_t n = 0; n < states; n++) {
        h[n] = exp(-a[n] * dt) * h[n] + b[n] * dt * x;
        y += c[n] * h[n];
    }
    return y;
}

enum { INNER = 40, STATE = 5, RANK = 3, WIDTH = 4 };

static void mamba1_token(struct reference *r, const double *x, double *y)
{
    double xz[2 * INNER], part[RANK + 2 * STATE], dt[INNER], out[INNER], *b = part + RANK, *c = b + STATE;
    multiply(r->b, "in_proj", x, xz);
    convolve(r, "conv1d", xz, INNER, WIDTH);
    for (int i = 0; i < INNER; i++)
        xz[i] = silu(xz[i]);
    multiply(r->b, "x_proj", xz, part);
    if (tare_tree_find(&r->b->tree, "mixer.b_layernorm.weight")) {
        rms(part, RANK, 1e-5, sample_weight(r->b, "mixer.dt_layernorm.weight"));
        rms(b, STATE, 1e-5, sample_weight(r->b, "mixer.b_layernorm.weight"));
        rms(c, STATE, 1e-5, sample_weight(r->b, "mixer.c_layernorm.weight"));
    }
    multiply(r->b, "dt_proj", part, dt);
    for (int i = 0; i < INNER; i++) {
        double a[STATE];
        for (int n = 0; n < STATE; n++)
            a[n] = exp(one_weight(r, "A_log", i * STATE + n));
        out[i] = recur(r->h + i * STATE, a, log1p(exp(dt[i])), xz[i], b, c, STATE) + one_weight(r, "D", i) * xz[i];
        out[i] *= silu(xz[INNER + i]);
    }
    multiply(r->b, "out_proj", out, y);
}

enum { HEADS = 4, HEAD = INNER / HEADS, GROUPS = 2, GROUP = INNER / GROUPS, CONVOLVED = INNER + 2 * GROUPS * STATE };

/* Heads that decay alike, with b and c of their group; y may be x. */
static void scan_heads(struct reference *r, const double *x, const double *b, const double *c, const double *dt,
                       int groups, double *y)
{
    for (int i = 0; i < INNER; i++) {
        const int h = i / HEAD, g = h / (HEADS / groups);
        double a[STATE], step = log1p(exp(dt[h] + one_weight(r, "dt_bias", h)));
        step = groups > 1 ? fmin(fmax(step, 0.6), 0.8) : step; /* Mamba-2 below has limits that bite */
        for (int n = 0; n < STATE; n++)
            a[n] = exp(one_weight(r, "A_log", h));
        y[i] =
            recur(r->h + i * STATE, a, step, x[i], b + g * STATE, c + g * STATE, STATE) + one_weight(r, "D", h) * x[i];
    }
}

static void mamba2_token(struct reference *r, const double *x, double *y, bool norm, bool norm_first)
{
    double in[INNER + CONVOLVED + HEADS], *u = in + INNER, *b = u + INNER;
    multiply(r->b, "in_proj", x, in);
    convolve(r, "conv1d", u, CONVOLVED, WIDTH);
    for (int i = 0; i < CONVOLVED; i++)
        u[i] = silu(u[i]);
    scan_heads(r, u, b, b + GROUPS * STATE, u + CONVOLVED, GROUPS, u);
    for (int i = 0; i < INNER && !norm_first; i++)
        u[i] *= silu(in[i]);
    for (int g = 0; g < GROUPS && norm; g++)
        rms(u + g * GROUP, GROUP, 1e-5, sample_weight(r->b, "mixer.norm.weight") + g * GROUP);
    for (int i = 0; i < INNER && norm_first; i++)
        u[i] *= silu(in[i]);
    multiply(r->b, "out_proj", u, y);
}

static void mamba2_plain(struct reference *r, const double *x, double *y)
{
    mamba2_token(r, x, y, false, false);
}

static void mamba2_normed(struct reference *r, const double *x, double *y)
{
    mamba2_token(r, x, y, true, false);
}

static void mamba2_norm_first(struct reference *r, const double *x, double *y)
{
    mamba2_token(r, x, y, true, true);
}

static void plamo_token(struct reference *r, const double *x, double *y)
{
    double zx[2 * INNER], u[INNER], part[2 * STATE + RANK], dt[HEADS];
    multiply(r->b, "in_proj", x, zx);
    for (int i = 0; i < INNER; i++)
        u[i] = zx[i / HEAD * 2 * HEAD + HEAD + i % HEAD];
    convolve(r, "conv1d", u, INNER, WIDTH);
    for (int i = 0; i < INNER; i++)
        u[i] = silu(u[i]);
    multiply(r->b, "bcdt_proj", u, part);
    rms(part, STATE, 1e-5, sample_weight(r->b, "mixer.B_norm_weight"));
    rms(part + STATE, STATE, 1e-5, sample_weight(r->b, "mixer.C_norm_weight"));
    rms(part + 2 * STATE, RANK, 1e-5, sample_weight(r->b, "mixer.dt_norm_weight"));
    multiply(r->b, "dt_proj", part + 2 * STATE, dt);
    scan_heads(r, u, part, part + STATE, dt, 1, u);
    for (int i = 0; i < INNER; i++)
        u[i] *= silu(zx[i / HEAD * 2 * HEAD + i % HEAD]);
    multiply(r->b, "out_proj", u, y);
}

static void gated_conv_token(struct reference *r, const double *x, double *y)
{
    double in[3 * DIM], u[DIM];
    multiply(r->b, "in_proj", x, in);
    for (int i = 0; i < DIM; i++)
        u[i] = in[i] * in[2 * DIM + i];
    convolve(r, "conv", u, DIM, 3);
    for (int i = 0; i < DIM; i++)
        u[i] *= in[DIM + i];
    multiply(r->b, "out_proj", u, y);
}

struct mixer {
    const char *name;
    void (*declare)(struct tare_layer *l, struct tare_at at);
    void (*token)(struct reference *r, const double *x, double *y);
};

static void declare_mamba1(struct tare_layer *l, struct tare_at at)
{
    tare_mamba1(
        l, at,
        &(struct tare_mamba1_desc){
            .dim = DIM, .inner = INNER, .state = STATE, .width = WIDTH, .rank = RANK, .bias = true, .conv_bias = true});
}

static void declare_jamba(struct tare_layer *l, struct tare_at at)
{
    tare_mamba1(l, at,
                &(struct tare_mamba1_desc){.dim = DIM,
                                           .inner = INNER,
                                           .state = STATE,
                                           .width = WIDTH,
                                           .rank = RANK,
                                           .norm = TARE_MAMBA_NORM,
                                           .eps = 1e-5});
}

static const struct tare_mamba2_desc mamba2 = {.dim = DIM,
                                               .heads = HEADS,
                                               .head_dim = HEAD,
                                               .groups = GROUPS,
                                               .state = STATE,
                                               .width = WIDTH,
                                               .bias = true,
                                               .out_bias = true,
                                               .conv_bias = true,
                                               .eps = 1e-5,
                                               .least = 0.6,
                                               .most = 0.8};

static void declare_mamba2(struct tare_layer *l, struct tare_at at)
{
    struct tare_mamba2_desc d = mamba2;
    d.no_norm = true;
    tare_mamba2(l, at, &d);
}

static void declare_normed(struct tare_layer *l, struct tare_at at)
{
    tare_mamba2(l, at, &mamba2);
}

static void declare_norm_first(struct tare_layer *l, struct tare_at at)
{
    struct tare_mamba2_desc d = mamba2;
    d.norm_first = true;
    tare_mamba2(l, at, &d);
}

static void declare_plamo(struct tare_layer *l, struct tare_at at)
{
    tare_plamo_mixer(
        l, at,
        &(struct tare_plamo_mixer_desc){
            .dim = DIM, .heads = HEADS, .head_dim = HEAD, .state = STATE, .width = WIDTH, .rank = RANK, .eps = 1e-5});
}

static void declare_gated_conv(struct tare_layer *l, struct tare_at at)
{
    tare_gated_conv(l, at, &(struct tare_gated_conv_desc){.name = "mixer", .dim = DIM, .width = 3, .bias = true});
}

static const struct mixer mixers[] = {
    {"mamba1", declare_mamba1, mamba1_token},
    {"jamba", declare_jamba, mamba1_token},
    {"mamba2", declare_mamba2, mamba2_plain},
    {"mamba2, normed", declare_normed, mamba2_normed},
    {"mamba2, normed first", declare_norm_first, mamba2_norm_first},
    {"plamo", declare_plamo, plamo_token},
    {"gated_conv", declare_gated_conv, gated_conv_token},
};

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
    for (size_t i = 0; i < FIXTURE_COUNT(mixers); i++) {
        struct sample_block b;
        struct reference *r = calloc(1, sizeof *r);
        begin(&b, &mixers[i], 1);
        r->b = &b;
        for (int t = 0; t < TOKENS; t++) {
            double in[DIM], out[DIM];
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
    for (size_t i = 0; i < FIXTURE_COUNT(mixers); i++) {
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
    for (size_t i = 0; i < FIXTURE_COUNT(mixers); i++) {
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

/* Sizes that nothing can run are declared, and have no ops. */
static void test_cannot_run(void **unused)
{
    (void)unused;
    struct sample_block b;
    struct tare_mamba2_desc odd = mamba2;
    odd.inner = 42; /* no multiple of the heads */
    tare_mamba2(&b.layer, sample_block_begin(&b, 1, DIM), &odd);
    assert_int_equal(b.tree.error.code, TARE_OK);
    assert_int_equal(b.tree.n, 10);
    assert_null(b.layer.mixer.ops);
    sample_block_end(&b);
    tare_mamba1(&b.layer, sample_block_begin(&b, 1, DIM),
                &(struct tare_mamba1_desc){.dim = DIM, .inner = INNER, .state = 1 << 30, .width = WIDTH, .rank = RANK});
    assert_int_equal(b.tree.error.code, TARE_OK);
    assert_null(b.layer.mixer.ops);
    sample_block_end(&b);
    tare_mamba2(
        &b.layer, sample_block_begin(&b, 1, DIM),
        &(struct tare_mamba2_desc){
            .dim = DIM, .heads = INT32_MAX, .head_dim = INT32_MAX, .groups = 1, .state = STATE, .width = WIDTH});
    assert_int_equal(b.tree.error.code, TARE_E_CONFIG);
    assert_null(b.layer.mixer.ops);
    sample_block_end(&b);
}

int main(void)
{
    sample_fill(x[0], TOKENS * DIM, "first", 0, 2);
    sample_fill(x[1], TOKENS * DIM, "second", 0, 2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_cannot_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
