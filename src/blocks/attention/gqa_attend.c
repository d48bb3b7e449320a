/* SPDX-License-Identifier: MIT
 * gqa_attend.c - the queries of some tokens of a sequence that share a key head, together. */
#include "blocks/attention/attend.h"
#include "blocks/attention/gqa_self.h"

/* Tasks for each thread: with several, a thread that is held up delays the others little. */
#define TASKS 4

struct tiles {
    const struct tare_gqa_job *job;
    int64_t tokens; /* of a tile */
    int64_t most;   /* queries that the kernel takes at once */
};

/* Queries are collected until a tile is full, since the kernel reads each key once for all of them. */
struct batch {
    struct tare_query queries[TARE_ATTEND_MOST];
    int64_t n;
};

static void flush(const struct tiles *tiles, const struct tare_attend *a, struct batch *batch, float *work)
{
    if (batch->n > 0)
        tare_attend_each(&tiles->job->pass->kernels, a, tiles->job->b->head_dim, batch->queries, batch->n, work);
    batch->n = 0;
}

/* Attends for tokens [t, end) of one span. other: the second of two mixed attentions, over all keys of an earlier
 * layer. */
static void attend_span(const struct tiles *tiles, int64_t kv, int64_t t, int64_t end, bool other, float *work)
{
    const struct tare_gqa_job *j = tiles->job;
    const struct tare_gqa_self *b = j->b;
    const struct tare_span *span = tare_pass_span(j->pass, t);
    const struct tare_attend a = {.state = b->borrows || other ? tare_pass_lent(j->pass, span)
                                                               : tare_pass_state(j->pass, span),
                                  .keys = TARE_GQA_KEYS,
                                  .values = TARE_GQA_VALUES,
                                  .plane = kv,
                                  .width = b->v_dim,
                                  .scale = b->scale,
                                  .soft_cap = b->soft_cap};
    struct batch batch = {.n = 0};
    for (; t < end; t++)
        for (int64_t k = 0; k < b->heads / b->kv_heads; k++) {
            const int64_t h = tare_gqa_query_head(b, kv, k), last = tare_pass_position(j->pass, t);
            if (batch.n == tiles->most)
                flush(tiles, &a, &batch, work);
            batch.queries[batch.n++] =
                (struct tare_query){.q = tare_gqa_head(j, t, h),
                                    .y = (other ? j->other : j->mixed) + (t * b->heads + h) * b->v_dim,
                                    .first = other ? 0 : tare_gqa_first_key(b, last),
                                    .last = last,
                                    .sink = b->sink ? tare_loaded_vector(j->pass->loaded, b->sink) + h : NULL};
        }
    flush(tiles, &a, &batch, work);
}

static void attend_tile(void *user, size_t i, int worker)
{
    const struct tiles *tiles = user;
    const struct tare_pass *pass = tiles->job->pass;
    const int64_t heads = tiles->job->b->kv_heads, kv = (int64_t)i % heads, start = (int64_t)i / heads * tiles->tokens;
    const int64_t end = start + tiles->tokens < pass->tokens ? start + tiles->tokens : pass->tokens;
    for (int64_t t = start, next; t < end; t = next) {
        const struct tare_span *span = tare_pass_span(pass, t);
        next = span->first + span->tokens < end ? span->first + span->tokens : end;
        attend_span(tiles, kv, t, next, false, pass->work[worker]);
        if (tiles->job->b->hooks.attends_twice)
            attend_span(tiles, kv, t, next, true, pass->work[worker]);
    }
}

bool tare_gqa_attend(const struct tare_gqa_job *j)
{
    const struct tare_gqa_self *b = j->b;
    const int64_t group = b->heads / b->kv_heads, tasks = TASKS * tare_pool_threads(j->pass->pool);
    struct tiles tiles = {.job = j, .most = tare_attend_together(b->head_dim, b->v_dim)};
    if (tiles.most == 0)
        return false;
    const int64_t even = j->pass->tokens * b->kv_heads / tasks, fit = tiles.most / group;
    tiles.tokens = even < fit ? even : fit;
    if (tiles.tokens < 1)
        tiles.tokens = 1;
    const int64_t n = (j->pass->tokens + tiles.tokens - 1) / tiles.tokens;
    tare_pool_run(j->pass->pool, (size_t)(n * b->kv_heads), attend_tile, &tiles);
    return true;
}
