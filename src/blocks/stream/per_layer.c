/* SPDX-License-Identifier: MIT
 * per_layer.c - inputs of a layer's own, from a second embedding and a projection of the first (Gemma 3n and 4). */
#include "blocks/stream/per_layer.h"

#include <math.h>

#include "blocks/after.h"
#include "blocks/pass.h"

struct inputs {
    const struct tare_parameter *embedding; /* (vocabulary, layers * width) */
    struct tare_linear projection;
    struct tare_norm norm; /* of width */
    int64_t layers, width;
    float scale; /* of the projection */
};

struct job {
    const struct inputs *b;
    const struct tare_pass *pass;
    const int32_t *ids;
};

/* A token's part of TARE_SLICE_INPUTS: what the layers take (layers, width), then room for its row of the embedding. */
static void mix_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const struct inputs *b = j->b;
    const int64_t all = b->layers * b->width;
    float *into = j->pass->slice[TARE_SLICE_INPUTS] + (int64_t)i * 2 * all, *row = into + all;
    const int64_t id = j->ids[i] < b->embedding->shape[0] ? j->ids[i] : 0; /* as the authors do */
    tare_matrix_row(&j->pass->kernels, tare_loaded_matrix(j->pass->loaded, b->embedding), id, row);
    for (int64_t k = 0; k < all; k++)
        into[k] *= b->scale;
    for (int64_t l = 0; l < b->layers; l++)
        tare_norm_row(j->pass, &b->norm, into + l * b->width, into + l * b->width);
    const float each = sqrtf((float)b->width), half = sqrtf(0.5f);
    for (int64_t k = 0; k < all; k++)
        into[k] = (into[k] + each * row[k]) * half;
}

static void begin(const void *self, struct tare_pass *pass, const int32_t *ids)
{
    const struct inputs *b = self;
    tare_linear_forward(pass, &b->projection, pass->x, b->projection.in, pass->slice[TARE_SLICE_INPUTS],
                        2 * b->projection.out);
    tare_pool_run(pass->pool, (size_t)pass->tokens, mix_token, &(struct job){b, pass, ids});
}

void tare_per_layer_inputs(struct tare_decoder *decoder, struct tare_at model, const struct tare_per_layer_desc *d)
{
    const int64_t all = tare_mul(model, d->layers, d->width);
    const struct inputs inputs = {
        .embedding = tare_embedding(model, "embed_tokens_per_layer", d->vocabulary, all),
        .projection = tare_linear(model, "per_layer_model_projection", d->dim, all, NO_BIAS),
        .norm = tare_rms_norm(model, "per_layer_projection_norm", d->width, d->eps),
        .layers = d->layers,
        .width = d->width,
        .scale = (float)(1 / sqrt((double)d->dim)),
    };
    const struct inputs *kept = tare_block_keep(model, &inputs, sizeof inputs);
    if (!kept)
        return;
    decoder->before = (struct tare_before){begin, kept};
    tare_slice_declare(decoder, TARE_SLICE_INPUTS, tare_mul(model, 2, all));
}

struct block {
    struct tare_linear gate, projection;
    int64_t i, layers; /* which layer of how many */
};

static size_t scratch(const void *block, int64_t tokens)
{
    const struct block *b = block;
    return (size_t)tokens * (size_t)b->gate.out;
}

struct gating {
    const struct block *b;
    const struct tare_pass *pass;
};

static void gate_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct gating *g = user;
    const int64_t width = g->b->gate.out;
    const float *input = g->pass->slice[TARE_SLICE_INPUTS] + ((int64_t)i * 2 * g->b->layers + g->b->i) * width;
    tare_activation_forward(&g->pass->kernels, TARE_GELU_TANH, g->pass->scratch + (int64_t)i * width, input, width);
}

static void forward(const void *block, struct tare_pass *pass, const float *x, float *y)
{
    const struct block *b = block;
    tare_linear_forward(pass, &b->gate, x, b->gate.in, pass->scratch, b->gate.out);
    tare_pool_run(pass->pool, (size_t)pass->tokens, gate_token, &(struct gating){b, pass});
    tare_linear_forward(pass, &b->projection, pass->scratch, b->projection.in, y, b->projection.out);
}

static const struct tare_block_ops ops = {.name = "per_layer", .scratch = scratch, .forward = forward};

void tare_per_layer(struct tare_layer *layer, struct tare_at at, int64_t i, const struct tare_per_layer_desc *d)
{
    const struct block block = {
        .gate = tare_linear(at, "per_layer_input_gate", d->dim, d->width, NO_BIAS),
        .projection = tare_linear(at, "per_layer_projection", d->width, d->dim, NO_BIAS),
        .i = i,
        .layers = d->layers,
    };
    const struct tare_norm post = tare_rms_norm(at, "post_per_layer_input_norm", d->dim, d->eps);
    struct tare_after *after = tare_after_of(layer, at.tree->arena);
    if (!after)
        return; /* the arena is marked */
    after->post = post;
    tare_block_set(&after->block, at, &ops, &block, sizeof block);
}
