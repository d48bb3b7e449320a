/* SPDX-License-Identifier: MIT
 * gqa_index.c - which blocks of keys a query sees, by an index (MiniMax M3, 2026). */
#include "blocks/attention/gqa_index.h"

#include "blocks/attention/gqa_index_self.h"

#include <math.h>
#include <string.h>

#include "blocks/top.h"

static int64_t row_of(const struct tare_gqa_index *x)
{
    return (x->heads + 1) * x->dim; /* a token's queries, then its key */
}

void tare_gqa_index_lay_out(const struct tare_gqa_index *x, int64_t tokens, struct tare_scratch *s,
                            struct tare_gqa_index_parts *parts)
{
    parts->heads = tare_scratch_take(s, tokens, row_of(x));
    parts->table = tare_scratch_take(s, tokens, x->rope.dims);
    parts->freq = tare_scratch_take(s, tokens, x->rope.dims);
    parts->factor = tare_scratch_take(s, tokens, 1);
}

static void prepare_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct tare_gqa_job *j = user;
    const struct tare_gqa_index *x = tare_gqa_index_of(j->b);
    const int64_t t = (int64_t)i, dims = x->rope.dims, span = j->pass->span_of[t];
    const int64_t position = tare_pass_position(j->pass, t);
    float *row = j->index.heads + t * row_of(x), *table = j->index.table + t * dims;
    tare_rope_table(&x->rope, j->index.freq + span * dims, j->index.factor[span], position, table);
    for (int64_t h = 0; h <= x->heads; h++) {
        float *head = row + h * x->dim;
        tare_norm_row(j->pass, h < x->heads ? &x->q_norm : &x->k_norm, head, head);
        tare_rope_rotate(&x->rope, table, head);
    }
    tare_state_put(&j->pass->kernels, tare_pass_state(j->pass, tare_pass_span(j->pass, t)), TARE_GQA_INDEX, position, 0,
                   row + x->heads * x->dim);
}

void tare_gqa_index_prepare(const struct tare_gqa_job *j, const float *input)
{
    const struct tare_gqa_index *x = tare_gqa_index_of(j->b);
    const struct tare_pass *pass = j->pass;
    tare_linear_forward(pass, &x->q, input, x->q.in, j->index.heads, row_of(x));
    tare_linear_forward(pass, &x->k, input, x->k.in, j->index.heads + x->heads * x->dim, row_of(x));
    for (int64_t i = 0; i < pass->n_spans; i++)
        j->index.factor[i] = tare_rope_frequencies(&x->rope, pass->spans[i].total, j->index.freq + i * x->rope.dims);
    tare_pool_run(pass->pool, (size_t)pass->tokens, prepare_token, (void *)j);
}

/* Replaces the scores of keys, in place, by the best one of each block, and returns the number of blocks. */
static int64_t pool_blocks(const struct tare_gqa_index *x, float *score, int64_t keys)
{
    const int64_t n = (keys - 1) / x->size + 1;
    for (int64_t b = 0; b < n; b++) {
        float most = -INFINITY;
        for (int64_t k = b * x->size; k < keys && k < (b + 1) * x->size; k++)
            most = score[k] > most ? score[k] : most;
        score[b] = n - b <= x->local ? INFINITY : most;
    }
    return n;
}

/* Reads the best scores of n blocks from work, and writes into its second half, `keys` floats on, a 1 for each block that
 * is seen and a 0 for the others. */
static void mark_best(float *work, int64_t n, int64_t keys, int64_t top)
{
    float *seen = work + keys;
    int32_t *chosen = (int32_t *)(void *)seen;
    const int64_t taken = tare_top_largest(work, n, top, chosen);
    memcpy(work, chosen, (size_t)taken * sizeof *chosen); /* the scores there are no longer needed */
    chosen = (int32_t *)(void *)work;
    memset(seen, 0, (size_t)n * sizeof *seen);
    for (int64_t i = 0; i < taken; i++)
        seen[chosen[i]] = 1;
}

struct tare_gqa_seen tare_gqa_index_choose(const struct tare_gqa_job *j, int64_t t, int64_t h, float *work)
{
    const struct tare_gqa_index *x = tare_gqa_index_of(j->b);
    const int64_t keys = tare_pass_position(j->pass, t) + 1, own = h / (j->b->heads / x->heads);
    const struct tare_state *state = tare_pass_state(j->pass, tare_pass_span(j->pass, t));
    const float *q = j->index.heads + t * row_of(x) + own * x->dim;
    tare_state_scores(&j->pass->kernels, state, TARE_GQA_INDEX, 0, q, 0, keys, 1, work);
    mark_best(work, pool_blocks(x, work, keys), keys, x->top);
    return (struct tare_gqa_seen){work + keys, x->size};
}

bool tare_gqa_index_sees(const void *user, int64_t position)
{
    const struct tare_gqa_seen *seen = user;
    return seen->blocks[position / seen->size] != 0;
}

static struct tare_gqa_index declare(struct tare_at at, const struct tare_gqa_desc *d,
                                     const struct tare_gqa_index_desc *own)
{
    struct tare_norm (*const norm)(struct tare_at, const char *, int64_t, double) =
        own->one_plus ? tare_rms_norm_one_plus : tare_rms_norm;
    return (struct tare_gqa_index){
        .q = tare_linear(at, "index_q_proj", d->dim, tare_mul(at, own->heads, own->dim), NO_BIAS),
        .k = tare_linear(at, "index_k_proj", d->dim, own->dim, NO_BIAS),
        .q_norm = norm(at, "index_q_norm", own->dim, d->qk_norm.eps),
        .k_norm = norm(at, "index_k_norm", own->dim, d->qk_norm.eps),
        .heads = own->heads,
        .dim = own->dim,
        .size = own->size,
        .top = own->top,
        .local = own->local,
        .rope = own->rope,
    };
}

void tare_gqa_index(struct tare_layer *layer, struct tare_at at, const struct tare_gqa_desc *d,
                    const struct tare_gqa_index_desc *own)
{
    const struct tare_gqa_index x = declare(at, d, own);
    if (x.size > 0 && x.top > 0 && x.heads > 0 && d->heads % x.heads == 0 && x.rope.dims > 0 && x.rope.dims <= x.dim)
        tare_gqa_extend(layer, at, &(struct tare_gqa_hooks){.indexed = true}, &x, sizeof x);
    else
        layer->mixer = (struct tare_block){0};
}
