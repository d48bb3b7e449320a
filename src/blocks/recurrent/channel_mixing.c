/* SPDX-License-Identifier: MIT
 * channel_mixing.c - RWKV-7's feed-forward block, which sees the token before. */
#include "blocks/recurrent/time_mixing.h"
#include "blocks/recurrent/token_shift.h"
#include "blocks/scratch.h"

struct channel_mixing {
    const struct tare_parameter *mix; /* (dim) */
    struct tare_linear key, value;
    int64_t dim, hidden;
};

struct job {
    const struct channel_mixing *b;
    const struct tare_pass *pass;
    float *mixed;  /* (tokens, dim) */
    float *hidden; /* (tokens, hidden) */
};

static int state(const void *block, struct tare_state_part parts[TARE_STATE_PARTS])
{
    parts[0] = tare_token_shift_state(((const struct channel_mixing *)block)->dim);
    return 1;
}

static size_t lay_out(const struct channel_mixing *b, int64_t tokens, float *memory, struct job *j)
{
    struct tare_scratch s = {memory, 0};
    j->mixed = tare_scratch_take(&s, tokens, b->dim);
    j->hidden = tare_scratch_take(&s, tokens, b->hidden);
    return s.floats;
}

static size_t scratch(const void *block, int64_t tokens)
{
    struct job counted;
    return lay_out(block, tokens, NULL, &counted);
}

static void activate_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    tare_activation_forward(&j->pass->kernels, TARE_RELU2, j->hidden + (int64_t)i * j->b->hidden, NULL, j->b->hidden);
}

static void forward(const void *block, struct tare_pass *pass, const float *x, float *y)
{
    const struct channel_mixing *b = block;
    struct job j = {.b = b, .pass = pass};
    lay_out(b, pass->tokens, pass->scratch, &j);
    tare_token_shift(pass, 0, b->dim, tare_loaded_vector(pass->loaded, b->mix), x, j.mixed);
    tare_token_shift_keep(pass, 0, b->dim, x);
    tare_linear_forward(pass, &b->key, j.mixed, b->dim, j.hidden, b->hidden);
    tare_pool_run(pass->pool, (size_t)pass->tokens, activate_token, &j);
    tare_linear_forward(pass, &b->value, j.hidden, b->hidden, y, b->dim);
}

static const struct tare_block_ops ops = {
    .name = "channel_mixing", .state = state, .scratch = scratch, .forward = forward};

void tare_channel_mixing(struct tare_layer *layer, struct tare_at parent, const struct tare_channel_mixing_desc *d)
{
    const struct tare_at at = tare_at(parent, "%s", d->name ? d->name : "ffn");
    const struct channel_mixing b = {.mix = tare_plain(at, "x_k", 1, d->dim),
                                     .key = tare_linear(at, "key", d->dim, d->hidden, NO_BIAS),
                                     .value = tare_linear(at, "value", d->hidden, d->dim, NO_BIAS),
                                     .dim = d->dim,
                                     .hidden = d->hidden};
    if (!at.tree->error.code)
        tare_block_set(&layer->ffn, at, &ops, &b, sizeof b);
}
