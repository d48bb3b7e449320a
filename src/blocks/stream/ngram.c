/* SPDX-License-Identifier: MIT
 * ngram.c - embeddings of runs of tokens. */
#include "blocks/stream/ngram.h"

#include "blocks/pass.h"

struct ngram {
    struct tare_block block; /* the one whose state keeps the ids */
    struct tare_parameter **tables;
    struct tare_linear *projections;
    int64_t n, longest, splits, width, dim, vocabulary;
};

struct job {
    const struct ngram *b;
    const struct tare_pass *pass;
    const int32_t *ids;
    float *rows;   /* (tokens, width) */
    int64_t table; /* the table that is looked up */
};

enum { SLOT = 1 }; /* the first layer's feed-forward block */

/* The id of a token of a span, or, before its first token, one that the state keeps. A state may come from a file,
 * where an id can be any float, so it is checked. */
static int64_t id_at(const struct job *j, const struct tare_span *span, int64_t token)
{
    const int64_t kept = j->b->longest - 1, i = token - span->first;
    if (i >= 0)
        return j->ids[token];
    const float id = tare_state_from(span->states[SLOT], 0, span->turn)[kept + i];
    return id >= 0 && id < (float)j->b->vocabulary ? (int64_t)id : 0;
}

static void look_up(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const struct tare_span *span = tare_pass_span(j->pass, (int64_t)i);
    const int64_t rows = j->b->tables[j->table]->shape[0], length = 2 + j->table / j->b->splits;
    int64_t power = 1, hash = 0;
    for (int64_t k = 0; k < length; k++) {
        hash = (hash + id_at(j, span, (int64_t)i - k) * power) % rows;
        power = power * j->b->vocabulary % rows;
    }
    tare_matrix_row(&j->pass->kernels, tare_loaded_matrix(j->pass->loaded, j->b->tables[j->table]), hash,
                    j->rows + (int64_t)i * j->b->width);
}

static void add(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const int64_t dim = j->b->dim;
    float *x = j->pass->x + (int64_t)i * dim;
    const float *more = j->pass->slice[TARE_SLICE_NGRAM] + (int64_t)i * dim, whole = (float)(1 + j->b->n);
    const float share = j->table + 1 < j->b->n ? 1 : 1 / whole; /* the last table turns the sum into a mean */
    for (int64_t d = 0; d < dim; d++)
        x[d] = (x[d] + more[d]) * share;
}

static void keep(const struct job *j, const struct tare_span *span)
{
    const int64_t kept = j->b->longest - 1;
    float *to = tare_state_to(span->states[SLOT], 0, span->turn);
    for (int64_t k = 0; k < kept; k++)
        to[k] = (float)id_at(j, span, span->first + span->tokens - kept + k);
}

static void begin(const void *self, struct tare_pass *pass, const int32_t *ids)
{
    struct job j = {.b = self, .pass = pass, .ids = ids, .rows = pass->scratch};
    for (j.table = 0; j.table < j.b->n; j.table++) {
        tare_pool_run(pass->pool, (size_t)pass->tokens, look_up, &j);
        tare_linear_forward(pass, &j.b->projections[j.table], j.rows, j.b->width, pass->slice[TARE_SLICE_NGRAM],
                            j.b->dim);
        tare_pool_run(pass->pool, (size_t)pass->tokens, add, &j);
    }
    for (int64_t i = 0; i < pass->n_spans; i++)
        keep(&j, &pass->spans[i]);
}

static int state(const void *block, struct tare_state_part parts[TARE_STATE_PARTS])
{
    const struct ngram *b = block;
    parts[0] = (struct tare_state_part){.kind = TARE_STATE_SUM, .planes = 1, .width = b->longest - 1};
    return 1;
}

static size_t scratch(const void *block, int64_t tokens)
{
    const struct ngram *b = block;
    const size_t own = (size_t)tokens * (size_t)b->width;
    const size_t other = b->block.ops->scratch ? b->block.ops->scratch(b->block.self, tokens) : 0;
    return own > other ? own : other;
}

static void forward(const void *block, struct tare_pass *pass, const float *x, float *y)
{
    const struct ngram *b = block;
    b->block.ops->forward(b->block.self, pass, x, y);
}

static const struct tare_block_ops ops = {.name = "ngram", .state = state, .scratch = scratch, .forward = forward};

static void declare(struct ngram *b, struct tare_at at, const struct tare_ngram_desc *d)
{
    for (int64_t i = 0; i < b->n && !at.tree->error.code; i++) {
        const char *number = tare_arena_format(at.tree->arena, "%lld", (long long)i);
        if (!number)
            return; /* the arena is marked */
        b->tables[i] = tare_embedding(tare_at(at, "embedders"), number, d->rows + 2 * i + 1, d->width);
        b->projections[i] = tare_linear(tare_at(at, "post_projs"), number, d->width, d->dim, NO_BIAS);
    }
}

#define EXACT (1 << 24) /* float32 holds integers up to it */

void tare_ngram(struct tare_decoder *decoder, struct tare_at at, const struct tare_ngram_desc *d)
{
    const int64_t n = d->splits * (d->longest - 1);
    struct ngram *b = tare_arena_alloc(at.tree->arena, sizeof *b);
    struct tare_parameter **tables = tare_arena_array(at.tree->arena, (size_t)n, sizeof *tables);
    struct tare_linear *projections = tare_arena_array(at.tree->arena, (size_t)n, sizeof *projections);
    if ((!b || !tables || !projections) && !at.tree->error.code)
        tare_fail_memory(&at.tree->error);
    if (at.tree->error.code)
        return;
    *b = (struct ngram){.tables = tables,
                        .projections = projections,
                        .n = n,
                        .longest = d->longest,
                        .splits = d->splits,
                        .width = d->width,
                        .dim = d->dim,
                        .vocabulary = d->vocabulary};
    declare(b, at, d);
    if (decoder->n_layers < 1)
        return;
    struct tare_block *block = &decoder->layers[0].ffn;
    b->block = *block;
    *block = (struct tare_block){block->ops && !block->ops->state && d->vocabulary < EXACT ? &ops : NULL, b};
    decoder->before = (struct tare_before){begin, b};
    tare_slice_declare(decoder, TARE_SLICE_NGRAM, d->dim);
}
