/* SPDX-License-Identifier: MIT
 * conv_mixer.c - keys and values of the last few tokens, convolved and gated. */
#include "blocks/recurrent/conv_mixer.h"

#include <math.h>

#include "blocks/recurrent/short_conv.h"
#include "blocks/scratch.h"

enum { KEY, VALUE }; /* parts of the state */

struct mixer {
    struct tare_linear q, kv[2], o;
    struct tare_conv conv[2];
    struct tare_norm q_norm, k_norm;
    int64_t heads, kv_heads, head_dim;
};

struct job {
    const struct mixer *b;
    const struct tare_pass *pass;
    float *q;     /* (tokens, heads, head_dim) */
    float *kv[2]; /* (tokens, kv_heads, head_dim) */
    float *convolved[2];
};

static int state(const void *block, struct tare_state_part parts[TARE_STATE_PARTS])
{
    const struct mixer *b = block;
    parts[KEY] = tare_conv_state(&b->conv[KEY]);
    parts[VALUE] = tare_conv_state(&b->conv[VALUE]);
    return 2;
}

static size_t lay_out(const struct mixer *b, int64_t tokens, float *memory, struct job *j)
{
    struct tare_scratch s = {memory, 0};
    j->q = tare_scratch_take(&s, tokens, b->heads * b->head_dim);
    j->kv[KEY] = tare_scratch_take(&s, tokens, b->kv_heads * b->head_dim);
    j->kv[VALUE] = tare_scratch_take(&s, tokens, b->kv_heads * b->head_dim);
    j->convolved[KEY] = tare_scratch_take(&s, tokens, b->kv_heads * b->head_dim);
    j->convolved[VALUE] = tare_scratch_take(&s, tokens, b->kv_heads * b->head_dim);
    return s.floats;
}

static size_t scratch(const void *block, int64_t tokens)
{
    struct job counted;
    return lay_out(block, tokens, NULL, &counted);
}

static void norm_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const struct mixer *b = j->b;
    float *q = j->q + (int64_t)i * b->heads * b->head_dim, *k = j->kv[KEY] + (int64_t)i * b->kv_heads * b->head_dim;
    for (int64_t h = 0; h < b->heads; h++)
        tare_norm_row(j->pass, &b->q_norm, q + h * b->head_dim, q + h * b->head_dim);
    for (int64_t h = 0; h < b->kv_heads; h++)
        tare_norm_row(j->pass, &b->k_norm, k + h * b->head_dim, k + h * b->head_dim);
}

static void gate_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const struct mixer *b = j->b;
    const int64_t group = b->heads / b->kv_heads;
    for (int64_t h = 0; h < b->heads; h++) {
        const int64_t from = ((int64_t)i * b->kv_heads + h / group) * b->head_dim;
        const float *key = j->convolved[KEY] + from, *value = j->convolved[VALUE] + from;
        float *q = j->q + ((int64_t)i * b->heads + h) * b->head_dim;
        for (int64_t d = 0; d < b->head_dim; d++)
            q[d] = value[d] / (1 + expf(-q[d] * key[d]));
    }
}

static void forward(const void *block, struct tare_pass *pass, const float *x, float *y)
{
    const struct mixer *b = block;
    const int64_t q = b->heads * b->head_dim, kv = b->kv_heads * b->head_dim;
    struct job j = {.b = b, .pass = pass};
    lay_out(b, pass->tokens, pass->scratch, &j);
    tare_linear_forward(pass, &b->q, x, b->q.in, j.q, q);
    for (int i = 0; i < 2; i++)
        tare_linear_forward(pass, &b->kv[i], x, b->kv[i].in, j.kv[i], kv);
    tare_pool_run(pass->pool, (size_t)pass->tokens, norm_token, &j);
    for (int64_t i = 0; i < 2 * pass->n_spans; i++) {
        const struct tare_short_conv conv = tare_conv_loaded(pass, &b->conv[i % 2], false);
        const int64_t from = pass->spans[i / 2].first * kv;
        tare_short_conv_forward(pass, &pass->spans[i / 2], &conv, (int)(i % 2), j.kv[i % 2] + from, kv,
                                j.convolved[i % 2] + from, kv);
    }
    tare_pool_run(pass->pool, (size_t)pass->tokens, gate_token, &j);
    tare_linear_forward(pass, &b->o, j.q, q, y, b->o.out);
}

static const struct tare_block_ops ops = {.name = "conv_mixer", .state = state, .scratch = scratch, .forward = forward};

void tare_conv_mixer(struct tare_layer *layer, struct tare_at parent, const struct tare_conv_mixer_desc *d)
{
    const struct tare_at at = tare_at(parent, "%s", d->name);
    const int64_t q = tare_mul(at, d->heads, d->head_dim), kv = tare_mul(at, d->kv_heads, d->head_dim);
    const struct mixer mixer = {
        .q = tare_linear(at, "q_proj", d->dim, q, d->bias),
        .kv = {tare_linear(at, "k_proj", d->dim, kv, d->bias), tare_linear(at, "v_proj", d->dim, kv, d->bias)},
        .o = tare_linear(at, "o_proj", q, d->dim, d->bias),
        .conv = {tare_conv(at, "key_conv", kv, d->width, d->bias), tare_conv(at, "value_conv", kv, d->width, d->bias)},
        .q_norm = tare_rms_norm_one_plus(at, "q_norm", d->head_dim, d->eps),
        .k_norm = tare_rms_norm_one_plus(at, "k_norm", d->head_dim, d->eps),
        .heads = d->heads,
        .kv_heads = d->kv_heads,
        .head_dim = d->head_dim,
    };
    const bool runs = d->kv_heads > 0 && d->heads % d->kv_heads == 0 && d->width > 0;
    tare_block_set(&layer->mixer, at, runs ? &ops : NULL, &mixer, sizeof mixer);
}
