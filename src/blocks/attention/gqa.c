/* SPDX-License-Identifier: MIT
 * gqa.c - grouped-query attention with a key and value cache. Vaswani et al. 2017; groups: Ainslie et al. 2023.
 *
 *     y = o(gate * attend(q, k, v))         over the keys that position p sees: those of its window or chunk up to p
 */
#include "blocks/attention/gqa_self.h"

#include <math.h>
#include <string.h>

#include "blocks/attention/attend.h"
#include "blocks/attention/gate.h"
#include "blocks/attention/gqa_index_self.h"

static int64_t of_heads(const struct tare_gqa_self *b)
{
    return b->heads * b->v_dim;
}

/* Cuts the work memory of a pass into the parts of j, or only counts its floats where memory is NULL. */
static size_t lay_out(const struct tare_gqa_self *b, int64_t tokens, float *memory, struct tare_gqa_job *j)
{
    struct tare_scratch s = {memory, 0};
    j->projected = tare_scratch_take(&s, tokens, b->projected);
    j->mixed = tare_scratch_take(&s, tokens, of_heads(b));
    j->table = tare_scratch_take(&s, tokens, b->rope.dims);
    j->freq = tare_scratch_take(&s, tokens, b->rope.dims);
    j->factor = tare_scratch_take(&s, tokens, 1);
    j->gates = tare_scratch_take(&s, tokens, b->gate.weight ? b->gate.out : 0);
    j->other = tare_scratch_take(&s, tokens, b->hooks.attends_twice ? of_heads(b) : 0);
    if (b->hooks.indexed)
        tare_gqa_index_lay_out(tare_gqa_index_of(b), tokens, &s, &j->index);
    return s.floats;
}

static size_t scratch(const void *block, int64_t tokens)
{
    struct tare_gqa_job none;
    return lay_out(block, tokens, NULL, &none);
}

static int state(const void *block, struct tare_state_part parts[TARE_STATE_PARTS])
{
    const struct tare_gqa_self *b = block;
    parts[TARE_GQA_KEYS] = (struct tare_state_part){TARE_STATE_ROWS, b->kv_heads, b->head_dim, 1};
    parts[TARE_GQA_VALUES] = (struct tare_state_part){TARE_STATE_ROWS, b->kv_heads, b->v_dim, 1};
    parts[TARE_GQA_BEFORE] = (struct tare_state_part){TARE_STATE_ROWS, 2 * b->kv_heads, b->head_dim, 1};
    if (tare_gqa_index_of(b))
        parts[TARE_GQA_INDEX] = (struct tare_state_part){TARE_STATE_ROWS, 1, tare_gqa_index_of(b)->dim, 1};
    return tare_gqa_keeps_before(b) || tare_gqa_index_of(b) ? 3 : 2;
}

/* What the hook `sees` is asked for: whether this query sees a key. */
struct query {
    const struct tare_gqa_hooks *hooks;
    int64_t head;
    int64_t position;
};

static bool sees_key(const void *user, int64_t key)
{
    const struct query *q = user;
    return q->hooks->sees(q->hooks->self, q->head, q->position, key);
}

int64_t tare_gqa_query_head(const struct tare_gqa_self *b, int64_t kv, int64_t k)
{
    return b->hooks.query_head ? b->hooks.query_head(b, kv, k) : kv * (b->heads / b->kv_heads) + k;
}

int64_t tare_gqa_first_key(const struct tare_gqa_self *b, int64_t last)
{
    if (b->hooks.first_key)
        return b->hooks.first_key(b->hooks.self, last);
    return tare_gqa_window_start(b->window, last);
}

/* Attends with one query head of a token. a is set up for all heads that share its key head. */
static void attend_head(const struct tare_gqa_job *j, int64_t t, int64_t h, struct tare_attend a, float *score)
{
    const struct tare_gqa_self *b = j->b;
    const struct query query = {&b->hooks, h, a.last};
    const float *q = tare_gqa_head(j, t, h);
    if (b->sink)
        a.sink = tare_loaded_vector(j->pass->loaded, b->sink) + h;
    if (b->hooks.sees)
        a.sees = sees_key, a.user = &query;
    tare_attend(&j->pass->kernels, &a, q, score, j->mixed + (t * b->heads + h) * b->v_dim);
    if (!b->hooks.attends_twice)
        return;
    a.state = tare_pass_lent(j->pass, tare_pass_span(j->pass, t)); /* what the layer before saw */
    a.first = 0;
    tare_attend(&j->pass->kernels, &a, q, score, j->other + (t * b->heads + h) * b->v_dim);
}

/* One task: the queries of a token that share a key head, so that its keys are read from memory once. */
static void attend_group(void *user, size_t i, int worker)
{
    const struct tare_gqa_job *j = user;
    const struct tare_gqa_self *b = j->b;
    const int64_t t = (int64_t)i / b->kv_heads, kv = (int64_t)i % b->kv_heads, group = b->heads / b->kv_heads;
    const int64_t share =
        tare_gqa_index_of(b) ? b->heads / tare_gqa_index_of(b)->heads : 1; /* query heads of an index head */
    const struct tare_span *span = tare_pass_span(j->pass, t);
    struct tare_attend a = {.state = b->borrows ? tare_pass_lent(j->pass, span) : tare_pass_state(j->pass, span),
                            .keys = TARE_GQA_KEYS,
                            .values = TARE_GQA_VALUES,
                            .plane = kv,
                            .last = tare_pass_position(j->pass, t),
                            .width = b->v_dim,
                            .scale = b->scale,
                            .soft_cap = b->soft_cap};
    a.first = tare_gqa_first_key(b, a.last);
    struct tare_gqa_seen seen;
    for (int64_t k = 0; k < group; k++) {
        const int64_t h = tare_gqa_query_head(b, kv, k);
        if (tare_gqa_index_of(b) && (k == 0 || h / share != (h - 1) / share)) {
            seen = tare_gqa_index_choose(j, t, h, j->pass->work[worker]);
            a.sees = tare_gqa_index_sees, a.user = &seen;
        }
        attend_head(j, t, h, a, j->pass->work[worker]);
    }
}

/* Where the gates lie: in job->gates, which a linear filled, or past the values in the projected row, or past each
 * query in its row. */
static struct tare_gate gate(const struct tare_gqa_job *j)
{
    const struct tare_gqa_self *b = j->b;
    struct tare_gate g = {.y = j->mixed, .heads = b->heads, .width = b->v_dim, .softplus = b->gate_softplus};
    if (b->gate.weight) {
        g.gate = j->gates, g.ld = b->gate.out, g.n = b->gate.out / b->heads;
        return g;
    }
    g.ld = b->projected, g.n = b->v_dim;
    if (b->gate_fused)
        g.gate = j->projected + b->projected - of_heads(b);
    else
        g.gate = j->projected + b->head_dim, g.step = b->q_row;
    return g;
}

/* Norms and gates what the heads gave, before the output projection. */
static void finish(const struct tare_gqa_job *j, const float *x)
{
    const struct tare_gqa_self *b = j->b;
    const struct tare_pass *pass = j->pass;
    const struct tare_gate gates = gate(j);
    if (b->hooks.mix)
        b->hooks.mix(j, b->hooks.self);
    if (b->gate.weight)
        tare_linear_forward(pass, &b->gate, x, b->gate.in, j->gates, b->gate.out);
    if (b->gate.weight || b->gate_fused || b->q_row > b->head_dim)
        tare_gate_forward(pass, &gates);
}

static void forward(const void *block, struct tare_pass *pass, const float *x, float *y)
{
    const struct tare_gqa_self *b = block;
    const size_t tokens = (size_t)pass->tokens;
    struct tare_gqa_job j = {.b = b, .pass = pass};
    lay_out(b, pass->tokens, pass->scratch, &j);
    tare_gqa_prepare(&j, x);
    if (tare_gqa_index_of(b))
        tare_gqa_index_prepare(&j, x);
    if (tare_gqa_index_of(b) || b->hooks.sees || !tare_gqa_attend(&j))
        tare_pool_run(pass->pool, tokens * (size_t)b->kv_heads, attend_group, &j);
    finish(&j, x);
    tare_linear_forward(pass, &b->o, j.mixed, b->o.in, y, b->o.out);
}

/* What the heads give is a multiple of the values, gated or not, where no model has a hook between them. Query heads
 * that share a key head share its value. */
static int folds(const void *block, struct tare_fold folds[TARE_FOLDS])
{
    const struct tare_gqa_self *b = block;
    const bool fused = b->qkv.weight != NULL, apart = b->v.weight != NULL && !b->lends && !b->adopts;
    if (tare_gqa_index_of(b))
        return 0;
    folds[0] = (struct tare_fold){.reader = {&b->q, &b->k, &b->v, &b->qkv, &b->gate}};
    folds[1] = (struct tare_fold){.before = fused ? &b->qkv : &b->v,
                                  .first = fused ? b->heads * b->q_row + b->kv_heads * b->head_dim : 0,
                                  .width = b->v_dim,
                                  .repeat = b->heads / b->kv_heads,
                                  .reader = {&b->o}};
    return b->hooks.self || b->grouped || !(fused || apart) ? 1 : 2;
}

static const struct tare_block_ops ops = {
    .name = "gqa", .state = state, .scratch = scratch, .forward = forward, .folds = folds};

static const struct tare_block_ops borrowing = {.name = "gqa", .scratch = scratch, .forward = forward};

void tare_gqa(struct tare_layer *layer, struct tare_at parent, const struct tare_gqa_desc *d)
{
    const struct tare_at at = tare_at(parent, "%s", d->name ? d->name : "self_attn");
    struct tare_gqa_self b;
    tare_gqa_declare(&b, at, d);
    if (tare_gqa_runs(&b, d))
        tare_block_set(&layer->mixer, at, b.borrows ? &borrowing : &ops, &b, sizeof b);
}

const struct tare_gqa_self *tare_gqa_made(const struct tare_layer *layer)
{
    return layer->mixer.ops == &ops || layer->mixer.ops == &borrowing ? layer->mixer.self : NULL;
}

void tare_gqa_extend(struct tare_layer *layer, struct tare_at at, const struct tare_gqa_hooks *hooks, const void *self,
                     size_t size)
{
    struct tare_block *mixer = &layer->mixer;
    const void *copy = tare_block_keep(at, self, size);
    if (!copy || !tare_gqa_made(layer))
        return;
    struct tare_gqa_self b = *tare_gqa_made(layer);
    const bool keeps_more = hooks->indexed || hooks->keeps_before;
    if (b.hooks.self || (keeps_more && (b.borrows || b.lends))) {
        *mixer = (struct tare_block){0};
        return;
    }
    b.hooks = *hooks;
    b.hooks.self = copy;
    tare_block_set(mixer, at, mixer->ops, &b, sizeof b);
}

/* Does the block do something that the fields of tare_gqa_describe() do not say? */
static bool is_special(const struct tare_gqa_self *b)
{
    return b->sink || b->gate.weight || b->gate_fused || b->hooks.self || b->q_row != b->head_dim ||
           b->v_dim != b->head_dim || b->adopts;
}

bool tare_gqa_describe(const struct tare_block *block, struct tare_gqa_desc *desc)
{
    const struct tare_gqa_self *b = block->self;
    if (block->ops != &ops || is_special(b))
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
