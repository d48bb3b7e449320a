/* SPDX-License-Identifier: MIT
 * gqa.c - grouped-query attention with a key and value cache. Vaswani et al. 2017; groups: Ainslie et al. 2023.
 *
 *     score[j] = q . k[j] * scale        j over the keys that position p sees: max(0, p - window + 1) .. p
 *     y = sum_j softmax(score)[j] v[j]
 */
#include <math.h>
#include <string.h>

#include "run/cache.h"
#include "run/pass.h"

struct gqa {
    struct tare_linear q, k, v, qkv, o; /* q, k, v, or qkv: its weight is NULL where they are apart */
    struct tare_norm q_norm, k_norm;    /* a head each */
    int64_t heads, kv_heads, head_dim, window;
    float scale, soft_cap;
    struct tare_rope rope;
    int64_t projected; /* floats of a token's q, k and v together */
};

/* One pass of one block. */
struct job {
    const struct gqa *b;
    const struct tare_pass *pass;
    struct tare_cache *cache;
    float *projected; /* (tokens, q heads + k heads + v heads, head_dim) */
    float *mixed;     /* (tokens, heads, head_dim) */
    float *freq;      /* (rope.dims / 2) */
    float *table;     /* (tokens, rope.dims) */
    float factor;
};

static size_t scratch(const void *block, int64_t tokens)
{
    const struct gqa *b = block;
    return (size_t)tokens * (size_t)(b->projected + b->heads * b->head_dim + b->rope.dims) + (size_t)b->rope.dims;
}

static float *cached(const struct job *j, int64_t position, int64_t kv_head, bool values)
{
    const struct gqa *b = j->b;
    const int64_t plane = (values ? b->kv_heads : 0) + kv_head;
    return j->cache->chunk[position / TARE_CACHE_CHUNK] +
           (plane * TARE_CACHE_CHUNK + position % TARE_CACHE_CHUNK) * b->head_dim;
}

/* Norm and rotate a token's queries and keys, and put keys and values into the cache. */
static void prepare_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const struct gqa *b = j->b;
    const int64_t t = (int64_t)i, position = j->pass->start + t, dim = b->head_dim;
    float *head = j->projected + t * b->projected, *table = j->table + t * b->rope.dims;
    if (b->rope.kind != TARE_ROPE_NONE)
        tare_rope_table(&b->rope, j->freq, j->factor, position, table);
    for (int64_t h = 0; h < b->heads + b->kv_heads; h++, head += dim) {
        tare_norm_row(j->pass, h < b->heads ? &b->q_norm : &b->k_norm, head, head);
        if (b->rope.kind != TARE_ROPE_NONE)
            tare_rope_rotate(&b->rope, table, head);
        if (h >= b->heads)
            memcpy(cached(j, position, h - b->heads, false), head, (size_t)dim * sizeof *head);
    }
    for (int64_t h = 0; h < b->kv_heads; h++, head += dim)
        memcpy(cached(j, position, h, true), head, (size_t)dim * sizeof *head);
}

/* One query over keys [first, last], which may span chunks; score has room for as many. */
static void attend(const struct job *j, const float *q, int64_t kv_head, int64_t first, int64_t last, float *score,
                   float *y)
{
    const struct gqa *b = j->b;
    const struct tare_kernels *k = &j->pass->kernels;
    for (int64_t p = first, n; p <= last; p += n) {
        const int64_t left = TARE_CACHE_CHUNK - p % TARE_CACHE_CHUNK;
        n = last - p + 1 < left ? last - p + 1 : left;
        k->scores(q, cached(j, p, kv_head, false), n, b->head_dim, b->scale, score + (p - first));
    }
    const int64_t seen = last - first + 1;
    float most = -INFINITY;
    for (int64_t i = 0; i < seen; i++) {
        if (b->soft_cap > 0)
            score[i] = b->soft_cap * tanhf(score[i] / b->soft_cap);
        most = score[i] > most ? score[i] : most;
    }
    const float sum = k->exponents(score, seen, most);
    memset(y, 0, (size_t)b->head_dim * sizeof *y);
    for (int64_t p = first, n; p <= last; p += n) {
        const int64_t left = TARE_CACHE_CHUNK - p % TARE_CACHE_CHUNK;
        n = last - p + 1 < left ? last - p + 1 : left;
        k->mix(score + (p - first), cached(j, p, kv_head, true), n, b->head_dim, y);
    }
    for (int64_t d = 0; d < b->head_dim; d++)
        y[d] /= sum;
}

/* A task: the queries of one token that share a key head, so its keys are read once from memory. */
static void attend_group(void *user, size_t i, int worker)
{
    const struct job *j = user;
    const struct gqa *b = j->b;
    const int64_t t = (int64_t)i / b->kv_heads, kv_head = (int64_t)i % b->kv_heads, group = b->heads / b->kv_heads;
    const int64_t last = j->pass->start + t;
    const int64_t first = b->window > 0 && last >= b->window ? last - b->window + 1 : 0;
    for (int64_t h = kv_head * group; h < (kv_head + 1) * group; h++)
        attend(j, j->projected + t * b->projected + h * b->head_dim, kv_head, first, last, j->pass->work[worker],
               j->mixed + (t * b->heads + h) * b->head_dim);
}

static void forward(const void *block, struct tare_pass *pass, const float *x, float *y, void *state)
{
    const struct gqa *b = block;
    struct job j = {.b = b, .pass = pass, .cache = state, .projected = pass->scratch};
    j.mixed = j.projected + pass->tokens * b->projected;
    j.table = j.mixed + pass->tokens * b->heads * b->head_dim;
    j.freq = j.table + pass->tokens * b->rope.dims;
    if (b->qkv.weight) {
        tare_linear_forward(pass, &b->qkv, x, b->qkv.in, j.projected, b->projected);
    } else {
        tare_linear_forward(pass, &b->q, x, b->q.in, j.projected, b->projected);
        tare_linear_forward(pass, &b->k, x, b->k.in, j.projected + b->q.out, b->projected);
        tare_linear_forward(pass, &b->v, x, b->v.in, j.projected + b->q.out + b->k.out, b->projected);
    }
    if (b->rope.kind != TARE_ROPE_NONE)
        j.factor = tare_rope_frequencies(&b->rope, pass->total, j.freq);
    tare_pool_run(pass->pool, (size_t)pass->tokens, prepare_token, &j);
    tare_pool_run(pass->pool, (size_t)(pass->tokens * b->kv_heads), attend_group, &j);
    tare_linear_forward(pass, &b->o, j.mixed, b->o.in, y, b->o.out);
}

static size_t state_size(const void *block, int64_t context)
{
    (void)block;
    return tare_cache_size(context);
}

static enum tare_code state_reserve(const void *block, void *state, int64_t n, struct tare_error *err)
{
    const struct gqa *b = block;
    return tare_cache_reserve(state, n, b->kv_heads, b->head_dim, err);
}

static void state_release(const void *block, void *state)
{
    (void)block;
    tare_cache_release(state);
}

static const struct tare_block_ops ops = {.name = "gqa",
                                          .state_size = state_size,
                                          .state_reserve = state_reserve,
                                          .state_release = state_release,
                                          .scratch = scratch,
                                          .forward = forward};

static struct tare_norm head_norm(struct tare_at at, const char *name, const struct tare_gqa_desc *d)
{
    if (d->qk_norm == TARE_QK_NORM_RMS)
        return tare_rms_norm(at, name, d->head_dim, d->eps);
    if (d->qk_norm == TARE_QK_NORM_RMS_ONE_PLUS)
        return tare_rms_norm_one_plus(at, name, d->head_dim, d->eps);
    return (struct tare_norm){.kind = TARE_NORM_NONE, .dim = d->head_dim};
}

static void declare(struct gqa *b, struct tare_at at, const struct tare_gqa_desc *d)
{
    const int64_t q = tare_mul(at, d->heads, d->head_dim), kv = tare_mul(at, d->kv_heads, d->head_dim);
    *b = (struct gqa){.heads = d->heads,
                      .kv_heads = d->kv_heads,
                      .head_dim = d->head_dim,
                      .window = d->window,
                      .scale = (float)(d->scale != 0 ? d->scale : 1 / sqrt((double)d->head_dim)),
                      .soft_cap = (float)d->soft_cap,
                      .rope = d->rope,
                      .projected = q + 2 * kv};
    if (d->qkv_name) {
        b->qkv = tare_linear(at, d->qkv_name, d->dim, b->projected, d->bias);
    } else {
        b->q = tare_linear(at, d->q_name ? d->q_name : "q_proj", d->dim, q, d->bias);
        b->k = tare_linear(at, d->k_name ? d->k_name : "k_proj", d->dim, kv, d->bias);
        b->v = tare_linear(at, d->v_name ? d->v_name : "v_proj", d->dim, kv, d->bias);
    }
    b->o = tare_linear(at, d->o_name ? d->o_name : "o_proj", q, d->dim, d->o_bias);
    b->q_norm = head_norm(at, "q_norm", d);
    b->k_norm = head_norm(at, "k_norm", d);
}

/* Such configs exist: mlx-lm declares their parameters, and nobody can run them. */
static bool runs(const struct tare_gqa_desc *d)
{
    return d->kv_heads > 0 && d->heads % d->kv_heads == 0 && d->rope.dims >= 0 && d->rope.dims <= d->head_dim;
}

void tare_gqa(struct tare_layer *layer, struct tare_at parent, const struct tare_gqa_desc *d)
{
    const struct tare_at at = tare_at(parent, "%s", d->name ? d->name : "self_attn");
    struct gqa *b = tare_arena_alloc(at.tree->arena, sizeof *b);
    struct gqa failed;
    if (!b && !at.tree->error.code)
        tare_fail_memory(&at.tree->error);
    declare(b ? b : &failed, at, d);
    if (b && runs(d))
        layer->mixer = (struct tare_block){&ops, b};
}

bool tare_gqa_describe(const struct tare_block *block, struct tare_gqa_desc *desc)
{
    const struct gqa *b = block->self;
    if (block->ops != &ops)
        return false;
    *desc = (struct tare_gqa_desc){.heads = b->heads,
                                   .kv_heads = b->kv_heads,
                                   .head_dim = b->head_dim,
                                   .scale = (double)b->scale,
                                   .window = b->window,
                                   .soft_cap = (double)b->soft_cap,
                                   .rope = b->rope};
    return true;
}
