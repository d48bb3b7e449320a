/* SPDX-License-Identifier: MIT
 * decoder.c - the loop over a whole model. It knows no block, only their ops. */
#include "blocks/decoder.h"

#include <math.h>
#include <string.h>

#include "blocks/after.h"
#include "blocks/hadamard.h"

/* A config of a few bytes may ask for 2^31 layers; the deepest known models have about 130. */
#define LAYERS_MOST 100000

struct tare_layer *tare_layers(struct tare_decoder *decoder, int64_t n)
{
    decoder->too_deep = n > LAYERS_MOST;
    decoder->layers =
        n > 0 && !decoder->too_deep ? tare_arena_array(decoder->arena, (size_t)n, sizeof *decoder->layers) : NULL;
    decoder->n_layers = decoder->layers ? n : 0;
    return decoder->layers;
}

struct tare_layer *tare_layers_more(struct tare_decoder *decoder, int64_t more)
{
    const struct tare_layer *first = decoder->layers;
    const int64_t n = decoder->n_layers;
    struct tare_layer *all = tare_layers(decoder, more > INT64_MAX - n ? INT64_MAX : n + more);
    if (!all || n < 1)
        return NULL;
    memcpy(all, first, (size_t)n * sizeof *all);
    return all + n;
}

struct tare_after *tare_after_of(struct tare_layer *layer, struct tare_arena *arena)
{
    if (!layer->after)
        layer->after = tare_arena_array(arena, 1, sizeof *layer->after);
    return layer->after;
}

/* Gives a layer, which shares its record with the one that it repeats, a record of its own with a norm at its end. */
static void norm_after(struct tare_layer *layer, struct tare_norm norm, struct tare_arena *arena)
{
    const struct tare_after *shared = layer->after;
    layer->after = NULL;
    struct tare_after *after = tare_after_of(layer, arena);
    if (after && shared)
        *after = *shared;
    if (after)
        after->norm = norm;
}

void tare_layers_loop(struct tare_decoder *decoder, int64_t times, struct tare_norm between)
{
    const struct tare_layer *once = decoder->layers;
    const int64_t n = decoder->n_layers;
    if (n < 1 || times == 1)
        return;
    struct tare_layer *all =
        times > 0 && times <= LAYERS_MOST / n ? tare_layers(decoder, times * n) : tare_layers(decoder, INT64_MAX);
    for (int64_t i = 0; i < decoder->n_layers; i++) {
        all[i] = once[i % n];
        if ((i + 1) % n == 0 && i + 1 < decoder->n_layers && between.kind != TARE_NORM_NONE)
            norm_after(&all[i], between, decoder->arena);
    }
}

void *tare_block_keep(struct tare_at at, const void *self, size_t size)
{
    void *copy = tare_arena_alloc(at.tree->arena, size);
    if (copy)
        memcpy(copy, self, size);
    else if (!at.tree->error.code)
        tare_fail_memory(&at.tree->error);
    return copy;
}

void tare_block_set(struct tare_block *block, struct tare_at at, const struct tare_block_ops *ops, const void *self,
                    size_t size)
{
    const void *copy = tare_block_keep(at, self, size);
    if (copy)
        *block = (struct tare_block){ops, copy};
}

bool tare_decoder_runs(const struct tare_decoder *d)
{
    if (!d || !d->embedding || d->n_layers < 1 || d->norm.dim < 1)
        return false;
    for (int64_t i = 0; i < d->n_layers; i++)
        if (!d->layers[i].mixer.ops || !d->layers[i].ffn.ops)
            return false;
    return true;
}

void tare_slice_declare(struct tare_decoder *decoder, enum tare_pass_slice slice, int64_t width)
{
    if (width > decoder->slices[slice])
        decoder->slices[slice] = width;
}

struct job {
    const struct tare_decoder *d;
    const struct tare_pass *pass;
    const int32_t *ids;
    float *x;
    const float *add;
    float factor; /* of add, or of logits */
    const struct tare_wanted *wanted;
};

/* x = embedding[id] * scale + positions[position] */
static void embed_token(void *user, size_t i, int worker)
{
    const struct job *j = user;
    const struct tare_decoder *d = j->d;
    float *x = j->x + (int64_t)i * d->dim;
    tare_matrix_row(&j->pass->kernels, tare_loaded_matrix(j->pass->loaded, d->embedding), j->ids[i], x);
    tare_hadamard_embedded(j->pass, d->embedding, d->dim, x);
    const float scale = d->embedding_scale != 0 ? (float)d->embedding_scale : 1;
    for (int64_t k = 0; scale != 1 && k < d->dim; k++)
        x[k] *= scale;
    if (!d->positions)
        return;
    const int64_t position = tare_pass_position(j->pass, (int64_t)i) + d->position_offset;
    float *row = j->pass->work[worker]; /* at least dim long: tare_decoder_work() */
    tare_matrix_row(&j->pass->kernels, tare_loaded_matrix(j->pass->loaded, d->positions), position, row);
    for (int64_t k = 0; k < d->dim; k++)
        x[k] += row[k];
}

static void add_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    float *x = j->x + (int64_t)i * j->d->dim;
    const float *y = j->add + (int64_t)i * j->d->dim;
    for (int64_t k = 0; k < j->d->dim; k++)
        x[k] += j->factor * y[k];
}

static float number(const struct tare_pass *pass, const struct tare_parameter *p)
{
    return p ? *tare_loaded_vector(pass->loaded, p) : 1;
}

/* x += factor * post(block(pre(from))), where from is x or, in a parallel layer, what x was before the mixer. */
static void run_block(const struct tare_decoder *d, struct tare_pass *pass, const struct tare_layer *layer, int which,
                      const float *normed)
{
    const struct tare_block *block = which ? &layer->ffn : &layer->mixer;
    pass->slot = 2 * (layer - d->layers) + which;
    pass->lender = layer->borrows > 0 && 2 * layer->borrows <= pass->slot ? pass->slot - 2 * layer->borrows : -1;
    block->ops->forward(block->self, pass, normed, pass->y);
    tare_norm_forward(pass, &layer->post[which], d->dim, pass->y, pass->y);
    if (d->stream.write) {
        d->stream.write(d->stream.self, pass);
        return;
    }
    const float scale = layer->residual_scale != 0 ? (float)layer->residual_scale : 1;
    tare_pool_run(pass->pool, (size_t)pass->tokens, add_token,
                  &(struct job){.d = d, .x = pass->x, .add = pass->y, .factor = scale});
}

/* Norms what the block is to see into normed[which]. */
static void norm_input(const struct tare_decoder *d, struct tare_pass *pass, const struct tare_layer *layer, int which)
{
    const float *from = pass->x;
    pass->slot = 2 * (layer - d->layers) + which;
    if (d->stream.read) {
        d->stream.read(d->stream.self, pass);
        from = pass->normed[0];
    }
    tare_norm_forward(pass, &layer->pre[which], d->dim, from, pass->normed[which]);
}

static void scale_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    float *x = j->x + (int64_t)i * j->d->dim;
    for (int64_t k = 0; k < j->d->dim; k++)
        x[k] *= j->factor;
}

static void finish_layer(const struct tare_decoder *d, struct tare_pass *pass, const struct tare_after *after)
{
    struct job j = {.d = d, .x = pass->x, .add = pass->y, .factor = 1};
    if (after->block.ops) {
        after->block.ops->forward(after->block.self, pass, pass->x, pass->y);
        tare_norm_forward(pass, &after->post, d->dim, pass->y, pass->y);
        tare_pool_run(pass->pool, (size_t)pass->tokens, add_token, &j);
    }
    if (after->scale) {
        j.factor = number(pass, after->scale);
        tare_pool_run(pass->pool, (size_t)pass->tokens, scale_token, &j);
    }
    tare_norm_forward(pass, &after->norm, d->dim, pass->x, pass->x);
}

void tare_decoder_part(const struct tare_decoder *d, struct tare_pass *pass, int64_t i, int part)
{
    const struct tare_layer *layer = &d->layers[i];
    const bool parallel = layer->residual == TARE_RESIDUAL_PARALLEL;
    if (part == 0) {
        norm_input(d, pass, layer, 0);
        if (parallel)
            norm_input(d, pass, layer, 1);
        run_block(d, pass, layer, 0, pass->normed[0]);
    } else if (!parallel) {
        norm_input(d, pass, layer, 1);
    }
    if ((part == 0) == parallel)
        run_block(d, pass, layer, 1, pass->normed[1]);
    if (part == 1 && layer->after)
        finish_layer(d, pass, layer->after);
}

/* Scales and caps one row of logits, and rules out the ids that are never said. */
static void finish_row(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const int64_t n = j->pass->head->rows;
    float *logits = j->wanted->logits[i];
    if (!logits)
        return;
    const float scale = j->factor, cap = (float)j->d->logit_soft_cap;
    for (int64_t k = 0; k < j->d->n_never; k++)
        if (j->d->never[k] < n)
            logits[j->d->never[k]] = -INFINITY;
    if (scale == 1 && cap <= 0)
        return;
    for (int64_t k = 0; k < n; k++) {
        logits[k] *= scale;
        if (cap > 0)
            logits[k] = cap * tanhf(logits[k] / cap);
    }
}

/* Tells whether two wanted rows that follow one another go through the head together: their logits do so in memory. */
static bool joins(const struct tare_wanted *wanted, int64_t i, int64_t columns)
{
    return wanted->logits[i - 1] && wanted->logits[i] == wanted->logits[i - 1] + columns;
}

static void run_head(const struct tare_decoder *d, struct tare_pass *pass, const struct tare_wanted *wanted)
{
    const struct tare_matrix *head = pass->head;
    for (int64_t i = 0, n; i < wanted->n; i += n) {
        for (n = 1; i + n < wanted->n && joins(wanted, i + n, head->rows); n++)
            ;
        for (int64_t k = i; k < i + n; k++) {
            float *y = pass->y + (k - i) * d->dim;
            tare_norm_row(pass, &d->norm, pass->x + wanted->rows[k] * d->dim, y);
            if (wanted->hidden[k])
                memcpy(wanted->hidden[k], y, (size_t)d->dim * sizeof *y);
        }
        if (!wanted->logits[i])
            continue;
        int64_t ldx = d->dim;
        const float *x = tare_hadamard_rows(pass, pass->head_weight, pass->y, &ldx, n);
        tare_matmul(&pass->kernels, pass->pool, head, pass->head_bias, x, ldx, n, wanted->logits[i], head->rows,
                    pass->work);
    }
    const float scale = (d->logit_scale != 0 ? (float)d->logit_scale : 1) * number(pass, d->head_gain);
    tare_pool_run(pass->pool, (size_t)wanted->n, finish_row,
                  &(struct job){.d = d, .pass = pass, .factor = scale, .wanted = wanted});
}

void tare_decoder_embed(const struct tare_decoder *d, struct tare_pass *pass, const int32_t *ids)
{
    tare_pool_run(pass->pool, (size_t)pass->tokens, embed_token,
                  &(struct job){.d = d, .pass = pass, .ids = ids, .x = pass->x});
    tare_norm_forward(pass, &d->embedding_norm, d->dim, pass->x, pass->x);
    if (d->before.run)
        d->before.run(d->before.self, pass, ids);
    if (d->stream.begin)
        d->stream.begin(d->stream.self, pass);
}

enum tare_code tare_decoder_forward(const struct tare_decoder *d, struct tare_pass *pass, const int32_t *ids,
                                    const struct tare_wanted *wanted, struct tare_error *err)
{
    tare_decoder_embed(d, pass, ids);
    for (int64_t i = 0; i < d->n_layers; i++) {
        if (pass->cancel && __atomic_load_n(pass->cancel, __ATOMIC_RELAXED))
            return tare_fail(err, TARE_E_CANCELLED, "", "cancelled in layer %lld of %lld", (long long)i,
                             (long long)d->n_layers);
        tare_decoder_part(d, pass, i, 0);
        tare_decoder_part(d, pass, i, 1);
    }
    if (d->stream.end)
        d->stream.end(d->stream.self, pass);
    run_head(d, pass, wanted);
    return TARE_OK;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

size_t tare_decoder_scratch(const struct tare_decoder *d, int64_t tokens)
{
    size_t most = 0;
    for (int64_t i = 0; i < d->n_layers; i++) {
        const struct tare_after *after = d->layers[i].after;
        const struct tare_block *const blocks[] = {&d->layers[i].mixer, &d->layers[i].ffn,
                                                   after ? &after->block : NULL};
        for (int k = 0; k < 3; k++)
            if (blocks[k] && blocks[k]->ops && blocks[k]->ops->scratch)
                most = larger(most, blocks[k]->ops->scratch(blocks[k]->self, tokens));
    }
    return most;
}

size_t tare_decoder_work(const struct tare_decoder *d, int64_t length)
{
    return larger(larger(TARE_PANEL_FLOATS, (size_t)d->dim), 2 * (size_t)length);
}
