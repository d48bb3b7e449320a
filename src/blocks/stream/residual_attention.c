/* SPDX-License-Identifier: MIT
 * residual_attention.c - attention over the sums of blocks of layers. pass->x is the running sum, and
 * TARE_SLICE_STREAM has the others, (blocks, tokens, dim), then logits. */
#include "blocks/stream/residual_attention.h"

#include <math.h>
#include <string.h>

#include "blocks/pass.h"

struct score {
    struct tare_linear proj; /* (1, dim) */
    struct tare_norm norm;
};
struct residuals {
    struct score *scores; /* (2 n_layers + 1): by slot, then that of the end */
    int64_t n_layers, dim, size;
};

struct job {
    const struct residuals *b;
    const struct tare_pass *pass;
    const float *logits; /* (tokens, sums) */
    int64_t n;           /* sums beside the running one */
    float *into;
};

static int64_t blocks(const struct residuals *b)
{
    return (b->n_layers - 1) / b->size + 1;
}

/* (tokens, dim): sum k of n + 1, the last of which is the running one */
static const float *sum_of(const struct tare_pass *pass, const struct residuals *b, int64_t k, int64_t n)
{
    return k < n ? pass->slice[TARE_SLICE_STREAM] + k * pass->tokens * b->dim : pass->x;
}

static void mix_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const int64_t dim = j->b->dim, sums = j->n + 1;
    const float *logits = j->logits + (int64_t)i * sums;
    float *y = j->into + (int64_t)i * dim, most = -INFINITY, all = 0;
    for (int64_t k = 0; k < sums; k++)
        most = logits[k] > most ? logits[k] : most;
    for (int64_t k = 0; k < sums; k++)
        all += expf(logits[k] - most);
    memset(y, 0, (size_t)dim * sizeof *y);
    for (int64_t k = 0; k < sums; k++) {
        const float share = expf(logits[k] - most) / all, *x = sum_of(j->pass, j->b, k, j->n) + (int64_t)i * dim;
        for (int64_t d = 0; d < dim; d++)
            y[d] += share * x[d];
    }
}

/* Uses pass->normed[1], which is free until the feed-forward block's own norm. */
static void mix(const struct residuals *b, struct tare_pass *pass, int64_t slot, float *into)
{
    const int64_t n = (slot / 2 + (slot % 2 ? b->size : b->size - 1)) / b->size;
    const struct score *score = &b->scores[slot];
    float *logits = pass->slice[TARE_SLICE_STREAM] + blocks(b) * pass->tokens * b->dim;
    for (int64_t k = 0; k <= n; k++) {
        tare_norm_forward(pass, &score->norm, b->dim, sum_of(pass, b, k, n), pass->normed[1]);
        tare_linear_forward(pass, &score->proj, pass->normed[1], b->dim, logits + k, n + 1);
    }
    tare_pool_run(pass->pool, (size_t)pass->tokens, mix_token,
                  &(struct job){.b = b, .pass = pass, .logits = logits, .n = n, .into = into});
}

/* Whether this slot is the mixer of the first layer of a block. */
static bool begins(const struct residuals *b, int64_t slot)
{
    return slot % 2 == 0 && slot / 2 % b->size == 0;
}

static void read_slot(const void *self, struct tare_pass *pass)
{
    const struct residuals *b = self;
    const int64_t plane = pass->tokens * b->dim;
    mix(b, pass, pass->slot, pass->normed[0]);
    if (begins(b, pass->slot))
        memcpy(pass->slice[TARE_SLICE_STREAM] + pass->slot / 2 / b->size * plane, pass->x,
               (size_t)plane * sizeof(float));
}

static void write_slot(const void *self, struct tare_pass *pass)
{
    const struct residuals *b = self;
    if (begins(b, pass->slot))
        memcpy(pass->x, pass->y, (size_t)(pass->tokens * b->dim) * sizeof(float));
    else
        tare_rows_add(pass, b->dim, pass->y, pass->x);
}

static void end(const void *self, struct tare_pass *pass)
{
    const struct residuals *b = self;
    mix(b, pass, 2 * b->n_layers, pass->normed[0]);
    memcpy(pass->x, pass->normed[0], (size_t)(pass->tokens * b->dim) * sizeof(float));
}

static struct score declare(struct tare_at at, const char *name, const struct tare_residual_attention_desc *d)
{
    const char *proj = tare_arena_format(at.tree->arena, "%s_res_proj", name);
    const char *norm = tare_arena_format(at.tree->arena, "%s_res_norm", name);
    if (!proj || !norm)
        return (struct score){0}; /* the arena is marked */
    return (struct score){tare_linear(at, proj, d->dim, 1, NO_BIAS), tare_rms_norm(at, norm, d->dim, d->eps)};
}

void tare_residual_attention(struct tare_decoder *decoder, struct tare_at model,
                             const struct tare_residual_attention_desc *d)
{
    const int64_t n = decoder->n_layers;
    struct residuals *b = tare_arena_alloc(model.tree->arena, sizeof *b);
    struct score *scores = tare_arena_array(model.tree->arena, (size_t)(2 * n + 1), sizeof *scores);
    if ((!b || !scores) && !model.tree->error.code)
        tare_fail_memory(&model.tree->error);
    for (int64_t i = 0; i < n && !model.tree->error.code; i++) {
        const struct tare_at at = tare_at(model, "layers.%lld", (long long)i);
        scores[2 * i] = declare(at, "self_attention", d);
        scores[2 * i + 1] = declare(at, "mlp", d);
    }
    if (model.tree->error.code)
        return;
    scores[2 * n] = declare(model, "output_attn", d);
    *b = (struct residuals){scores, n, d->dim, d->size};
    for (int64_t i = 0; d->size < 1 && i < n; i++)
        decoder->layers[i].mixer.ops = NULL;
    if (d->size < 1 || n < 1)
        return;
    tare_slice_declare(decoder, TARE_SLICE_STREAM, tare_mul(model, blocks(b), d->dim) + blocks(b) + 1);
    decoder->stream = (struct tare_layer_stream){.read = read_slot, .write = write_slot, .end = end, .self = b};
}
