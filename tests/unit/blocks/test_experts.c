/* SPDX-License-Identifier: MIT
 * test_experts.c - feed-forward blocks that few models have, against plain loops in double: experts whose gate norms by
 * itself, two blocks side by side, a residual of low rank, gates of which many are cut off.
 */
#include <math.h>
#include <string.h>

#include "blocks/feed_forward/mixture_variant.h"
#include "blocks/stream/laurel.h"
#include "blocks/stream/pair.h"
#include "models/blocks.h"
#include "sample.h"

enum { DIM = 12, HIDDEN = 10, EXPERTS = 5, TOP = 2, TOKENS = 9 };

static void rms(const double *x, const float *w, double *y)
{
    double sum = 0;
    for (int i = 0; i < DIM; i++)
        sum += x[i] * x[i];
    for (int i = 0; i < DIM; i++)
        y[i] = x[i] / sqrt(sum / DIM + 1e-5) * (double)w[i];
}

static void multiply(const float *w, int rows, int in, const double *x, double *y)
{
    for (int r = 0; r < rows; r++) {
        y[r] = 0;
        for (int i = 0; i < in; i++)
            y[r] += (double)w[r * in + i] * x[i];
    }
}

static double gelu(double x)
{
    return x / 2 * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
}

/* down(gelu(gate x) * up x) of a part of three stacked or plain matrices. */
static void unit(const struct sample_block *b, const char *below, int expert, const double *x, double *y)
{
    char name[3][80];
    double g[HIDDEN], u[HIDDEN];
    for (int i = 0; i < 3; i++)
        snprintf(name[i], sizeof name[i], "%s.%s.weight", below,
                 (const char *[]){"gate_proj", "up_proj", "down_proj"}[i]);
    multiply(sample_weight(b, name[0]) + expert * HIDDEN * DIM, HIDDEN, DIM, x, g);
    multiply(sample_weight(b, name[1]) + expert * HIDDEN * DIM, HIDDEN, DIM, x, u);
    for (int i = 0; i < HIDDEN; i++)
        u[i] *= gelu(g[i]);
    multiply(sample_weight(b, name[2]) + expert * HIDDEN * DIM, DIM, HIDDEN, u, y);
}

/* The two best by softmax(logits), each weighed within the two and by its own number. */
static void routed(const struct sample_block *b, const double *x, double *y)
{
    double normed[DIM], logits[EXPERTS], part[DIM], sum = 0;
    int best[TOP] = {-1, -1};
    rms(x, sample_weight(b, "router.scale"), normed);
    multiply(sample_weight(b, "router.proj.weight"), EXPERTS, DIM, normed, logits);
    for (int k = 0; k < TOP; k++)
        for (int e = 0; e < EXPERTS; e++)
            if (e != best[0] && (best[k] < 0 || logits[e] > logits[best[k]]))
                best[k] = e;
    for (int k = 0; k < TOP; k++)
        sum += exp(logits[best[k]] * 0.25);
    rms(x, sample_weight(b, "pre_2.weight"), normed);
    memset(y, 0, DIM * sizeof *y);
    for (int k = 0; k < TOP; k++) {
        unit(b, "experts", best[k], normed, part);
        for (int i = 0; i < DIM; i++)
            y[i] += exp(logits[best[k]] * 0.25) / sum * (double)sample_weight(b, "router.gain")[best[k]] * part[i];
    }
}

static float x[TOKENS * DIM], y[TOKENS * DIM], want[TOKENS * DIM];

static void begin(struct sample_block *b)
{
    sample_block_load(b);
    assert_non_null(b->layer.mixer.ops);
    sample_fill(x, TOKENS * DIM, "x", 0, 1);
}

static void run_and_compare(struct sample_block *b)
{
    struct sample_text text;
    sample_text_begin(&text, b);
    sample_run(b, &text, (const int64_t[]){TOKENS}, 1, x, y);
    sample_near(y, want, TOKENS * DIM, 1e-5f);
    sample_text_end(&text);
    sample_text_begin(&text, b);
    for (int t = 0; t < TOKENS; t++)
        sample_run(b, &text, (const int64_t[]){1}, 1, x + t * DIM, y + t * DIM);
    sample_near(y, want, TOKENS * DIM, 1e-5f);
    sample_text_end(&text);
    sample_block_end(b);
}

/* Gemma 4's: post_1(dense(pre_1 x)) + post_2(routed(x)). */
static void test_pair(void **unused)
{
    struct sample_block b;
    (void)unused;
    const struct tare_at at = sample_block_begin(&b, 2, DIM);
    struct tare_pair pair = {.dim = DIM, .pre[0] = tare_rms_norm(at, "pre_1", DIM, 1e-5)};
    tare_glu(&b.layer, at, &(struct tare_glu_desc){.dim = DIM, .hidden = HIDDEN, .activation = TARE_GELU_TANH});
    pair.part[0] = b.layer.ffn;
    tare_routed(&b.layer, at,
                &(struct tare_routed_desc){.name = "",
                                           .dim = DIM,
                                           .hidden = HIDDEN,
                                           .router = {.n = EXPERTS, .top = TOP, .normalize = true},
                                           .gate = "router.proj",
                                           .experts = "experts",
                                           .variant = &(struct tare_mixture_variant){.apart = {.gate = "router.scale",
                                                                                               .experts = "pre_2",
                                                                                               .gain = "router.gain",
                                                                                               .logit_scale = 0.25,
                                                                                               .eps = 1e-5}},
                                           .activation = TARE_GELU_TANH});
    pair.part[1] = b.layer.ffn;
    pair.post[0] = tare_rms_norm(at, "post_1", DIM, 1e-5);
    pair.post[1] = tare_rms_norm(at, "post_2", DIM, 1e-5);
    tare_pair(&b.layer.mixer, at, &pair);
    begin(&b);
    for (int t = 0; t < TOKENS; t++) {
        double in[DIM], normed[DIM], dense[DIM], sparse[DIM];
        for (int i = 0; i < DIM; i++)
            in[i] = (double)x[t * DIM + i];
        rms(in, sample_weight(&b, "pre_1.weight"), normed);
        unit(&b, "mlp", 0, normed, dense);
        routed(&b, in, sparse);
        rms(dense, sample_weight(&b, "post_1.weight"), dense);
        rms(sparse, sample_weight(&b, "post_2.weight"), sparse);
        for (int i = 0; i < DIM; i++)
            want[t * DIM + i] = (float)(dense[i] + sparse[i]);
    }
    run_and_compare(&b);
}

static void test_laurel(void **unused)
{
    struct sample_block b;
    (void)unused;
    const struct tare_at at = sample_block_begin(&b, 2, DIM);
    tare_laurel(&b.layer.mixer, at, DIM, 3, 1e-5);
    begin(&b);
    for (int t = 0; t < TOKENS; t++) {
        double in[DIM], narrow[3], out[DIM];
        for (int i = 0; i < DIM; i++)
            in[i] = (double)x[t * DIM + i];
        multiply(sample_weight(&b, "laurel.linear_left.weight"), 3, DIM, in, narrow);
        multiply(sample_weight(&b, "laurel.linear_right.weight"), DIM, 3, narrow, out);
        rms(out, sample_weight(&b, "laurel.post_laurel_norm.weight"), out);
        for (int i = 0; i < DIM; i++)
            want[t * DIM + i] = (float)(in[i] + out[i]);
    }
    run_and_compare(&b);
}

/* Of a normal distribution 0.95 lies below 1.6448536 standard deviations. */
static void test_sparse_gates(void **unused)
{
    struct sample_block b;
    (void)unused;
    tare_glu(&b.layer, sample_block_begin(&b, 2, DIM),
             &(struct tare_glu_desc){.dim = DIM, .hidden = HIDDEN, .unit = tare_unit_sparse(TARE_GELU_TANH, 0.95)});
    b.layer.mixer = b.layer.ffn;
    begin(&b);
    for (int t = 0; t < TOKENS; t++) {
        double in[DIM], g[HIDDEN], u[HIDDEN], out[DIM], mean = 0, variance = 0;
        for (int i = 0; i < DIM; i++)
            in[i] = (double)x[t * DIM + i];
        multiply(sample_weight(&b, "mlp.gate_proj.weight"), HIDDEN, DIM, in, g);
        multiply(sample_weight(&b, "mlp.up_proj.weight"), HIDDEN, DIM, in, u);
        for (int i = 0; i < HIDDEN; i++)
            mean += g[i] / HIDDEN;
        for (int i = 0; i < HIDDEN; i++)
            variance += (g[i] - mean) * (g[i] - mean) / HIDDEN;
        for (int i = 0; i < HIDDEN; i++)
            u[i] *= gelu(fmax(0, g[i] - mean - 1.6448536269514722 * sqrt(variance)));
        multiply(sample_weight(&b, "mlp.down_proj.weight"), DIM, HIDDEN, u, out);
        for (int i = 0; i < DIM; i++)
            want[t * DIM + i] = (float)out[i];
    }
    run_and_compare(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pair), cmocka_unit_test(test_laurel),
                                       cmocka_unit_test(test_sparse_gates)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
