/* SPDX-License-Identifier: MIT
 * delta_rule.c - the gated delta rule, token by token, heads in parallel. */
#include "blocks/recurrent/delta_rule.h"

#include <math.h>
#include <string.h>

#include "blocks/recurrent/short_conv.h"
#include "blocks/scratch.h"

#define NORM_EPS 1e-6f                      /* beside the squares of a query or key */
#define STATES_MOST (TARE_PANEL_FLOATS / 4) /* so that a thread's work memory holds four rows of a key */

struct delta {
    struct tare_linear in[3];  /* give q, k and v, each its own or the first all of them */
    struct tare_linear low[2]; /* the first of two linears that give a and z by a low rank */
    struct tare_linear a, b, z, out;
    struct tare_linear ba; /* gives a and b together; in[0] gives z as well then */
    struct tare_conv conv[3];
    int inputs, convolutions;
    const struct tare_parameter *a_log, *dt_bias;
    struct tare_norm norm;
    int64_t key_heads, heads, key_head, value_head;
    int64_t key;    /* width of all keys */
    int64_t value;  /* width of all values */
    int64_t mixed;  /* width of q, k and v together */
    int64_t decays; /* numbers a of a token */
    int64_t rank;   /* of the low-rank linears */
    float least;
    bool gate_sigmoid, negative;
};

struct job {
    const struct delta *b;
    const struct tare_pass *pass;
    float *in;    /* (tokens, mixed): q, k, v before the convolution */
    float *conv;  /* (tokens, raw_width): first what in_proj_qkvz gives, then q, k, v convolved, whose v becomes o */
    float *z;     /* (tokens, value) */
    float *rate;  /* (tokens, heads) */
    float *decay; /* (tokens, decays) */
    float *low;   /* (tokens, rank, or 2 heads) */
};

enum { STATES, CONVOLVED }; /* parts of the state; CONVOLVED: one for each convolution */

static int state(const void *block, struct tare_state_part parts[TARE_STATE_PARTS])
{
    const struct delta *b = block;
    parts[STATES] = (struct tare_state_part){TARE_STATE_SUM, b->heads * b->key_head, b->value_head, 0};
    for (int i = 0; i < b->convolutions; i++)
        parts[CONVOLVED + i] = tare_conv_state(&b->conv[i]);
    return CONVOLVED + b->convolutions;
}

static int64_t raw_width(const struct delta *b)
{
    return b->mixed + (b->ba.weight ? b->value : 0);
}

static int64_t low_width(const struct delta *b)
{
    return b->ba.weight ? 2 * b->heads : b->rank;
}

static size_t lay_out(const struct delta *b, int64_t tokens, float *memory, struct job *j)
{
    struct tare_scratch s = {memory, 0};
    j->in = tare_scratch_take(&s, tokens, b->mixed);
    j->conv = tare_scratch_take(&s, tokens, raw_width(b));
    j->z = tare_scratch_take(&s, tokens, b->value);
    j->rate = tare_scratch_take(&s, tokens, b->heads);
    j->decay = tare_scratch_take(&s, tokens, b->decays);
    j->low = tare_scratch_take(&s, tokens, low_width(b));
    return s.floats;
}

static size_t scratch(const void *block, int64_t tokens)
{
    struct job counted;
    return lay_out(block, tokens, NULL, &counted);
}

/* Takes apart a row of Qwen3-Next, which has for each key head its query, its key, and the values and gates of its
 * value heads. */
static void sort_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const struct delta *b = j->b;
    const int64_t t = (int64_t)i, group = b->heads / b->key_heads, values = group * b->value_head;
    const float *from = j->conv + t * raw_width(b), *ba = j->low + t * 2 * b->heads;
    float *q = j->in + t * b->mixed, *k = q + b->key, *v = k + b->key, *z = j->z + t * b->value;
    for (int64_t h = 0; h < b->key_heads; h++, from += 2 * (b->key_head + values), ba += 2 * group) {
        memcpy(q + h * b->key_head, from, (size_t)b->key_head * sizeof *q);
        memcpy(k + h * b->key_head, from + b->key_head, (size_t)b->key_head * sizeof *k);
        memcpy(v + h * values, from + 2 * b->key_head, (size_t)values * sizeof *v);
        memcpy(z + h * values, from + 2 * b->key_head + values, (size_t)values * sizeof *z);
        memcpy(j->rate + t * b->heads + h * group, ba, (size_t)group * sizeof *ba);
        memcpy(j->decay + t * b->heads + h * group, ba + group, (size_t)group * sizeof *ba);
    }
}

/* y = linear(low(x)), or linear(x) where there is no low rank. */
static void through(const struct job *j, const struct tare_linear *low, const struct tare_linear *linear,
                    const float *x, float *y)
{
    if (low->weight) {
        tare_linear_forward(j->pass, low, x, low->in, j->low, low->out);
        x = j->low;
    }
    tare_linear_forward(j->pass, linear, x, linear->in, y, linear->out);
}

static void project(const struct job *j, const float *x)
{
    const struct delta *b = j->b;
    if (b->ba.weight) {
        tare_linear_forward(j->pass, &b->in[0], x, b->in[0].in, j->conv, raw_width(b));
        tare_linear_forward(j->pass, &b->ba, x, b->ba.in, j->low, b->ba.out);
        tare_pool_run(j->pass->pool, (size_t)j->pass->tokens, sort_token, (void *)j);
        return;
    }
    int64_t at = 0;
    for (int i = 0; i < b->inputs; at += b->in[i++].out)
        tare_linear_forward(j->pass, &b->in[i], x, b->in[i].in, j->in + at, b->mixed);
    through(j, &b->low[0], &b->a, x, j->decay);
    through(j, &b->low[1], &b->z, x, j->z);
    tare_linear_forward(j->pass, &b->b, x, b->b.in, j->rate, b->heads);
}

/* Scales q and k to their lengths, turns a into the decay g, and b into the rate. */
static void prepare_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const struct delta *b = j->b;
    const int64_t t = (int64_t)i, each = b->decays / b->heads;
    const float *a_log = tare_loaded_vector(j->pass->loaded, b->a_log);
    const float *dt = tare_loaded_vector(j->pass->loaded, b->dt_bias);
    float *heads = j->conv + t * b->mixed, *g = j->decay + t * b->decays, *rate = j->rate + t * b->heads;
    for (int64_t h = 0; h < 2 * b->key_heads; h++, heads += b->key_head) {
        const float length = sqrtf(j->pass->kernels.squares(heads, b->key_head) + NORM_EPS);
        const float factor = 1 / (h < b->key_heads ? length * sqrtf((float)b->key_head) : length);
        for (int64_t d = 0; d < b->key_head; d++)
            heads[d] *= factor;
    }
    for (int64_t d = 0; d < b->decays; d++) {
        const float a = expf(a_log[d / each]), x = g[d] + dt[d];
        g[d] = expf(b->least < 0 ? b->least * tare_sigmoid(a * x) : -a * tare_softplus(x));
    }
    for (int64_t h = 0; h < b->heads; h++)
        rate[h] = tare_sigmoid(rate[h]) * (b->negative ? 2 : 1);
}

static int64_t tiles_of(const struct delta *b)
{
    return (b->value_head + TARE_DELTA_TILE - 1) / TARE_DELTA_TILE;
}

/* One task runs some channels of one head over the tokens of a span, so that their state stays in the L1 cache.
 *     S = g S + (rate k) v^T - (rate k) (S^T (g k))^T */
static void scan_tile(void *user, size_t i, int worker)
{
    const struct job *j = user;
    const struct delta *b = j->b;
    const int64_t tiles = tiles_of(b), head = (int64_t)i / tiles, h = head % b->heads,
                  at = (int64_t)i % tiles * TARE_DELTA_TILE;
    const struct tare_span *span = &j->pass->spans[head / b->heads];
    const int64_t n = b->key_head, each = b->decays / b->heads, left = b->value_head - at;
    const int64_t shared = h / (b->heads / b->key_heads) * n, channel = h * b->value_head + at;
    struct tare_state *kept = tare_pass_state(j->pass, span);
    float *const ask = j->pass->work[worker], *const decay = ask + n, *const key = decay + n, *const back = key + n;
    struct tare_delta_step step = {.ask = ask, .decay = decay, .key = key, .back = back, .states = n};
    step.channels = left < TARE_DELTA_TILE ? left : TARE_DELTA_TILE;
    step.h = tare_state_to(kept, STATES, span->turn) + channel * n;
    step.from = tare_state_from(kept, STATES, span->turn) + channel * n;
    for (int64_t t = span->first; t < span->first + span->tokens; t++) {
        float *row = j->conv + t * b->mixed;
        const float *g = j->decay + t * b->decays + h * each, *k = row + b->key + shared;
        const float rate = j->rate[t * b->heads + h];
        for (int64_t d = 0; d < n; d++) {
            decay[d] = g[each > 1 ? d : 0];
            ask[d] = decay[d] * k[d];
            key[d] = rate * k[d];
            back[d] = -key[d];
        }
        step.query = row + shared;
        step.x = step.y = row + 2 * b->key + channel;
        j->pass->kernels.delta(&step);
        step.from = step.h;
    }
}

/* z = norm(o) gate(z) */
static void gate_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const struct delta *b = j->b;
    float *o = j->conv + (int64_t)i * b->mixed + 2 * b->key, *z = j->z + (int64_t)i * b->value;
    for (int64_t h = 0; h < b->heads; h++)
        tare_norm_row(j->pass, &b->norm, o + h * b->value_head, o + h * b->value_head);
    if (!b->gate_sigmoid)
        j->pass->kernels.silu(z, o, b->value);
    for (int64_t d = 0; b->gate_sigmoid && d < b->value; d++)
        z[d] = o[d] * tare_sigmoid(z[d]);
}

static void convolve(const struct job *j, const struct tare_span *span)
{
    const struct delta *b = j->b;
    int64_t at = span->first * b->mixed;
    for (int i = 0; i < b->convolutions; at += b->conv[i++].channels) {
        const struct tare_short_conv conv = tare_conv_loaded(j->pass, &b->conv[i], true);
        tare_short_conv_forward(j->pass, span, &conv, CONVOLVED + i, j->in + at, b->mixed, j->conv + at, b->mixed);
    }
}

static void forward(const void *block, struct tare_pass *pass, const float *x, float *y)
{
    const struct delta *b = block;
    const int64_t tokens = pass->tokens;
    struct job j = {.b = b, .pass = pass};
    lay_out(b, pass->tokens, pass->scratch, &j);
    project(&j, x);
    for (int64_t i = 0; i < pass->n_spans; i++)
        convolve(&j, &pass->spans[i]);
    tare_pool_run(pass->pool, (size_t)tokens, prepare_token, &j);
    tare_pool_run(pass->pool, (size_t)(pass->n_spans * b->heads * tiles_of(b)), scan_tile, &j);
    tare_pool_run(pass->pool, (size_t)tokens, gate_token, &j);
    tare_linear_forward(pass, &b->out, j.z, b->value, y, b->out.out);
}

static const struct tare_block_ops ops = {.name = "delta", .state = state, .scratch = scratch, .forward = forward};

/* Convolves the queries, keys and values of a span. */
static void declare_inputs(struct delta *b, struct tare_at at, const struct tare_delta_desc *d)
{
    static const char *const linear[] = {"q_proj", "k_proj", "v_proj"};
    static const char *const conv[][3] = {{"q_conv1d", "k_conv1d", "v_conv1d"},
                                          {"q_conv.conv", "k_conv.conv", "v_conv.conv"}};
    const int64_t width[] = {b->key, b->key, b->value};
    b->inputs = b->convolutions = d->spelling == TARE_DELTA_FUSED ? 1 : 3;
    if (d->spelling == TARE_DELTA_FUSED) {
        b->in[0] = tare_linear(at, "qkv_proj", d->dim, b->mixed, NO_BIAS);
        b->conv[0] = tare_conv(at, "qkv_conv.conv", b->mixed, d->kernel, NO_BIAS);
        return;
    }
    for (int i = 0; i < 3; i++) {
        b->in[i] = tare_linear(at, linear[i], d->dim, width[i], NO_BIAS);
        b->conv[i] = tare_conv(at, conv[d->spelling == TARE_DELTA_NESTED][i], width[i], d->kernel, NO_BIAS);
    }
}

static void declare(struct delta *b, struct tare_at at, const struct tare_delta_desc *d)
{
    declare_inputs(b, at, d);
    if (d->decay == TARE_DECAY_LOW_RANK)
        b->low[0] = tare_linear(at, "f_a_proj", d->dim, b->rank, NO_BIAS);
    b->a = d->decay == TARE_DECAY_HEAD      ? tare_linear(at, "a_proj", d->dim, b->heads, NO_BIAS)
           : d->decay == TARE_DECAY_ELEMENT ? tare_linear(at, "f_proj", d->dim, b->key, NO_BIAS)
                                            : tare_linear(at, "f_b_proj", b->rank, b->key, NO_BIAS);
    b->dt_bias = tare_plain(at, "dt_bias", 1, b->decays);
    b->a_log = d->four_axes ? tare_plain(at, "A_log", 4, (int64_t)1, (int64_t)1, b->heads, (int64_t)1)
                            : tare_plain(at, "A_log", 1, b->heads);
    b->b = tare_linear(at, "b_proj", d->dim, b->heads, NO_BIAS);
    if (d->gate_low_rank) {
        b->low[1] = tare_linear(at, "g_a_proj", d->dim, b->rank, NO_BIAS);
        b->z = tare_linear(at, "g_b_proj", b->rank, b->value, NO_BIAS);
    } else {
        b->z = tare_linear(at, "g_proj", d->dim, b->value, NO_BIAS);
    }
    b->norm = tare_rms_norm(at, "o_norm", d->value_head, d->eps);
    b->out = tare_linear(at, "o_proj", b->value, d->dim, NO_BIAS);
}

static void declare_qwen(struct delta *b, struct tare_at at, const struct tare_delta_desc *d)
{
    b->inputs = b->convolutions = 1;
    b->conv[0] = tare_conv(at, "conv1d", b->mixed, d->kernel, NO_BIAS);
    if (d->spelling == TARE_DELTA_IN_TWO) {
        b->in[0] = tare_linear(at, "in_proj_qkvz", d->dim, b->mixed + b->value, NO_BIAS);
        b->ba = tare_linear(at, "in_proj_ba", d->dim, 2 * b->heads, NO_BIAS);
    } else {
        b->in[0] = tare_linear(at, "in_proj_qkv", d->dim, b->mixed, NO_BIAS);
        b->z = tare_linear(at, "in_proj_z", d->dim, b->value, NO_BIAS);
        b->b = tare_linear(at, "in_proj_b", d->dim, b->heads, NO_BIAS);
        b->a = tare_linear(at, "in_proj_a", d->dim, b->heads, NO_BIAS);
    }
    b->dt_bias = tare_plain(at, "dt_bias", 1, b->heads);
    b->a_log = tare_plain(at, "A_log", 1, b->heads);
    b->norm = tare_rms_norm(at, "norm", d->value_head, d->eps);
    b->out = tare_linear(at, "out_proj", b->value, d->dim, NO_BIAS);
}

static bool runs(const struct delta *b)
{
    return b->key_head <= STATES_MOST && b->key_heads > 0 && b->heads % b->key_heads == 0 &&
           (b->decays == b->heads || b->decays == b->heads * b->key_head);
}

void tare_delta(struct tare_layer *layer, struct tare_at parent, const struct tare_delta_desc *d)
{
    const struct tare_at at = tare_at(parent, "%s", d->name ? d->name : "linear_attn");
    struct delta b = {.key_heads = d->key_heads,
                      .heads = d->value_heads,
                      .key_head = d->key_head,
                      .value_head = d->value_head,
                      .key = tare_width(at, d->key_heads, d->key_head),
                      .value = tare_width(at, d->value_heads, d->value_head),
                      .rank = d->value_head,
                      .least = (float)d->least,
                      .gate_sigmoid = d->gate_sigmoid,
                      .negative = d->negative};
    b.mixed = 2 * b.key + b.value;
    b.decays = d->decay == TARE_DECAY_HEAD ? b.heads : b.key;
    if (d->spelling == TARE_DELTA_IN_TWO || d->spelling == TARE_DELTA_IN_FOUR)
        declare_qwen(&b, at, d);
    else
        declare(&b, at, d);
    if (!at.tree->error.code && runs(&b))
        tare_block_set(&layer->mixer, at, &ops, &b, sizeof b);
}
