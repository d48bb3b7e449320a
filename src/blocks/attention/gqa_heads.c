/* SPDX-License-Identifier: MIT
 * gqa_heads.c - queries, keys and values of grouped-query attention, from what is projected to what is kept. */
#include <string.h>

#include "blocks/attention/gqa_self.h"

float *tare_gqa_head(const struct tare_gqa_job *j, int64_t token, int64_t h)
{
    const struct tare_gqa_self *b = j->b;
    float *row = j->projected + token * b->projected;
    const int64_t group = b->heads / b->kv_heads, k = h - b->heads;
    if (b->grouped) {
        h = k < 0 ? h / group * (group + 2) + h % group : k % b->kv_heads * (group + 2) + group + k / b->kv_heads;
        return row + h * b->head_dim;
    }
    if (k < 0)
        return row + h * b->q_row;
    row += b->heads * b->q_row;
    return k < b->kv_heads ? row + k * b->head_dim : row + b->kv_heads * b->head_dim + (k - b->kv_heads) * b->v_dim;
}

static void norm_head(const struct tare_gqa_job *j, int64_t h, float *head)
{
    const struct tare_gqa_self *b = j->b;
    if (!b->wide)
        tare_norm_row(j->pass, b->each ? &b->each[h] : h < b->heads ? &b->q_norm : &b->k_norm, head, head);
}

/* Norms and rotates a query or key head, in the order that the model wants, and applies the factor of queries. */
static void prepare_head(const struct tare_gqa_job *j, int64_t h, int64_t position, const float *table, float *head)
{
    const struct tare_gqa_self *b = j->b;
    if (!b->norm_last)
        norm_head(j, h, head);
    if (b->rope.kind != TARE_ROPE_NONE)
        tare_rope_rotate(&b->rope, table, head);
    if (b->norm_last)
        norm_head(j, h, head);
    if (h >= b->heads || !b->hooks.query_factor)
        return;
    const float factor = b->hooks.query_factor(j, b->hooks.self, h, position);
    for (int64_t i = 0; i < b->head_dim; i++)
        head[i] *= factor;
}

/* Keeps a token's keys and values as they were projected, beside those that are normed and rotated. */
static void keep_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct tare_gqa_job *j = user;
    const int64_t t = (int64_t)i, position = tare_pass_position(j->pass, t);
    struct tare_state *s = tare_pass_state(j->pass, tare_pass_span(j->pass, t));
    for (int64_t h = 0; h < 2 * j->b->kv_heads; h++)
        tare_state_put(&j->pass->kernels, s, TARE_GQA_BEFORE, position, h, tare_gqa_head(j, t, j->b->heads + h));
}

/* Copies into a token's row the keys and values that an earlier layer has kept as they were projected. */
static void adopt(const struct tare_gqa_job *j, int64_t t, int64_t position)
{
    const struct tare_state *s = tare_pass_lent(j->pass, tare_pass_span(j->pass, t));
    for (int64_t h = 0; h < 2 * j->b->kv_heads; h++)
        tare_state_get(&j->pass->kernels, s, TARE_GQA_BEFORE, position, h, tare_gqa_head(j, t, j->b->heads + h));
}

/* Keeps a token's keys and values in the state. */
static void keep_heads(const struct tare_gqa_job *j, struct tare_state *s, int64_t t, int64_t position)
{
    const struct tare_gqa_self *b = j->b;
    for (int64_t h = 0; h < b->kv_heads; h++) {
        float *key = tare_gqa_head(j, t, b->heads + h), *value = tare_gqa_head(j, t, b->heads + b->kv_heads + h);
        if (b->hooks.keep)
            b->hooks.keep(j, b->hooks.self, key, value);
        tare_state_put(&j->pass->kernels, s, TARE_GQA_KEYS, position, h, key);
        tare_state_put(&j->pass->kernels, s, TARE_GQA_VALUES, position, h, value);
    }
}

/* Norms over all heads and what a hook changes, which act on a token's whole row before it is treated head by head. */
static void prepare_row(const struct tare_gqa_job *j, int64_t t, float *work)
{
    const struct tare_gqa_self *b = j->b;
    float *row = j->projected + t * b->projected;
    if (b->k_is_v)
        memcpy(tare_gqa_head(j, t, b->heads + b->kv_heads), tare_gqa_head(j, t, b->heads),
               (size_t)(b->kv_heads * b->head_dim) * sizeof(float));
    if (b->wide)
        tare_norm_row(j->pass, &b->q_norm, row, row);
    if (b->wide && !b->borrows)
        tare_norm_row(j->pass, &b->k_norm, tare_gqa_head(j, t, b->heads), tare_gqa_head(j, t, b->heads));
    if (b->hooks.project)
        b->hooks.project(j, b->hooks.self, t, work);
}

/* Takes one token from its projected row to rotated queries in place, and to keys and values in the state. */
static void prepare_token(void *user, size_t i, int worker)
{
    const struct tare_gqa_job *j = user;
    const struct tare_gqa_self *b = j->b;
    const int64_t t = (int64_t)i, position = tare_pass_position(j->pass, t), dims = b->rope.dims;
    struct tare_state *s = b->borrows ? NULL : tare_pass_state(j->pass, tare_pass_span(j->pass, t));
    const int32_t span = j->pass->span_of[t];
    float *table = j->table + t * dims;
    if (b->rope.kind != TARE_ROPE_NONE)
        tare_rope_table(&b->rope, j->freq + span * dims, j->factor[span], position, table);
    if (b->adopts)
        adopt(j, t, position);
    prepare_row(j, t, j->pass->work[worker]);
    for (int64_t h = 0; h < b->heads + (b->borrows ? 0 : b->kv_heads); h++)
        prepare_head(j, h, position, table, tare_gqa_head(j, t, h));
    if (!b->borrows)
        keep_heads(j, s, t, position);
}

static void project(const struct tare_gqa_self *b, const struct tare_pass *pass, const float *x, float *y)
{
    if (b->qkv.weight) {
        tare_linear_forward(pass, &b->qkv, x, b->qkv.in, y, b->projected);
        return;
    }
    const struct tare_linear_to to[TARE_LINEARS] = {
        {&b->q, y}, {&b->k, y + b->q.out}, {&b->v, y + b->q.out + b->k.out}};
    tare_linears_forward(pass, to, x, b->q.in, b->projected);
}

void tare_gqa_prepare(struct tare_gqa_job *j, const float *x)
{
    const struct tare_gqa_self *b = j->b;
    const struct tare_pass *pass = j->pass;
    project(b, pass, x, j->projected);
    for (int64_t i = 0; b->rope.kind != TARE_ROPE_NONE && i < pass->n_spans; i++)
        j->factor[i] = tare_rope_frequencies(&b->rope, pass->spans[i].total, j->freq + i * b->rope.dims);
    if (tare_gqa_keeps_before(b))
        tare_pool_run(pass->pool, (size_t)pass->tokens, keep_token, j);
    tare_pool_run(pass->pool, (size_t)pass->tokens, prepare_token, j);
}
