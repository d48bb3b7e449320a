/* SPDX-License-Identifier: MIT
 * scaled_sum.c - residual sums with trained factors. */
#include "blocks/stream/scaled_sum.h"

#include <string.h>

#include "blocks/pass.h"

enum { LAYERS_MOST = 100000 }; /* a decoder refuses more */

struct sums {
    const struct tare_scaled_sum *of; /* by layer */
    int64_t dim;
    bool skips; /* the embedded tokens are kept in TARE_SLICE_STREAM, (tokens, dim) */
};

struct job {
    const struct tare_pass *pass;
    int64_t dim;
    const float *add; /* (tokens, dim) */
    float factor;
    const float *keep, *take; /* (dim) each; NULL: 1 */
};

static void add_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    float *x = j->pass->x + (int64_t)i * j->dim;
    const float *y = j->add + (int64_t)i * j->dim;
    if (j->keep && j->take)
        for (int64_t k = 0; k < j->dim; k++)
            x[k] = j->keep[k] * x[k] + j->take[k] * j->factor * y[k];
    else
        for (int64_t k = 0; k < j->dim; k++)
            x[k] += j->factor * y[k];
}

static float number(const struct tare_pass *pass, const struct tare_parameter *p)
{
    return p ? *tare_loaded_vector(pass->loaded, p) : 1;
}

static void begin(const void *self, struct tare_pass *pass)
{
    const struct sums *b = self;
    memcpy(pass->slice[TARE_SLICE_STREAM], pass->x, (size_t)(pass->tokens * b->dim) * sizeof *pass->x);
}

static void write_slot(const void *self, struct tare_pass *pass)
{
    const struct sums *b = self;
    const struct tare_scaled_sum *sum = &b->of[pass->slot / 2];
    const int which = (int)(pass->slot % 2);
    struct job j = {.pass = pass, .dim = b->dim, .add = pass->y, .factor = number(pass, sum->gain[which])};
    if (sum->keep[which] && sum->take[which]) {
        j.keep = tare_loaded_vector(pass->loaded, sum->keep[which]);
        j.take = tare_loaded_vector(pass->loaded, sum->take[which]);
    }
    tare_pool_run(pass->pool, (size_t)pass->tokens, add_token, &j);
    if (which == 1 && sum->skip) {
        struct job skip = {.pass = pass, .dim = b->dim, .factor = number(pass, sum->skip)};
        skip.add = pass->slice[TARE_SLICE_STREAM];
        tare_pool_run(pass->pool, (size_t)pass->tokens, add_token, &skip);
    }
}

struct tare_scaled_sum *tare_scaled_sum_open(struct tare_at at, int64_t n)
{
    const int64_t room = n > 0 && n <= LAYERS_MOST ? n : 1;
    struct tare_scaled_sum *sums = tare_arena_array(at.tree->arena, (size_t)room, sizeof *sums);
    if (!sums && !at.tree->error.code)
        tare_fail_memory(&at.tree->error);
    return sums;
}

void tare_scaled_sum_close(struct tare_scaled_sum *sums, struct tare_at at, struct tare_decoder *decoder)
{
    struct sums b = {.of = sums, .dim = decoder->dim};
    for (int64_t i = 0; i < decoder->n_layers; i++)
        b.skips = b.skips || sums[i].skip;
    const struct sums *kept = tare_block_keep(at, &b, sizeof b);
    if (!kept)
        return;
    decoder->stream = (struct tare_layer_stream){.begin = b.skips ? begin : NULL, .write = write_slot, .self = kept};
    if (b.skips)
        tare_slice_declare(decoder, TARE_SLICE_STREAM, decoder->dim);
}
