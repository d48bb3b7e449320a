/* SPDX-License-Identifier: MIT
 * test_delta.c - the gated delta rule in all spellings, lightning attention, and RWKV-7's blocks.
 */
#include <math.h>
#include <string.h>

#include "blocks/recurrent/delta_rule.h"
#include "blocks/recurrent/lightning.h"
#include "blocks/recurrent/time_mixing.h"
#include "mixers.h"

enum { DIM = MIXER_DIM };

static void sigmoids(double *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = mixer_sigmoid(x[i]);
}

static void silus(double *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = mixer_silu(x[i]);
}

static void scale(double *x, int64_t n, double factor)
{
    for (int64_t i = 0; i < n; i++)
        x[i] *= factor;
}

static double dot(const double *a, const double *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* What goes into the rule. */
struct rule {
    double qkv[256], z[64], a[64], b[8];
    int64_t key, value; /* widths */
};

static void qwen_inputs(struct mixer_reference *r, const struct tare_delta_desc *d, const double *x, struct rule *in)
{
    double raw[256], ba[16], *q = in->qkv, *k = q + in->key, *v = k + in->key;
    const int64_t group = d->value_heads / d->key_heads, values = group * d->value_head;
    if (d->spelling == TARE_DELTA_IN_FOUR) {
        mixer_multiply(r, "in_proj_qkv", x, in->qkv);
        mixer_multiply(r, "in_proj_z", x, in->z);
        mixer_multiply(r, "in_proj_a", x, in->a);
        mixer_multiply(r, "in_proj_b", x, in->b);
        return;
    }
    mixer_multiply(r, "in_proj_qkvz", x, raw);
    mixer_multiply(r, "in_proj_ba", x, ba);
    for (int64_t h = 0; h < d->key_heads; h++) {
        const double *of = raw + h * 2 * (d->key_head + values);
        memcpy(q + h * d->key_head, of, (size_t)d->key_head * sizeof *q);
        memcpy(k + h * d->key_head, of + d->key_head, (size_t)d->key_head * sizeof *q);
        memcpy(v + h * values, of + 2 * d->key_head, (size_t)values * sizeof *q);
        memcpy(in->z + h * values, of + 2 * d->key_head + values, (size_t)values * sizeof *q);
        memcpy(in->b + h * group, ba + h * 2 * group, (size_t)group * sizeof *q);
        memcpy(in->a + h * group, ba + (h * 2 + 1) * group, (size_t)group * sizeof *q);
    }
}

static void kimi_inputs(struct mixer_reference *r, const struct tare_delta_desc *d, const double *x, struct rule *in)
{
    double low[16];
    if (d->spelling == TARE_DELTA_FUSED) {
        mixer_multiply(r, "qkv_proj", x, in->qkv);
    } else {
        mixer_multiply(r, "q_proj", x, in->qkv);
        mixer_multiply(r, "k_proj", x, in->qkv + in->key);
        mixer_multiply(r, "v_proj", x, in->qkv + 2 * in->key);
    }
    if (d->decay == TARE_DECAY_LOW_RANK)
        mixer_multiply(r, "f_a_proj", x, low);
    mixer_multiply(r,
                   d->decay == TARE_DECAY_HEAD      ? "a_proj"
                   : d->decay == TARE_DECAY_ELEMENT ? "f_proj"
                                                    : "f_b_proj",
                   d->decay == TARE_DECAY_LOW_RANK ? low : x, in->a);
    mixer_multiply(r, "b_proj", x, in->b);
    if (d->gate_low_rank)
        mixer_multiply(r, "g_a_proj", x, low);
    mixer_multiply(r, d->gate_low_rank ? "g_b_proj" : "g_proj", d->gate_low_rank ? low : x, in->z);
}

static void convolve_inputs(struct mixer_reference *r, const struct tare_delta_desc *d, struct rule *in)
{
    static const char *const each[] = {"q_conv1d", "k_conv1d", "v_conv1d"};
    static const char *const nested[] = {"q_conv.conv", "k_conv.conv", "v_conv.conv"};
    const int64_t width[] = {in->key, in->key, in->value}, all = 2 * in->key + in->value;
    double *at = in->qkv;
    if (d->spelling == TARE_DELTA_EACH || d->spelling == TARE_DELTA_NESTED)
        for (int i = 0; i < 3; at += width[i++])
            mixer_convolve(r, i, d->spelling == TARE_DELTA_EACH ? each[i] : nested[i], at, width[i], d->kernel);
    else
        mixer_convolve(r, 0, d->spelling == TARE_DELTA_FUSED ? "qkv_conv.conv" : "conv1d", at, all, d->kernel);
    silus(in->qkv, all);
}

/* How much of row i of head h is left. */
static double decay_of(const struct mixer_reference *r, const struct tare_delta_desc *d, const struct rule *in,
                       int64_t h, int64_t i)
{
    const int64_t at = d->decay == TARE_DECAY_HEAD ? h : h * d->key_head + i;
    const double rate = exp((double)mixer_weight(r, "A_log")[h]);
    const double x = in->a[at] + (double)mixer_weight(r, "dt_bias")[at];
    return exp(d->least < 0 ? d->least * mixer_sigmoid(rate * x) : -rate * mixer_softplus(x));
}

/* One head: S decays, then is corrected; y = S^T q. */
static void correct(struct mixer_reference *r, const struct tare_delta_desc *d, const struct rule *in, int64_t h,
                    double *y)
{
    const int64_t shared = h / (d->value_heads / d->key_heads) * d->key_head;
    const double *q = in->qkv + shared, *k = q + in->key, *v = in->qkv + 2 * in->key + h * d->value_head;
    const double rate = mixer_sigmoid(in->b[h]) * (d->negative ? 2 : 1);
    for (int64_t j = 0; j < d->value_head; j++) {
        double *column = r->h + (h * d->value_head + j) * d->key_head;
        for (int64_t i = 0; i < d->key_head; i++)
            column[i] *= decay_of(r, d, in, h, i);
        const double wrong = rate * (v[j] - dot(column, k, d->key_head));
        for (int64_t i = 0; i < d->key_head; i++)
            column[i] += k[i] * wrong;
        y[j] = dot(column, q, d->key_head);
    }
}

static void delta_token(struct mixer_reference *r, const struct tare_delta_desc *d, const double *x, double *y)
{
    struct rule in = {.key = d->key_heads * d->key_head, .value = d->value_heads * d->value_head};
    const bool qwen = d->spelling == TARE_DELTA_IN_TWO || d->spelling == TARE_DELTA_IN_FOUR;
    double out[64];
    (qwen ? qwen_inputs : kimi_inputs)(r, d, x, &in);
    convolve_inputs(r, d, &in);
    for (int64_t h = 0; h < 2 * d->key_heads; h++) {
        double *head = in.qkv + h * d->key_head;
        scale(head, d->key_head, 1 / sqrt(dot(head, head, d->key_head) + 1e-6));
    }
    scale(in.qkv, in.key, 1 / sqrt((double)d->key_head));
    (d->gate_sigmoid ? sigmoids : silus)(in.z, in.value);
    for (int64_t h = 0; h < d->value_heads; h++) {
        correct(r, d, &in, h, out + h * d->value_head);
        mixer_rms(out + h * d->value_head, d->value_head, d->eps,
                  mixer_weight(r, qwen ? "norm.weight" : "o_norm.weight"));
    }
    for (int64_t i = 0; i < in.value; i++)
        out[i] *= in.z[i];
    mixer_multiply(r, qwen ? "out_proj" : "o_proj", out, y);
}

/* Heads of values share keys, and nothing is as wide as another. */
#define SHARED                                                                                                         \
    .name = "mixer", .dim = DIM, .key_heads = 2, .value_heads = 4, .key_head = 5, .value_head = 7, .kernel = 4
#define EQUAL .name = "mixer", .dim = DIM, .key_heads = 4, .value_heads = 4, .key_head = 6, .value_head = 6, .kernel = 3
static const struct tare_delta_desc olmo = {SHARED, .spelling = TARE_DELTA_EACH, .negative = true, .eps = 1e-5};
static const struct tare_delta_desc next = {SHARED, .spelling = TARE_DELTA_IN_TWO, .eps = 1e-6};
static const struct tare_delta_desc qwen = {SHARED, .spelling = TARE_DELTA_IN_FOUR, .eps = 1e-6};
static const struct tare_delta_desc kimi = {EQUAL,
                                            .spelling = TARE_DELTA_NESTED,
                                            .decay = TARE_DECAY_LOW_RANK,
                                            .gate_low_rank = true,
                                            .gate_sigmoid = true,
                                            .four_axes = true,
                                            .eps = 1e-5};
static const struct tare_delta_desc k3 = {EQUAL,       .spelling = TARE_DELTA_FUSED, .decay = TARE_DECAY_LOW_RANK,
                                          .least = -3, .gate_sigmoid = true,         .eps = 1e-5};
static const struct tare_delta_desc ling = {EQUAL,       .spelling = TARE_DELTA_EACH, .decay = TARE_DECAY_ELEMENT,
                                            .least = -5, .gate_sigmoid = true,        .eps = 1e-5};

#define DELTA(model)                                                                                                   \
    static void declare_##model(struct tare_layer *l, struct tare_at at)                                               \
    {                                                                                                                  \
        tare_delta(l, at, &model);                                                                                     \
    }                                                                                                                  \
    static void model##_token(struct mixer_reference *r, const double *x, double *y)                                   \
    {                                                                                                                  \
        delta_token(r, &model, x, y);                                                                                  \
    }
DELTA(olmo)
DELTA(next)
DELTA(qwen)
DELTA(kimi)
DELTA(k3)
DELTA(ling)

static const struct tare_rope turning = {.kind = TARE_ROPE_DEFAULT, .dims = 4, .base = 100, .factor = 1};
static const struct tare_lightning_desc four = {
    .name = "mixer", .dim = DIM, .heads = 4, .head = 5, .groups = 2, .eps = 1e-5, .strength = 0.6, .rope = turning};
static const struct tare_lightning_desc six = {.name = "mixer",
                                               .dim = DIM,
                                               .heads = 6,
                                               .head = 6,
                                               .groups = 3,
                                               .qkv_bias = true,
                                               .bias = true,
                                               .qk_norm = true,
                                               .eps = 1e-5,
                                               .strength = 1,
                                               .rope = turning};

/* Norm and rotate. */
static void prepare(const struct mixer_reference *r, const struct tare_lightning_desc *d, double *head,
                    const char *norm)
{
    if (d->qk_norm)
        mixer_rms(head, d->head, d->eps, mixer_weight(r, norm));
    for (int64_t i = 0; i < 2; i++) {
        const double angle = (double)r->position * pow(100, -(double)i / 2), a = head[i], b = head[i + 2];
        head[i] = a * cos(angle) - b * sin(angle);
        head[i + 2] = b * cos(angle) + a * sin(angle);
    }
}

static void lightning_token(struct mixer_reference *r, const struct tare_lightning_desc *d, const double *slopes,
                            const double *x, double *y)
{
    double qkv[3 * 36], gate[36], out[36];
    const int64_t n = d->head, width = d->heads * n, group = width / d->groups;
    mixer_multiply(r, "query_key_value", x, qkv);
    mixer_multiply(r, "g_proj", x, gate);
    for (int64_t h = 0; h < d->heads; h++) {
        double *q = qkv + h * n, *k = q + width, *v = k + width;
        prepare(r, d, q, "query_layernorm.weight");
        prepare(r, d, k, "key_layernorm.weight");
        for (int64_t j = 0; j < n; j++) {
            double *column = r->h + (h * n + j) * n;
            for (int64_t i = 0; i < n; i++)
                column[i] = exp(-d->strength * slopes[h]) * column[i] + k[i] * v[j];
            out[h * n + j] = dot(column, q, n) / sqrt((double)n);
        }
    }
    for (int64_t g = 0; g < d->groups; g++)
        mixer_rms(out + g * group, group, d->eps, mixer_weight(r, "g_norm.weight") + g * group);
    for (int64_t i = 0; i < width; i++)
        out[i] *= mixer_sigmoid(gate[i]);
    mixer_multiply(r, "dense", out, y);
}

static void declare_four(struct tare_layer *l, struct tare_at at)
{
    tare_lightning(l, at, &four);
}

static void declare_six(struct tare_layer *l, struct tare_at at)
{
    tare_lightning(l, at, &six);
}

static void four_token(struct mixer_reference *r, const double *x, double *y)
{
    lightning_token(r, &four, (const double[]){1. / 4, 1. / 16, 1. / 64, 1. / 256}, x, y);
}

/* Those of four heads, then the first and the third of eight. */
static void six_token(struct mixer_reference *r, const double *x, double *y)
{
    lightning_token(r, &six, (const double[]){1. / 4, 1. / 16, 1. / 64, 1. / 256, 1. / 2, 1. / 8}, x, y);
}

enum { HEAD = 8, HEADS = DIM / HEAD };

/* u = x mixed with the token before, which is in r->before[which][0]. */
static void mix(const struct mixer_reference *r, const char *name, const double *x, double *u)
{
    const float *share = mixer_weight(r, name);
    for (int i = 0; i < DIM; i++)
        u[i] = x[i] + (double)share[i] * (r->before[0][0][i] - x[i]);
}

static void low_rank(const struct mixer_reference *r, const char *name, const double *u, double (*act)(double),
                     double *y)
{
    char full[40];
    double low[16];
    snprintf(full, sizeof full, "%s.lora.0", name);
    mixer_multiply(r, full, u, low);
    for (int i = 0; i < 16 && act; i++)
        low[i] = act(low[i]);
    snprintf(full, sizeof full, "%s.lora.2", name);
    mixer_multiply(r, full, low, y);
}

struct wkv {
    double r[DIM], w[DIM], k[DIM], v[DIM], a[DIM], g[DIM], p[DIM];
};

static void wkv_inputs(const struct mixer_reference *r, const double *x, bool first, struct wkv *in)
{
    double u[DIM], share[DIM];
    mix(r, "x_r", x, u);
    mixer_multiply(r, "r_proj", u, in->r);
    mix(r, "x_w", x, u);
    low_rank(r, "w_lora", u, tanh, in->w);
    mix(r, "x_k", x, u);
    mixer_multiply(r, "k_proj", u, in->k);
    mix(r, "x_v", x, u);
    mixer_multiply(r, "v_proj", u, in->v);
    if (!first)
        low_rank(r, "v_lora", u, NULL, share);
    for (int i = 0; i < DIM && !first; i++)
        in->v[i] += mixer_sigmoid(share[i]) * (x[i] - in->v[i]); /* the sample's side is x */
    mix(r, "x_a", x, u);
    low_rank(r, "a_lora", u, NULL, in->a);
    mix(r, "x_g", x, u);
    low_rank(r, "g_lora", u, mixer_sigmoid, in->g);
}

static void wkv_head(struct mixer_reference *r, const struct wkv *in, int at, double *o)
{
    const double *k = in->k + at, *p = in->p + at, *w = in->w + at, *a = in->a + at;
    double mean = 0, square = 0, bonus = 0;
    for (int j = 0; j < HEAD; j++) {
        double *column = r->h + (at + j) * HEAD;
        const double said = dot(column, p, HEAD);
        for (int i = 0; i < HEAD; i++)
            column[i] = w[i] * column[i] + k[i] * in->v[at + j] - said * p[i] * a[i];
        o[j] = dot(column, in->r + at, HEAD);
        mean += o[j] / HEAD;
        bonus += in->r[at + j] * k[j] * (double)mixer_weight(r, "r_k")[at + j];
    }
    for (int j = 0; j < HEAD; j++)
        square += (o[j] - mean) * (o[j] - mean) / HEAD;
    for (int j = 0; j < HEAD; j++)
        o[j] = (o[j] - mean) / sqrt(square + 64e-5) * (double)mixer_weight(r, "g_norm.weight")[at + j] +
               (double)mixer_weight(r, "g_norm.bias")[at + j] + bonus * in->v[at + j];
}

static void time_token(struct mixer_reference *r, const double *x, bool first, double *y)
{
    struct wkv in;
    double o[DIM];
    wkv_inputs(r, x, first, &in);
    for (int i = 0; i < DIM; i++) {
        in.w[i] = exp(-0.606531 * mixer_sigmoid(in.w[i]));
        in.a[i] = mixer_sigmoid(in.a[i]);
        in.p[i] = in.k[i] * (double)mixer_weight(r, "k_k")[i];
        in.k[i] *= 1 + (in.a[i] - 1) * (double)mixer_weight(r, "k_a")[i];
    }
    for (int at = 0; at < DIM; at += HEAD) {
        scale(in.p + at, HEAD, 1 / sqrt(dot(in.p + at, in.p + at, HEAD)));
        wkv_head(r, &in, at, o + at);
    }
    for (int i = 0; i < DIM; i++)
        o[i] *= in.g[i];
    mixer_multiply(r, "o_proj", o, y);
    memcpy(r->before[0][0], x, DIM * sizeof *x);
}

static void first_token(struct mixer_reference *r, const double *x, double *y)
{
    time_token(r, x, true, y);
}

static void later_token(struct mixer_reference *r, const double *x, double *y)
{
    time_token(r, x, false, y);
}

static const struct tare_time_mixing_desc mixing = {
    .name = "mixer", .dim = DIM, .head = HEAD, .decay_rank = 5, .value_rank = 7, .rate_rank = 16, .gate_rank = 3};

static void declare_first(struct tare_layer *l, struct tare_at at)
{
    struct tare_time_mixing_desc d = mixing;
    d.first = true;
    tare_time_mixing(l, at, &d);
}

static void declare_later(struct tare_layer *l, struct tare_at at)
{
    tare_time_mixing(l, at, &mixing);
}

static void declare_channels(struct tare_layer *l, struct tare_at at)
{
    tare_channel_mixing(l, at, &(struct tare_channel_mixing_desc){.name = "mixer", .dim = DIM, .hidden = 40});
    l->mixer = l->ffn;
}

static void channels_token(struct mixer_reference *r, const double *x, double *y)
{
    double u[DIM], hidden[40];
    mix(r, "x_k", x, u);
    mixer_multiply(r, "key", u, hidden);
    for (int i = 0; i < 40; i++)
        hidden[i] = hidden[i] > 0 ? hidden[i] * hidden[i] : 0;
    mixer_multiply(r, "value", hidden, y);
    memcpy(r->before[0][0], x, DIM * sizeof *x);
}

static const struct mixer mixers[] = {
    {"delta: OLMo Hybrid", declare_olmo, olmo_token},
    {"delta: Qwen3-Next", declare_next, next_token},
    {"delta: Qwen3.5", declare_qwen, qwen_token},
    {"delta: Kimi Linear", declare_kimi, kimi_token},
    {"delta: Kimi K3", declare_k3, k3_token},
    {"delta: Ling 3", declare_ling, ling_token},
    {"lightning: four heads", declare_four, four_token},
    {"lightning: six heads", declare_six, six_token},
    {"time mixing: first layer", declare_first, first_token},
    {"time mixing", declare_later, later_token},
    {"channel mixing", declare_channels, channels_token},
};

static void delta_cannot_run(struct tare_delta_desc d, enum tare_code code)
{
    struct sample_block b;
    tare_delta(&b.layer, sample_block_begin(&b, 1, DIM), &d);
    assert_int_equal(b.tree.error.code, code);
    assert_null(b.layer.mixer.ops);
    sample_block_end(&b);
}

/* Sizes that nothing can run are declared, and have no ops; those beyond any model's are refused. */
static void test_cannot_run(void **unused)
{
    (void)unused;
    struct tare_delta_desc d = olmo;
    d.value_heads = 5;
    delta_cannot_run(d, TARE_OK);
    d = kimi;
    d.key_heads = 2; /* fewer decays than elements of keys */
    delta_cannot_run(d, TARE_OK);
    d = olmo;
    d.key_head = 1 << 20;
    delta_cannot_run(d, TARE_OK);
    d.key_heads = INT32_MAX;
    delta_cannot_run(d, TARE_E_CONFIG);
    struct sample_block b;
    struct tare_lightning_desc odd = four;
    odd.groups = 3;
    tare_lightning(&b.layer, sample_block_begin(&b, 1, DIM), &odd);
    assert_int_equal(b.tree.error.code, TARE_OK);
    assert_null(b.layer.mixer.ops);
    sample_block_end(&b);
    struct tare_time_mixing_desc heads = mixing;
    heads.head = 7;
    tare_time_mixing(&b.layer, sample_block_begin(&b, 1, DIM), &heads);
    assert_int_equal(b.tree.error.code, TARE_E_CONFIG);
    assert_null(b.layer.mixer.ops);
    sample_block_end(&b);
}

int main(void)
{
    const struct CMUnitTest more[] = {cmocka_unit_test(test_cannot_run)};
    return mixers_main(mixers, FIXTURE_COUNT(mixers), more, FIXTURE_COUNT(more));
}
