/* SPDX-License-Identifier: MIT
 * rg_lru.c - the real-gated linear recurrent unit and the block around it. De et al. 2024 (Griffin).
 *
 *     u = conv(x x);  r = sigmoid(u W_r + b_r);  i = sigmoid(u W_i + b_i);  a = exp(-8 r softplus(p))
 *     h = a h + sqrt(1 - a^2) i u            (the first token of a text: h = i u)
 *     y = out(gelu(y x) h)
 */
#include "blocks/recurrent/rg_lru.h"

#include <math.h>
#include <string.h>

#include "blocks/pass.h"
#include "blocks/scratch.h"

enum { RECURRENT, INPUT };

struct rg_lru {
    struct tare_linear y, x, out;
    const struct tare_parameter *conv, *conv_bias;    /* (dim, width, 1), (dim) */
    const struct tare_parameter *decay;               /* p: (dim) */
    const struct tare_parameter *weight[2], *bias[2]; /* of gates: (heads, head, head), (heads, head) */
    int64_t dim, heads, head, width;
};

struct job {
    const struct rg_lru *b;
    const struct tare_pass *pass;
    const struct tare_span *span; /* the one whose tokens `from` and `to` belong to */
    float *y, *u;                 /* (tokens, dim) each: the gate, what goes into the convolution */
    float *c, *a, *in;            /* (tokens, dim) each: what comes out of it; the decay; what is added */
    const float *from;            /* of the state: h (dim), then the last width - 1 rows of u */
    float *to;
};

static int state(const void *block, struct tare_state_part parts[TARE_STATE_PARTS])
{
    const struct rg_lru *b = block;
    parts[0] = (struct tare_state_part){TARE_STATE_SUM, b->width, b->dim, 0};
    return 1;
}

static size_t lay_out(const struct rg_lru *b, int64_t tokens, float *memory, struct job *j)
{
    struct tare_scratch s = {memory, 0};
    j->y = tare_scratch_take(&s, tokens, b->dim);
    j->u = tare_scratch_take(&s, tokens, b->dim);
    j->c = tare_scratch_take(&s, tokens, b->dim);
    j->a = tare_scratch_take(&s, tokens, b->dim);
    j->in = tare_scratch_take(&s, tokens, b->dim);
    return s.floats;
}

static size_t scratch(const void *block, int64_t tokens)
{
    struct job counted;
    return lay_out(block, tokens, NULL, &counted);
}

/* Row t of u. Rows below 0 belong to earlier passes and come from the state. */
static const float *row(const struct job *j, int64_t t)
{
    return t >= 0 ? j->u + t * j->b->dim : j->from + (t + j->b->width) * j->b->dim;
}

static void convolve(const struct job *j, int64_t t, float *c)
{
    const struct rg_lru *b = j->b;
    const float *w = tare_loaded_vector(j->pass->loaded, b->conv);
    memcpy(c, tare_loaded_vector(j->pass->loaded, b->conv_bias), (size_t)b->dim * sizeof *c);
    for (int64_t k = 0; k < b->width; k++) {
        const float *u = row(j, t - b->width + 1 + k);
        for (int64_t i = 0; i < b->dim; i++)
            c[i] += w[i * b->width + k] * u[i];
    }
}

/* gate = sigmoid(c W + b), head by head. */
static void open_gate(const struct job *j, int which, const float *c, float *gate)
{
    const struct rg_lru *b = j->b;
    const float *w = tare_loaded_vector(j->pass->loaded, b->weight[which]);
    memcpy(gate, tare_loaded_vector(j->pass->loaded, b->bias[which]), (size_t)b->dim * sizeof *gate);
    for (int64_t i = 0; i < b->dim; i++, w += b->head) {
        float *into = gate + i / b->head * b->head;
        for (int64_t o = 0; o < b->head; o++)
            into[o] += c[i] * w[o];
    }
    for (int64_t i = 0; i < b->dim; i++)
        gate[i] = tare_sigmoid(gate[i]);
}

static void prepare_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const struct rg_lru *b = j->b;
    const int64_t t = (int64_t)i;
    float *c = j->c + t * b->dim, *a = j->a + t * b->dim, *in = j->in + t * b->dim;
    const float *p = tare_loaded_vector(j->pass->loaded, b->decay);
    convolve(j, t, c);
    open_gate(j, RECURRENT, c, a);
    open_gate(j, INPUT, c, in);
    for (int64_t k = 0; k < b->dim; k++) {
        const float soft = p[k] > 20 ? p[k] : log1pf(expf(p[k])), log_a = -8 * a[k] * soft;
        a[k] = expf(log_a);
        in[k] *= c[k] * (j->span->start + t > 0 ? sqrtf(-expm1f(2 * log_a)) : 1);
    }
    tare_activation_forward(&j->pass->kernels, TARE_GELU_TANH, j->y + t * b->dim, NULL, b->dim);
}

#define TASK_CHANNELS 64

/* Runs the recurrence of some channels over all tokens, and makes y y * h. */
static void scan_channels(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const int64_t dim = j->b->dim, first = (int64_t)i * TASK_CHANNELS;
    for (int64_t k = first; k < dim && k < first + TASK_CHANNELS; k++) {
        float h = j->from[k];
        for (int64_t t = 0; t < j->span->tokens; t++) {
            h = j->a[t * dim + k] * h + j->in[t * dim + k];
            j->y[t * dim + k] *= h;
        }
        j->to[k] = h;
    }
}

/* Runs the tokens of one sequence. */
static void run_span(struct job j, const struct tare_span *span)
{
    const struct rg_lru *b = j.b;
    float **const planes[] = {&j.y, &j.u, &j.c, &j.a, &j.in};
    struct tare_state *s = tare_pass_state(j.pass, span);
    for (size_t i = 0; i < sizeof planes / sizeof *planes; i++)
        *planes[i] += span->first * b->dim;
    j.span = span;
    j.from = tare_state_from(s, 0, span->turn);
    j.to = tare_state_to(s, 0, span->turn);
    tare_pool_run(j.pass->pool, (size_t)span->tokens, prepare_token, &j);
    tare_pool_run(j.pass->pool, (size_t)((b->dim + TASK_CHANNELS - 1) / TASK_CHANNELS), scan_channels, &j);
    for (int64_t k = 1; k < b->width; k++)
        memcpy(j.to + k * b->dim, row(&j, span->tokens - b->width + k), (size_t)b->dim * sizeof *j.to);
}

static void forward(const void *block, struct tare_pass *pass, const float *x, float *y)
{
    const struct rg_lru *b = block;
    struct job j = {.b = b, .pass = pass};
    lay_out(b, pass->tokens, pass->scratch, &j);
    tare_linear_forward(pass, &b->y, x, b->y.in, j.y, b->dim);
    tare_linear_forward(pass, &b->x, x, b->x.in, j.u, b->dim);
    for (int64_t i = 0; i < pass->n_spans; i++)
        run_span(j, &pass->spans[i]);
    tare_linear_forward(pass, &b->out, j.y, b->dim, y, b->out.out);
}

static const struct tare_block_ops ops = {.name = "rg_lru", .state = state, .scratch = scratch, .forward = forward};

void tare_rg_lru(struct tare_layer *layer, struct tare_at parent, const struct tare_rg_lru_desc *d)
{
    const struct tare_at at = tare_at(parent, "%s", d->name), lru = tare_at(at, "rg_lru"),
                         conv = tare_at(at, "conv_1d");
    const int64_t head = tare_div(at, "hidden_size", d->dim, "num_attention_heads", d->heads);
    const struct rg_lru block = {
        .y = tare_linear(at, "linear_y", d->dim, d->dim, BIAS),
        .x = tare_linear(at, "linear_x", d->dim, d->dim, BIAS),
        .out = tare_linear(at, "linear_out", d->dim, d->dim, BIAS),
        .conv = tare_plain(conv, "weight", 3, d->dim, d->width, (int64_t)1),
        .conv_bias = tare_plain(conv, "bias", 1, d->dim),
        .decay = tare_plain(lru, "recurrent_param", 1, d->dim),
        .weight = {tare_plain(lru, "recurrent_gate_weight", 3, d->heads, head, head),
                   tare_plain(lru, "input_gate_weight", 3, d->heads, head, head)},
        .bias = {tare_plain(lru, "recurrent_gate_bias", 2, d->heads, head),
                 tare_plain(lru, "input_gate_bias", 2, d->heads, head)},
        .dim = d->dim,
        .heads = d->heads,
        .head = head,
        .width = d->width,
    };
    if (tare_mul(at, d->dim, d->width) > 0)
        tare_block_set(&layer->mixer, at, &ops, &block, sizeof block);
}
