/* SPDX-License-Identifier: MIT
 * test_mamba.c - Mamba's mixers and the gated convolution.
 */
#include <math.h>

#include "blocks/recurrent/gated_conv.h"
#include "blocks/recurrent/mamba1_mixer.h"
#include "blocks/recurrent/mamba2_mixer.h"
#include "blocks/recurrent/plamo_mixer.h"
#include "mixers.h"

enum { DIM = MIXER_DIM };

static double one_weight(const struct mixer_reference *r, const char *name, int64_t i)
{
    return (double)mixer_weight(r, name)[i];
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

static void mamba1_token(struct mixer_reference *r, const double *x, double *y)
{
    double xz[2 * INNER], part[RANK + 2 * STATE], dt[INNER], out[INNER], *b = part + RANK, *c = b + STATE;
    mixer_multiply(r, "in_proj", x, xz);
    mixer_convolve(r, 0, "conv1d", xz, INNER, WIDTH);
    for (int i = 0; i < INNER; i++)
        xz[i] = mixer_silu(xz[i]);
    mixer_multiply(r, "x_proj", xz, part);
    if (mixer_has(r, "b_layernorm.weight")) {
        mixer_rms(part, RANK, 1e-5, mixer_weight(r, "dt_layernorm.weight"));
        mixer_rms(b, STATE, 1e-5, mixer_weight(r, "b_layernorm.weight"));
        mixer_rms(c, STATE, 1e-5, mixer_weight(r, "c_layernorm.weight"));
    }
    mixer_multiply(r, "dt_proj", part, dt);
    for (int i = 0; i < INNER; i++) {
        double a[STATE];
        for (int n = 0; n < STATE; n++)
            a[n] = exp(one_weight(r, "A_log", i * STATE + n));
        out[i] = recur(r->h + i * STATE, a, log1p(exp(dt[i])), xz[i], b, c, STATE) + one_weight(r, "D", i) * xz[i];
        out[i] *= mixer_silu(xz[INNER + i]);
    }
    mixer_multiply(r, "out_proj", out, y);
}

enum { HEADS = 4, HEAD = INNER / HEADS, GROUPS = 2, GROUP = INNER / GROUPS, CONVOLVED = INNER + 2 * GROUPS * STATE };

/* Heads that decay alike, with b and c of their group; y may be x. */
static void scan_heads(struct mixer_reference *r, const double *x, const double *b, const double *c, const double *dt,
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

static void mamba2_token(struct mixer_reference *r, const double *x, double *y, bool norm, bool norm_first)
{
    double in[INNER + CONVOLVED + HEADS], *u = in + INNER, *b = u + INNER;
    mixer_multiply(r, "in_proj", x, in);
    mixer_convolve(r, 0, "conv1d", u, CONVOLVED, WIDTH);
    for (int i = 0; i < CONVOLVED; i++)
        u[i] = mixer_silu(u[i]);
    scan_heads(r, u, b, b + GROUPS * STATE, u + CONVOLVED, GROUPS, u);
    for (int i = 0; i < INNER && !norm_first; i++)
        u[i] *= mixer_silu(in[i]);
    for (int g = 0; g < GROUPS && norm; g++)
        mixer_rms(u + g * GROUP, GROUP, 1e-5, mixer_weight(r, "norm.weight") + g * GROUP);
    for (int i = 0; i < INNER && norm_first; i++)
        u[i] *= mixer_silu(in[i]);
    mixer_multiply(r, "out_proj", u, y);
}

static void mamba2_plain(struct mixer_reference *r, const double *x, double *y)
{
    mamba2_token(r, x, y, false, false);
}

static void mamba2_normed(struct mixer_reference *r, const double *x, double *y)
{
    mamba2_token(r, x, y, true, false);
}

static void mamba2_norm_first(struct mixer_reference *r, const double *x, double *y)
{
    mamba2_token(r, x, y, true, true);
}

static void plamo_token(struct mixer_reference *r, const double *x, double *y)
{
    double zx[2 * INNER], u[INNER], part[2 * STATE + RANK], dt[HEADS];
    mixer_multiply(r, "in_proj", x, zx);
    for (int i = 0; i < INNER; i++)
        u[i] = zx[i / HEAD * 2 * HEAD + HEAD + i % HEAD];
    mixer_convolve(r, 0, "conv1d", u, INNER, WIDTH);
    for (int i = 0; i < INNER; i++)
        u[i] = mixer_silu(u[i]);
    mixer_multiply(r, "bcdt_proj", u, part);
    mixer_rms(part, STATE, 1e-5, mixer_weight(r, "B_norm_weight"));
    mixer_rms(part + STATE, STATE, 1e-5, mixer_weight(r, "C_norm_weight"));
    mixer_rms(part + 2 * STATE, RANK, 1e-5, mixer_weight(r, "dt_norm_weight"));
    mixer_multiply(r, "dt_proj", part + 2 * STATE, dt);
    scan_heads(r, u, part, part + STATE, dt, 1, u);
    for (int i = 0; i < INNER; i++)
        u[i] *= mixer_silu(zx[i / HEAD * 2 * HEAD + i % HEAD]);
    mixer_multiply(r, "out_proj", u, y);
}

static void gated_conv_token(struct mixer_reference *r, const double *x, double *y)
{
    double in[3 * DIM], u[DIM];
    mixer_multiply(r, "in_proj", x, in);
    for (int i = 0; i < DIM; i++)
        u[i] = in[i] * in[2 * DIM + i];
    mixer_convolve(r, 0, "conv", u, DIM, 3);
    for (int i = 0; i < DIM; i++)
        u[i] *= in[DIM + i];
    mixer_multiply(r, "out_proj", u, y);
}

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
    const struct CMUnitTest more[] = {cmocka_unit_test(test_cannot_run)};
    return mixers_main(mixers, FIXTURE_COUNT(mixers), more, FIXTURE_COUNT(more));
}
