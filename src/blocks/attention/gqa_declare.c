/* SPDX-License-Identifier: MIT
 * gqa_declare.c - the parameters of grouped-query attention. */
#include <math.h>

#include "blocks/attention/gqa_self.h"

static struct tare_norm head_norm(struct tare_at at, const char *name, int64_t heads, const struct tare_gqa_desc *d)
{
    struct tare_norm norm = {.kind = TARE_NORM_NONE, .dim = d->head_dim, .eps = d->qk_norm.eps};
    switch (d->qk_norm.kind) {
    case TARE_QK_NORM_RMS:
        return tare_rms_norm(at, name, d->head_dim, d->qk_norm.eps);
    case TARE_QK_NORM_RMS_ONE_PLUS:
        return tare_rms_norm_one_plus(at, name, d->head_dim, d->qk_norm.eps);
    case TARE_QK_NORM_RMS_WIDE:
        return tare_rms_norm(at, name, tare_mul(at, heads, d->head_dim), d->qk_norm.eps);
    case TARE_QK_NORM_RMS_BARE:
        norm.kind = TARE_NORM_RMS;
        break;
    case TARE_QK_NORM_RMS_ROWS:
        norm.weight = tare_plain(at, name, 2, heads, d->head_dim);
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

enum { HEADS_MOST = 65536 }; /* heads that may have a norm each */

static bool normed_each(const struct tare_gqa_desc *d)
{
    return d->qk_norm.kind == TARE_QK_NORM_RMS_ROWS || d->qk_norm.kind == TARE_QK_NORM_LAYER_ROWS ||
           d->qk_norm.kind == TARE_QK_NORM_LAYER_EACH;
}

/* A norm for each head: rows of one parameter, or parameters of their own. */
static void norm_each(struct tare_gqa_self *b, struct tare_at at, const struct tare_gqa_desc *d,
                      const char *const name[2])
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
        if (d->qk_norm.kind == TARE_QK_NORM_LAYER_EACH)
            each[h] = (struct tare_norm){
                .weight = tare_plain(tare_at(at, "%s.norms.%lld", name[key], (long long)k), "weight", 1, d->head_dim),
                .kind = TARE_NORM_LAYER,
                .dim = d->head_dim,
                .eps = d->qk_norm.eps};
    }
}

static void declare_norms(struct tare_gqa_self *b, struct tare_at at, const struct tare_gqa_desc *d)
{
    const char *const name[2] = {d->qk_norm.q_name ? d->qk_norm.q_name : "q_norm",
                                 d->qk_norm.k_name ? d->qk_norm.k_name : "k_norm"};
    b->q_norm = head_norm(at, name[0], d->heads, d);
    if (!b->borrows)
        b->k_norm = head_norm(at, name[1], d->kv_heads, d);
    b->wide = d->qk_norm.kind == TARE_QK_NORM_RMS_WIDE;
    b->norm_last = d->qk_norm.last;
    if (normed_each(d))
        norm_each(b, at, d, name);
}

static const char *given(const char *name, const char *usual)
{
    return name ? name : usual;
}

/* The linear whose output gates the heads: one number a head, or one for each of the `all` elements. */
static struct tare_linear declare_gate(struct tare_at at, const struct tare_gqa_desc *d, int64_t all)
{
    if (d->gate.kind != TARE_GATE_HEADS && d->gate.kind != TARE_GATE_ELEMENTS)
        return (struct tare_linear){0};
    return tare_linear(at, given(d->gate.name, "g_proj"), d->dim, d->gate.kind == TARE_GATE_HEADS ? d->heads : all,
                       d->gate.bias);
}

static void declare_linears(struct tare_gqa_self *b, struct tare_at at, const struct tare_gqa_desc *d)
{
    struct tare_linear (*const linear)(struct tare_at, const char *, int64_t, int64_t, bool) =
        d->ternary ? tare_ternary : tare_linear;
    const int64_t q = tare_mul(at, d->heads, b->q_row), all = tare_mul(at, d->heads, b->v_dim);
    const int64_t k = b->borrows ? 0 : tare_mul(at, d->kv_heads, d->head_dim);
    const int64_t v = b->borrows ? 0 : tare_mul(at, d->kv_heads, b->v_dim);
    b->gate_fused = d->gate.kind == TARE_GATE_FUSED;
    /* The sum is unsigned, since sizes of a hostile config may overflow; as a dimension it is refused then. */
    b->projected = (int64_t)((uint64_t)q + (uint64_t)k + (uint64_t)v + (uint64_t)(b->gate_fused ? all : 0));
    if (d->qkv_name) {
        b->qkv = linear(at, d->qkv_name, d->dim, b->projected, d->bias);
    } else {
        b->q = linear(at, given(d->q_name, "q_proj"), d->dim, q, d->bias);
        if (!b->borrows && !b->adopts)
            b->k = linear(at, given(d->k_name, "k_proj"), d->dim, k, d->bias);
        if (!b->borrows && !b->adopts && !b->k_is_v)
            b->v = linear(at, given(d->v_name, "v_proj"), d->dim, v, d->bias);
    }
    b->gate = declare_gate(at, d, all);
    b->o = linear(at, given(d->o_name, "o_proj"), all, d->dim, d->o_bias);
}

static void declare_plain(struct tare_gqa_self *b, struct tare_at at, const struct tare_gqa_desc *d)
{
    if (d->sink_name)
        b->sink = tare_plain(at, d->sink_name, 1, d->heads);
}

void tare_gqa_declare(struct tare_gqa_self *b, struct tare_at at, const struct tare_gqa_desc *d)
{
    *b = (struct tare_gqa_self){.heads = d->heads,
                                .kv_heads = d->kv_heads,
                                .head_dim = d->head_dim,
                                .v_dim = d->v_head_dim > 0 ? d->v_head_dim : d->head_dim,
                                .q_row = d->gate.kind == TARE_GATE_QUERY ? tare_mul(at, 2, d->head_dim) : d->head_dim,
                                .window = d->window,
                                .scale = (float)(d->scale != 0 ? d->scale : 1 / sqrt((double)d->head_dim)),
                                .soft_cap = (float)d->soft_cap,
                                .rope = d->rope,
                                .grouped = d->grouped,
                                .k_is_v = d->kv == TARE_KV_KEYS_ONLY,
                                .borrows = d->kv == TARE_KV_BORROWED,
                                .adopts = d->kv == TARE_KV_ADOPTED,
                                .lends = d->kv == TARE_KV_LENT,
                                .gate_softplus = d->gate.softplus};
    declare_linears(b, at, d);
    declare_norms(b, at, d);
    declare_plain(b, at, d);
}

/* Whether the widths of heads fit the variant: grouped rows, and values that are keys or are lent, need values as wide as
 * keys, and a gate inside q_proj or qkv_name needs its rows there. */
static bool widths_fit(const struct tare_gqa_self *b)
{
    const bool same = b->grouped || b->k_is_v || b->lends || b->adopts;
    const bool plain_row = b->grouped || b->wide || b->qkv.weight;
    if (b->gate_fused && (b->grouped || !b->qkv.weight))
        return false;
    if (b->q_row > b->head_dim && (plain_row || b->v_dim != b->head_dim))
        return false;
    return !same || b->v_dim == b->head_dim;
}

bool tare_gqa_runs(const struct tare_gqa_self *b, const struct tare_gqa_desc *d)
{
    const bool norms = b->each || !normed_each(d);
    return norms && widths_fit(b) && d->kv_heads > 0 && d->heads % d->kv_heads == 0 && d->rope.dims >= 0 &&
           d->rope.dims <= d->head_dim;
}
