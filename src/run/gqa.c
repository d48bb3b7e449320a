/* SPDX-License-Identifier: MIT
 * gqa.c - grouped-query attention with a key and value cache. Vaswani et al. 2017; groups: Ainslie et al. 2023.
 *
 *     score[j] = q . k[j] * scale        j over the keys that position p sees: max(0, p - window + 1) .. p
 *     y = sum_j softmax(score)[j] v[j]
 */
#include <math.h>
#include <string.h>

#include "run/pass.h"

struct gqa {
    struct tare_linear q, k, v, qkv, o; /* q, k, v, or qkv: its weight is NULL where they are apart */
    struct tare_norm q_norm, k_norm;    /* of a head, or when wide of all of them */
    const struct tare_norm *each;       /* a norm for each query head, then each key head; NULL: the above */
    struct tare_norm v_norm, mixed_norm;
    const struct tare_parameter *conv[2];          /* of keys, of values: (kv_heads, 2); NULL: none */
    const struct tare_parameter *gate, *gate_bias; /* of mixing: (heads, head_dim), (heads); NULL: none */
    const struct tare_parameter *rounded[2];       /* of keys, of values; NULL: none */
    int64_t block, near, stride;                   /* block-sparse; block 0: not */
    bool wide, norm_last, grouped, cycled, k_is_v, borrows;
    const struct tare_parameter *gain; /* (heads); NULL: none */
    double query_beta, query_length;
    int64_t heads, kv_heads, head_dim, window;
    float scale, soft_cap;
    struct tare_rope rope;
    int64_t projected; /* floats of a token's q, k and v together */
};

/* One pass of one block. */
struct job {
    const struct gqa *b;
    const struct tare_pass *pass;
    bool lent;        /* attend over what the lender has */
    float *projected; /* (tokens, q heads + k heads + v heads, head_dim) */
    float *mixed;     /* (tokens, heads, head_dim) */
    float *other;     /* the same, where two are mixed */
    float *freq;      /* (spans, rope.dims / 2) */
    float *factor;    /* (spans) */
    float *table;     /* (tokens, rope.dims) */
};

static size_t scratch(const void *block, int64_t tokens)
{
    const struct gqa *b = block;
    const int64_t mixed = b->heads * b->head_dim * (b->gate ? 2 : 1);
    return (size_t)tokens * (size_t)(b->projected + mixed + 2 * b->rope.dims + 1);
}

/* Parts of the state: of BEFORE there are keys, then values, as they were before they were convolved. */
enum { KEYS, VALUES, BEFORE };

static int state(const void *block, struct tare_state_part parts[TARE_STATE_PARTS])
{
    const struct gqa *b = block;
    parts[KEYS] = parts[VALUES] = (struct tare_state_part){TARE_STATE_ROWS, b->kv_heads, b->head_dim, 1};
    parts[BEFORE] = (struct tare_state_part){TARE_STATE_ROWS, 2 * b->kv_heads, b->head_dim, 1};
    return b->conv[0] ? 3 : 2;
}

static struct tare_state *state_of(const struct job *j, const struct tare_span *span)
{
    return j->lent ? tare_pass_lent(j->pass, span) : tare_pass_state(j->pass, span);
}

/* Where a head lies in a token's row. h: query heads, then key heads, then value heads. */
static float *projected(const struct job *j, int64_t token, int64_t h)
{
    const struct gqa *b = j->b;
    const int64_t group = b->heads / b->kv_heads, k = h - b->heads;
    if (b->grouped)
        h = k < 0 ? h / group * (group + 2) + h % group : k % b->kv_heads * (group + 2) + group + k / b->kv_heads;
    return j->projected + token * b->projected + h * b->head_dim;
}

static void norm_head(const struct job *j, int64_t h, float *head)
{
    const struct gqa *b = j->b;
    if (!b->wide)
        tare_norm_row(j->pass, b->each ? &b->each[h] : h < b->heads ? &b->q_norm : &b->k_norm, head, head);
}

/* What queries alone are multiplied by. */
static float query_factor(const struct job *j, int64_t h, int64_t position)
{
    const struct gqa *b = j->b;
    const float gain = b->gain ? tare_loaded_vector(j->pass->loaded, b->gain)[h] : 1;
    if (b->query_beta == 0)
        return gain;
    return gain * (float)(1 + b->query_beta * log(1 + floor((double)position / b->query_length)));
}

/* Norm and rotate a query or key head. */
static void prepare_head(const struct job *j, int64_t h, int64_t position, const float *table, float *head)
{
    const struct gqa *b = j->b;
    if (!b->norm_last)
        norm_head(j, h, head);
    if (b->rope.kind != TARE_ROPE_NONE)
        tare_rope_rotate(&b->rope, table, head);
    if (b->norm_last)
        norm_head(j, h, head);
    if (h >= b->heads || (!b->gain && b->query_beta == 0))
        return;
    const float factor = query_factor(j, h, position);
    for (int64_t i = 0; i < b->head_dim; i++)
        head[i] *= factor;
}

/* Put a token's keys and values aside as they are. */
static void keep_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const struct gqa *b = j->b;
    const int64_t t = (int64_t)i;
    struct tare_state *s = tare_pass_state(j->pass, tare_pass_span(j->pass, t));
    for (int64_t h = 0; h < 2 * b->kv_heads; h++)
        tare_state_put(&j->pass->kernels, s, BEFORE, tare_pass_position(j->pass, t), h, projected(j, t, b->heads + h));
}

/* A token's keys and values, with those of the token before. */
static void convolve(const struct job *j, const struct tare_state *s, int64_t t, int64_t position, float *before)
{
    const struct gqa *b = j->b;
    for (int64_t h = 0; h < 2 * b->kv_heads; h++) {
        const float *w = tare_loaded_vector(j->pass->loaded, b->conv[h / b->kv_heads]) + 2 * (h % b->kv_heads);
        float *head = projected(j, t, b->heads + h);
        if (position > 0)
            tare_state_get(&j->pass->kernels, s, BEFORE, position - 1, h, before);
        for (int64_t d = 0; d < b->head_dim; d++)
            head[d] = (position > 0 ? before[d] * w[0] : 0) + head[d] * w[1];
    }
}

static void round_head(float *head, int64_t dim, float step)
{
    for (int64_t d = 0; d < dim; d++)
        head[d] = fmaxf(-128, fminf(127, rintf(head[d] / step))) * step;
}

/* Round and norm what is kept of a token, and put it into the state. */
static void keep_heads(const struct job *j, struct tare_state *s, int64_t t, int64_t position)
{
    const struct gqa *b = j->b;
    for (int64_t h = 0; h < b->kv_heads; h++) {
        float *key = projected(j, t, b->heads + h), *value = projected(j, t, b->heads + b->kv_heads + h);
        tare_norm_row(j->pass, &b->v_norm, value, value);
        for (int k = 0; k < 2 && b->rounded[0]; k++)
            round_head(k ? value : key, b->head_dim, *tare_loaded_vector(j->pass->loaded, b->rounded[k]));
        tare_state_put(&j->pass->kernels, s, KEYS, position, h, key);
        tare_state_put(&j->pass->kernels, s, VALUES, position, h, value);
    }
}

/* Norm and rotate a token's queries and keys, and keep keys and values. */
static void prepare_token(void *user, size_t i, int worker)
{
    const struct job *j = user;
    const struct gqa *b = j->b;
    const int64_t t = (int64_t)i, position = tare_pass_position(j->pass, t), dims = b->rope.dims;
    struct tare_state *s = b->borrows ? NULL : tare_pass_state(j->pass, tare_pass_span(j->pass, t));
    const int32_t span = j->pass->span_of[t];
    float *table = j->table + t * dims;
    if (b->rope.kind != TARE_ROPE_NONE)
        tare_rope_table(&b->rope, j->freq + span * dims, j->factor[span], position, table);
    if (b->conv[0])
        convolve(j, s, t, position, j->pass->work[worker]);
    if (b->k_is_v)
        memcpy(projected(j, t, b->heads + b->kv_heads), projected(j, t, b->heads),
               (size_t)(b->kv_heads * b->head_dim) * sizeof(float));
    if (b->wide) {
        tare_norm_row(j->pass, &b->q_norm, projected(j, t, 0), projected(j, t, 0));
        tare_norm_row(j->pass, &b->k_norm, projected(j, t, b->heads), projected(j, t, b->heads));
    }
    for (int64_t h = 0; h < b->heads + (b->borrows ? 0 : b->kv_heads); h++)
        prepare_head(j, h, position, table, projected(j, t, h));
    if (!b->borrows)
        keep_heads(j, s, t, position);
}

#define UNSEEN 200.0f /* below the largest score: nothing is left of it in float32 */

/* Block-sparse: does the query of head h at position `last` see key p? */
static bool sees(const struct gqa *b, int64_t h, int64_t p, int64_t last)
{
    if (b->block < 1)
        return true;
    const int64_t block = p / b->block;
    return last / b->block - block < b->near || (block + h + 1) % b->stride == 0;
}

/* What a query looks at. */
struct view {
    const struct tare_state *state;
    int64_t head, kv_head;
    int64_t first, last; /* keys */
};

/* One query over its keys; score has room for as many. */
static void attend(const struct job *j, const struct view *v, const float *q, float *score, float *y)
{
    const struct gqa *b = j->b;
    const struct tare_kernels *k = &j->pass->kernels;
    const int64_t seen = v->last - v->first + 1;
    tare_state_scores(k, v->state, KEYS, v->kv_head, q, v->first, seen, b->scale, score);
    float most = -INFINITY;
    for (int64_t i = 0; i < seen; i++) {
        if (b->soft_cap > 0)
            score[i] = b->soft_cap * tanhf(score[i] / b->soft_cap);
        most = score[i] > most && sees(b, v->head, v->first + i, v->last) ? score[i] : most;
    }
    for (int64_t i = 0; i < seen && b->block > 0; i++)
        if (!sees(b, v->head, v->first + i, v->last))
            score[i] = most - UNSEEN;
    const float sum = k->exponents(score, seen, most);
    memset(y, 0, (size_t)b->head_dim * sizeof *y);
    tare_state_mix(k, v->state, VALUES, v->kv_head, score, v->first, seen, y);
    for (int64_t d = 0; d < b->head_dim; d++)
        y[d] /= sum;
}

/* A task: the queries of one token that share a key head, so its keys are read once from memory. */
static void attend_group(void *user, size_t i, int worker)
{
    const struct job *j = user;
    const struct gqa *b = j->b;
    const int64_t t = (int64_t)i / b->kv_heads, group = b->heads / b->kv_heads;
    const struct tare_span *span = tare_pass_span(j->pass, t);
    struct view v = {.state = state_of(j, span), .kv_head = (int64_t)i % b->kv_heads};
    v.last = tare_pass_position(j->pass, t);
    v.first = b->window > 0 && v.last >= b->window ? v.last - b->window + 1 : 0;
    for (int64_t k = 0; k < group; k++) {
        v.head = b->cycled ? k * b->kv_heads + v.kv_head : v.kv_head * group + k;
        const float *q = projected(j, t, v.head);
        attend(j, &v, q, j->pass->work[worker], j->mixed + (t * b->heads + v.head) * b->head_dim);
        if (!b->gate)
            continue;
        struct view all = v; /* what the layer before saw */
        all.state = tare_pass_lent(j->pass, span);
        all.first = 0;
        attend(j, &all, q, j->pass->work[worker], j->other + (t * b->heads + v.head) * b->head_dim);
    }
}

/* mixed = gate * other + (1 - gate) * mixed, for each head of a token. */
static void mix_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const struct gqa *b = j->b;
    const float *weight = tare_loaded_vector(j->pass->loaded, b->gate);
    const float *bias = tare_loaded_vector(j->pass->loaded, b->gate_bias);
    for (int64_t h = 0; h < b->heads; h++) {
        const float *q = projected(j, (int64_t)i, h), *w = weight + h * b->head_dim;
        const int64_t at = ((int64_t)i * b->heads + h) * b->head_dim;
        float sum = bias[h];
        for (int64_t d = 0; d < b->head_dim; d++)
            sum += q[d] * w[d];
        const float gate = 1 / (1 + expf(-sum));
        for (int64_t d = 0; d < b->head_dim; d++)
            j->mixed[at + d] = gate * j->other[at + d] + (1 - gate) * j->mixed[at + d];
    }
}

static void project(const struct gqa *b, const struct tare_pass *pass, const float *x, float *y)
{
    if (b->qkv.weight) {
        tare_linear_forward(pass, &b->qkv, x, b->qkv.in, y, b->projected);
        return;
    }
    tare_linear_forward(pass, &b->q, x, b->q.in, y, b->projected);
    if (b->k.weight)
        tare_linear_forward(pass, &b->k, x, b->k.in, y + b->q.out, b->projected);
    if (b->v.weight)
        tare_linear_forward(pass, &b->v, x, b->v.in, y + b->q.out + b->k.out, b->projected);
}

static void forward(const void *block, struct tare_pass *pass, const float *x, float *y)
{
    const struct gqa *b = block;
    const int64_t tokens = pass->tokens, mixed = tokens * b->heads * b->head_dim;
    struct job j = {.b = b, .pass = pass, .lent = b->borrows, .projected = pass->scratch};
    j.mixed = j.projected + tokens * b->projected;
    j.table = j.mixed + mixed;
    j.freq = j.table + tokens * b->rope.dims;
    j.factor = j.freq + tokens * b->rope.dims;
    j.other = j.factor + tokens;
    project(b, pass, x, j.projected);
    for (int64_t i = 0; b->rope.kind != TARE_ROPE_NONE && i < pass->n_spans; i++)
        j.factor[i] = tare_rope_frequencies(&b->rope, pass->spans[i].total, j.freq + i * b->rope.dims);
    if (b->conv[0])
        tare_pool_run(pass->pool, (size_t)tokens, keep_token, &j);
    tare_pool_run(pass->pool, (size_t)tokens, prepare_token, &j);
    tare_pool_run(pass->pool, (size_t)(tokens * b->kv_heads), attend_group, &j);
    if (b->gate)
        tare_pool_run(pass->pool, (size_t)tokens, mix_token, &j);
    tare_norm_forward(pass, &b->mixed_norm, b->heads * b->head_dim, j.mixed, j.mixed);
    tare_linear_forward(pass, &b->o, j.mixed, b->o.in, y, b->o.out);
}

static const struct tare_block_ops ops = {.name = "gqa", .state = state, .scratch = scratch, .forward = forward};

static const struct tare_block_ops borrowing = {.name = "gqa", .scratch = scratch, .forward = forward};

static struct tare_norm head_norm(struct tare_at at, const char *name, int64_t heads, const struct tare_gqa_desc *d)
{
    struct tare_norm norm = {.kind = TARE_NORM_NONE, .dim = d->head_dim, .eps = d->eps};
    switch (d->qk_norm) {
    case TARE_QK_NORM_RMS:
        return tare_rms_norm(at, name, d->head_dim, d->eps);
    case TARE_QK_NORM_RMS_ONE_PLUS:
        return tare_rms_norm_one_plus(at, name, d->head_dim, d->eps);
    case TARE_QK_NORM_RMS_WIDE:
        return tare_rms_norm(at, name, tare_mul(at, heads, d->head_dim), d->eps);
    case TARE_QK_NORM_RMS_BARE:
        norm.kind = TARE_NORM_RMS;
        break;
    case TARE_QK_NORM_LAYER_ROWS:
        norm.weight = tare_plain(tare_at(at, "%s", name), "weight", 2, heads, d->head_dim);
        norm.kind = TARE_NORM_LAYER;
        break;
    case TARE_QK_NORM_LAYER_EACH:
    case TARE_QK_NORM_NONE:
        break;
    }
    return norm;
}

enum { HEADS_MOST = 65536 }; /* with a norm each */

/* A norm for each head: rows of one parameter, or parameters of their own. */
static void norm_each(struct gqa *b, struct tare_at at, const struct tare_gqa_desc *d, const char *const name[2])
{
    const int64_t n = d->heads + d->kv_heads;
    struct tare_norm *each = d->heads < HEADS_MOST && d->kv_heads < HEADS_MOST
                                 ? tare_arena_array(at.tree->arena, (size_t)n, sizeof *each)
                                 : NULL;
    b->each = each;
    for (int64_t h = 0; each && h < n && !at.tree->error.code; h++) {
        const bool key = h >= d->heads;
        const int64_t k = key ? h - d->heads : h;
        each[h] = key ? b->k_norm : b->q_norm;
        each[h].row = k;
        if (d->qk_norm == TARE_QK_NORM_LAYER_EACH)
            each[h] = (struct tare_norm){
                .weight = tare_plain(tare_at(at, "%s.norms.%lld", name[key], (long long)k), "weight", 1, d->head_dim),
                .kind = TARE_NORM_LAYER,
                .dim = d->head_dim,
                .eps = d->eps};
    }
}

static void declare_norms(struct gqa *b, struct tare_at at, const struct tare_gqa_desc *d)
{
    const char *const name[2] = {d->q_norm_name ? d->q_norm_name : "q_norm",
                                 d->k_norm_name ? d->k_norm_name : "k_norm"};
    b->q_norm = head_norm(at, name[0], d->heads, d);
    if (!d->borrows)
        b->k_norm = head_norm(at, name[1], d->kv_heads, d);
    b->v_norm =
        (struct tare_norm){.kind = d->v_norm ? TARE_NORM_RMS : TARE_NORM_NONE, .dim = d->head_dim, .eps = d->eps};
    b->wide = d->qk_norm == TARE_QK_NORM_RMS_WIDE;
    b->norm_last = d->norm_last;
    if (d->qk_norm == TARE_QK_NORM_LAYER_ROWS || d->qk_norm == TARE_QK_NORM_LAYER_EACH)
        norm_each(b, at, d, name);
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
                      .grouped = d->grouped,
                      .cycled = d->cycled,
                      .block = d->block,
                      .near = d->near,
                      .stride = d->stride > 0 ? d->stride : 1,
                      .k_is_v = d->k_is_v && !d->borrows,
                      .borrows = d->borrows,
                      .query_beta = d->query_beta,
                      .query_length = d->query_length,
                      .projected = q + (d->borrows ? 0 : 2 * kv)};
    struct tare_linear (*const linear)(struct tare_at, const char *, int64_t, int64_t, bool) =
        d->ternary ? tare_ternary : tare_linear;
    if (d->qkv_name) {
        b->qkv = linear(at, d->qkv_name, d->dim, b->projected, d->bias);
    } else {
        b->q = linear(at, d->q_name ? d->q_name : "q_proj", d->dim, q, d->bias);
        if (!d->borrows)
            b->k = linear(at, d->k_name ? d->k_name : "k_proj", d->dim, kv, d->bias);
        if (!d->borrows && !d->k_is_v)
            b->v = linear(at, d->v_name ? d->v_name : "v_proj", d->dim, kv, d->bias);
    }
    b->o = linear(at, d->o_name ? d->o_name : "o_proj", q, d->dim, d->o_bias);
    if (d->mixed_norm)
        b->mixed_norm = tare_rms_norm(at, d->mixed_norm, q, d->eps);
    declare_norms(b, at, d);
    const int64_t one = 1, two = 2;
    for (int i = 0; i < 2 && d->convolved; i++)
        b->conv[i] = tare_plain(at, i ? "conv_v" : "conv_k", 5, one, one, d->kv_heads, one, two);
    for (int i = 0; i < 2 && d->rounded[0]; i++)
        b->rounded[i] = tare_plain(at, d->rounded[i], 0);
    if (d->gain_name)
        b->gain = tare_plain(at, d->gain_name, 1, d->heads);
}

/* Such configs exist: mlx-lm declares their parameters, and nobody can run them. */
static bool runs(const struct gqa *b, const struct tare_gqa_desc *d)
{
    const bool norms = b->each || (d->qk_norm != TARE_QK_NORM_LAYER_ROWS && d->qk_norm != TARE_QK_NORM_LAYER_EACH);
    return norms && d->kv_heads > 0 && d->heads % d->kv_heads == 0 && d->rope.dims >= 0 && d->rope.dims <= d->head_dim;
}

void tare_gqa(struct tare_layer *layer, struct tare_at parent, const struct tare_gqa_desc *d)
{
    const struct tare_at at = tare_at(parent, "%s", d->name ? d->name : "self_attn");
    struct gqa *b = tare_arena_alloc(at.tree->arena, sizeof *b);
    struct gqa failed;
    if (!b && !at.tree->error.code)
        tare_fail_memory(&at.tree->error);
    declare(b ? b : &failed, at, d);
    if (b && runs(b, d))
        layer->mixer = (struct tare_block){b->borrows ? &borrowing : &ops, b};
}

void tare_gqa_mixing(struct tare_block *mixer, struct tare_at at, int64_t window)
{
    const struct gqa *once = mixer->self;
    if (mixer->ops != &ops) /* it does not run anyway */
        return;
    struct gqa *b = tare_arena_alloc(at.tree->arena, sizeof *b);
    if (!b && !at.tree->error.code)
        tare_fail_memory(&at.tree->error);
    if (!b)
        return;
    *b = *once;
    b->window = window;
    b->gate = tare_plain(at, "weight", 2, b->heads, b->head_dim);
    b->gate_bias = tare_plain(at, "bias", 1, b->heads);
    mixer->self = b;
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
