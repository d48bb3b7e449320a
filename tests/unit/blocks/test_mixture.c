/* SPDX-License-Identifier: MIT
 * test_mixture.c - routed experts against plain loops in double, a token at a time: every expert is computed, those
 * that a token did not choose count for nothing. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blocks/feed_forward/mixture_variant.h"
#include "sample.h"

enum { DIM = 20, HIDDEN = 12, EXPERTS = 6, SHARED = 9, LATENT = 8, TOKENS = 70, WIDEST = 64 };

static float x[TOKENS * DIM], y[TOKENS * DIM], want[TOKENS * DIM];

/* Rows [first, first + rows) of <name>.weight (.., rows, in) and .bias, times x; false: no such parameter. */
static bool multiply(const struct sample_block *b, const char *name, int64_t first, int64_t rows, const double *in,
                     double *out)
{
    char full[80];
    snprintf(full, sizeof full, "mlp.%s.weight", name);
    const struct tare_parameter *p = tare_tree_find(&b->tree, full);
    if (!p)
        return false;
    const int64_t width = p->shape[p->rank - 1];
    const float *w = sample_weight(b, full) + first * width;
    snprintf(full, sizeof full, "mlp.%s.bias", name);
    const float *bias = tare_tree_find(&b->tree, full) ? sample_weight(b, full) + first : NULL;
    for (int64_t r = 0; r < rows; r++) {
        out[r] = bias ? (double)bias[r] : 0;
        for (int64_t i = 0; i < width; i++)
            out[r] += (double)w[r * width + i] * in[i];
    }
    return true;
}

static const struct tare_mixture_variant *variant(const struct tare_routed_desc *d)
{
    static const struct tare_mixture_variant plain = {0};
    return d->variant ? d->variant : &plain;
}

static double activated(const struct tare_routed_desc *d, double v)
{
    return d->activation == TARE_RELU2 ? (v > 0 ? v * v : 0) : v / (1 + exp(-v));
}

static void expert(const struct sample_block *b, const struct tare_routed_desc *d, int e, const double *in, double *out)
{
    double gate[HIDDEN], up[HIDDEN];
    const int64_t width = variant(d)->latent.width > 0 ? LATENT : DIM;
    const char *up_name = variant(d)->ungated ? "switch_mlp.fc1" : "switch_mlp.up_proj";
    assert_true(multiply(b, up_name, e * HIDDEN, HIDDEN, in, up));
    if (!variant(d)->ungated)
        assert_true(multiply(b, "switch_mlp.gate_proj", e * HIDDEN, HIDDEN, in, gate));
    for (int i = 0; i < HIDDEN; i++)
        up[i] = variant(d)->ungated ? activated(d, up[i]) : activated(d, gate[i]) * up[i];
    assert_true(
        multiply(b, variant(d)->ungated ? "switch_mlp.fc2" : "switch_mlp.down_proj", e * width, width, up, out));
}

static void shared_expert(const struct sample_block *b, const struct tare_routed_desc *d, const double *in, double *out)
{
    double both[2 * SHARED], *up = both + SHARED;
    if (variant(d)->shared_gate_up)
        assert_true(multiply(b, "shared.both", 0, 2 * SHARED, in, both));
    else
        assert_true(multiply(b, "shared_experts.up_proj", 0, SHARED, in, up));
    if (!variant(d)->shared_gate_up && !variant(d)->ungated)
        assert_true(multiply(b, "shared_experts.gate_proj", 0, SHARED, in, both));
    for (int i = 0; i < SHARED; i++)
        up[i] = variant(d)->ungated ? activated(d, up[i]) : activated(d, both[i]) * up[i];
    assert_true(multiply(b, variant(d)->shared_down ? "shared.down" : "shared_experts.down_proj", 0, DIM, up, out));
}

/* The weight of each expert, 0 of those not chosen. */
static void route(const struct sample_block *b, const struct tare_routed_desc *d, const double *in, double *weight)
{
    const struct tare_router *r = &d->router;
    double score[EXPERTS], choice[EXPERTS], sum = 0;
    assert_true(multiply(b, "gate", 0, EXPERTS, in, score));
    for (int e = 0; e < EXPERTS; e++) {
        score[e] = r->score == TARE_SCORE_SIGMOID ? 1 / (1 + exp(-score[e])) : exp(score[e]);
        sum += score[e];
    }
    for (int e = 0; e < EXPERTS; e++) {
        score[e] /= r->score == TARE_SCORE_SIGMOID ? 1 : sum;
        choice[e] = score[e] + (d->correction ? (double)sample_weight(b, "mlp.gate.correction")[e] : 0);
    }
    double group[EXPERTS];
    const int groups = r->groups > 1 ? (int)r->groups : 1, each = EXPERTS / groups;
    for (int g = 0; g < groups; g++) { /* the best two together */
        group[g] = -INFINITY;
        for (int i = 0; i < each; i++)
            for (int k = 0; k < i; k++)
                group[g] = fmax(group[g], choice[g * each + i] + choice[g * each + k]);
    }
    sum = 0;
    for (int e = 0; e < EXPERTS; e++) {
        int better_groups = 0, better = 0;
        for (int g = 0; g < groups; g++)
            better_groups += group[g] > group[e / each];
        for (int k = 0; k < EXPERTS; k++) {
            int k_better_groups = 0;
            for (int g = 0; g < groups; g++)
                k_better_groups += group[g] > group[k / each];
            better += choice[k] > choice[e] && (groups < 2 || k_better_groups < r->top_groups);
        }
        const bool chosen = better < r->top && (groups < 2 || better_groups < r->top_groups);
        sum += weight[e] = chosen ? score[e] : 0;
    }
    for (int e = 0; e < EXPERTS; e++)
        weight[e] *= (r->scale != 0 ? r->scale : 1) / (r->normalize ? sum : 1);
}

static void token(const struct sample_block *b, const struct tare_routed_desc *d, const double *in, double *out)
{
    double weight[EXPERTS], narrow[WIDEST], one[WIDEST], sum[WIDEST] = {0};
    const int64_t width = variant(d)->latent.width > 0 ? LATENT : DIM;
    route(b, d, in, weight);
    if (!multiply(b, "narrow", 0, LATENT, in, narrow))
        memcpy(narrow, in, DIM * sizeof *in);
    for (int e = 0; e < EXPERTS; e++) {
        expert(b, d, e, narrow, one);
        for (int64_t i = 0; i < width; i++)
            sum[i] += weight[e] * one[i];
    }
    if (variant(d)->latent.norm) {
        double square = 0;
        for (int i = 0; i < LATENT; i++)
            square += sum[i] * sum[i];
        for (int i = 0; i < LATENT; i++)
            sum[i] *= (double)sample_weight(b, "mlp.norm.weight")[i] / sqrt(square / LATENT + variant(d)->latent.eps);
    }
    if (!multiply(b, "widen", 0, DIM, sum, out))
        memcpy(out, sum, DIM * sizeof *out);
    if (d->shared.hidden > 0) {
        shared_expert(b, d, in, one);
        for (int i = 0; i < DIM; i++)
            out[i] += one[i];
    }
}

#define ROUTER .n = EXPERTS, .top = 2
static const struct tare_routed_desc descs[] = {
    {.router = {ROUTER}, .dim = DIM, .hidden = HIDDEN},
    {.router = {ROUTER, .normalize = true, .scale = 2.5},
     .dim = DIM,
     .hidden = HIDDEN,
     .bias = true,
     .shared.hidden = SHARED},
    {.router = {ROUTER, .normalize = true},
     .dim = DIM,
     .hidden = HIDDEN,
     .shared.name = "shared",
     .variant = &(const struct tare_mixture_variant){.shared_gate_up = "both", .shared_down = "down"},
     .shared.hidden = SHARED},
    {.router = {ROUTER, .score = TARE_SCORE_SIGMOID, .groups = 3, .top_groups = 2},
     .dim = DIM,
     .hidden = HIDDEN,
     .correction = "gate.correction",
     .gate_kind = TARE_ROUTER_PARAMETER},
    {.router = {ROUTER, .score = TARE_SCORE_SIGMOID, .normalize = true, .scale = 0.5},
     .dim = DIM,
     .hidden = HIDDEN,
     .variant = &(const struct tare_mixture_variant){.ungated = true, .parts = {NULL, "fc1", "fc2"}},
     .activation = TARE_RELU2,
     .shared.hidden = SHARED,
     .shared.bias = true},
    {.router = {ROUTER, .normalize = true},
     .dim = DIM,
     .hidden = HIDDEN,
     .activation = TARE_RELU2,
     .variant =
         &(const struct tare_mixture_variant){
             .ungated = true,
             .parts = {NULL, "fc1", "fc2"},
             .latent = {.width = LATENT, .down = "narrow", .up = "widen", .bias = true, .norm = "norm", .eps = 1e-5}},
     .shared.hidden = SHARED},
    {.router = {ROUTER},
     .dim = DIM,
     .hidden = HIDDEN,
     .variant = &(const struct tare_mixture_variant){.latent = {.width = LATENT, .down = "narrow", .up = "widen"}}},
};

static void begin(struct sample_block *b, const struct tare_routed_desc *d, int threads)
{
    struct tare_layer layer = {0};
    tare_routed(&layer, sample_block_begin(b, threads, DIM), d);
    b->layer.mixer = layer.ffn; /* the harness runs mixers */
    assert_non_null(layer.ffn.ops);
    sample_block_load(b);
    assert_true(layer.ffn.ops->spared(layer.ffn.self, &b->loaded) > 0); /* of experts without a gate, too */
}

static void run(const struct tare_routed_desc *d, int threads, float *into)
{
    struct sample_block b;
    struct sample_text text = {0};
    begin(&b, d, threads);
    sample_run(&b, &text, (const int64_t[]){TOKENS}, 1, x, into);
    sample_block_end(&b);
}

static void test_reference(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < FIXTURE_COUNT(descs); i++) {
        struct sample_block b;
        begin(&b, &descs[i], 1);
        for (int t = 0; t < TOKENS; t++) {
            double in[DIM], out[DIM];
            for (int k = 0; k < DIM; k++)
                in[k] = (double)x[t * DIM + k];
            token(&b, &descs[i], in, out);
            for (int k = 0; k < DIM; k++)
                want[t * DIM + k] = (float)out[k];
        }
        sample_block_end(&b);
        run(&descs[i], 2, y);
        sample_near(y, want, TOKENS * DIM, 2e-5f);
    }
}

/* Token by token, and with other numbers of threads. */
static void test_pieces(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < FIXTURE_COUNT(descs); i++) {
        struct sample_block b;
        struct sample_text text = {0};
        run(&descs[i], 1, want);
        run(&descs[i], 3, y);
        assert_memory_equal(y, want, sizeof y);
        begin(&b, &descs[i], 2);
        for (int t = 0; t < TOKENS; t++)
            sample_run(&b, &text, (const int64_t[]){1}, 1, x + t * DIM, y + t * DIM);
        sample_near(y, want, TOKENS * DIM, 2e-5f);
        sample_block_end(&b);
    }
}

int main(void)
{
    sample_fill(x, TOKENS * DIM, "x", 0, 2);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_reference), cmocka_unit_test(test_pieces)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
