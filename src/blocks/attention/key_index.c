/* SPDX-License-Identifier: MIT
 * key_index.c - which keys a query attends to: the lightning indexer. Its factors 1 / sqrt(heads) and 1 / sqrt(width)
 * are left out, for they change no order; neither do the Hadamard transform and the rounding to 8 bits of the authors'
 * kernels, which spare time.
 */
#include "blocks/attention/key_index.h"

#include <string.h>

#include "blocks/top.h"

struct job {
    const struct tare_index *b;
    const struct tare_pass *pass;
    const struct tare_index_pass *in;
    float *q, *k, *weights; /* (tokens, heads, width), (tokens, width), (tokens, heads) */
};

struct tare_index tare_index_declare(struct tare_at at, const struct tare_index_desc *d,
                                     const struct tare_index_sizes *s)
{
    struct tare_index index = {.q = tare_linear(at, "wq_b", s->q_rank, tare_mul(at, d->heads, d->width), NO_BIAS),
                               .k = tare_linear(at, "wk", s->dim, d->width, NO_BIAS),
                               .k_norm = tare_layer_norm(at, "k_norm", d->width, 1e-6, BIAS),
                               .weights = tare_linear(at, "weights_proj", s->dim, d->heads, NO_BIAS),
                               .rotary = s->rotary,
                               .heads = d->heads,
                               .width = d->width,
                               .top = d->top};
    index.rotary.interleaved = !d->halves;
    return index;
}

int64_t tare_index_side(int64_t top)
{
    return top >= 0 && top < INT32_MAX ? top + 1 : 0; /* with such a top no layer can run */
}

size_t tare_index_scratch(const struct tare_index *b, int64_t tokens)
{
    return (size_t)tokens * (size_t)(b->heads * b->width + b->width + b->heads);
}

static int32_t *chosen_of(const struct tare_pass *pass, int64_t top, int64_t token)
{
    void *side = pass->slice[TARE_SLICE_CHOSEN]; /* floats that hold integers: both are 4 bytes */
    return (int32_t *)side + token * tare_index_side(top);
}

const int32_t *tare_index_chosen(const struct tare_pass *pass, int64_t top, int64_t token, int64_t *n)
{
    const int32_t *list = chosen_of(pass, top, token);
    *n = *list;
    return *list < 0 ? NULL : list + 1;
}

static void keep_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const struct tare_index *b = j->b;
    const int64_t t = (int64_t)i;
    const float *table = j->in->table + t * b->rotary.dims;
    float *key = j->k + t * b->width;
    tare_norm_row(j->pass, &b->k_norm, key, key);
    if (b->rotary.kind != TARE_ROPE_NONE)
        tare_rope_rotate(&b->rotary, table, key);
    tare_state_put(&j->pass->kernels, tare_pass_state(j->pass, tare_pass_span(j->pass, t)), j->in->part,
                   tare_pass_position(j->pass, t), 0, key);
}

static void choose_token(void *user, size_t i, int worker)
{
    const struct job *j = user;
    const struct tare_index *b = j->b;
    const struct tare_kernels *k = &j->pass->kernels;
    const int64_t t = (int64_t)i, n = tare_pass_position(j->pass, t) + 1;
    const struct tare_state *state = tare_pass_state(j->pass, tare_pass_span(j->pass, t));
    int32_t *list = chosen_of(j->pass, b->top, t);
    *list = -1;
    if (n <= b->top)
        return;
    float *sum = j->pass->work[worker], *score = sum + n;
    memset(sum, 0, (size_t)n * sizeof *sum);
    for (int64_t h = 0; h < b->heads; h++) {
        const float weight = j->weights[t * b->heads + h];
        float *q = j->q + (t * b->heads + h) * b->width;
        if (b->rotary.kind != TARE_ROPE_NONE)
            tare_rope_rotate(&b->rotary, j->in->table + t * b->rotary.dims, q);
        tare_state_scores(k, state, j->in->part, 0, q, 0, n, 1, score);
        for (int64_t p = 0; p < n; p++)
            sum[p] += weight * (score[p] > 0 ? score[p] : 0);
    }
    *list = (int32_t)tare_top_largest(sum, n, b->top, list + 1);
}

void tare_index_forward(const struct tare_index *b, struct tare_pass *pass, const struct tare_index_pass *in)
{
    struct job j = {.b = b, .pass = pass, .in = in, .q = in->scratch};
    j.k = j.q + pass->tokens * b->heads * b->width;
    j.weights = j.k + pass->tokens * b->width;
    tare_linear_forward(pass, &b->k, in->x, b->k.in, j.k, b->width);
    tare_pool_run(pass->pool, (size_t)pass->tokens, keep_token, &j);
    bool more = false; /* whether some token has more keys than an index chooses */
    for (int64_t i = 0; i < pass->n_spans; i++)
        more = more || pass->spans[i].start + pass->spans[i].tokens > b->top;
    if (more) {
        tare_linear_forward(pass, &b->q, in->r, b->q.in, j.q, b->q.out);
        tare_linear_forward(pass, &b->weights, in->x, b->weights.in, j.weights, b->heads);
    }
    tare_pool_run(pass->pool, (size_t)pass->tokens, choose_token, &j);
}
