/* SPDX-License-Identifier: MIT
<<<<<<< HEAD
 * deepseek.c - the DeepSeek family: latent attention, dense and routed networks. */
#include "models/deepseek.h"

#include <string.h>

#include "models/experts.h"
#include "models/kinds.h"
#include "models/skeleton.h"
#include "models/window.h"

static bool routed(const struct tare_deepseek_desc *m, int64_t layer)
{
    if (m->experts < 1)
        return false;
    if (m->kinds)
        return !tare_word_is(m->kinds, layer, "dense");
    return layer >= m->first_routed && layer % (m->frequency > 0 ? m->frequency : 1) == 0;
}

static bool indexed(const struct tare_deepseek_desc *m, int64_t layer)
{
    if (m->index_heads < 1)
        return false;
    if (m->indexers)
        return !tare_word_is(m->indexers, layer, "shared");
    return m->index_every < 2 || layer < m->index_skip || (layer - m->index_skip + 1) % m->index_every == 0;
}

static void experts(struct tare_at at, const struct tare_deepseek_desc *m)
{
    if (m->router_linear)
        tare_linear(at, "gate", m->dim, m->experts, NO_BIAS);
    else
        tare_plain(at, "gate.weight", 2, m->experts, m->dim);
    if (m->selection_bias)
        tare_plain(at, "gate.e_score_correction_bias", 1, m->experts);
    tare_switch_glu(at, "switch_mlp", m->experts, m->dim, m->expert_hidden);
    if (m->shared > 0)
        tare_dense_glu(at, "shared_experts", m->dim, tare_mul(at, m->expert_hidden, m->shared));
}

/* Chooses the keys that a query attends to. */
static void indexer(struct tare_at at, const struct tare_deepseek_desc *m)
{
    tare_linear(at, "wq_b", m->attention.q_rank, tare_mul(at, m->index_heads, m->index_dim), NO_BIAS);
    tare_linear(at, "wk", m->dim, m->index_dim, NO_BIAS);
    tare_layer_norm(at, "k_norm", m->index_dim, 1e-5, BIAS);
    tare_linear(at, "weights_proj", m->dim, m->index_heads, NO_BIAS);
}

static void layer(struct tare_layer *l, struct tare_at at, const void *desc, int64_t i)
{
    const struct tare_deepseek_desc *m = desc;
    l->pre[0] = tare_rms_norm(at, "input_layernorm", m->dim, m->eps);
    tare_mla(tare_at(at, "self_attn"), &m->attention);
    if (indexed(m, i))
        indexer(tare_at(at, "self_attn.indexer"), m);
    l->pre[1] = tare_rms_norm(at, "post_attention_layernorm", m->dim, m->eps);
    if (routed(m, i))
        experts(tare_at(at, "mlp"), m);
    else
        tare_glu(l, at, &(struct tare_glu_desc){.dim = m->dim, .hidden = m->hidden, .bias = m->mlp_bias});
}

void tare_deepseek(struct tare_at root, struct tare_decoder *d, const struct tare_deepseek_desc *m)
{
    tare_skeleton(root, m, d,
                  &(struct tare_skeleton){.dim = m->dim,
                                          .vocabulary = m->vocabulary,
                                          .n_layers = m->n_layers,
                                          .context = m->context,
                                          .eps = m->eps,
                                          .embedding_scale = m->embedding_scale,
                                          .layer = layer,
                                          .head = m->head,
                                          .tied = m->tied});
}

void tare_deepseek_rewrite(struct tare_weights *w, const struct tare_deepseek_desc *m)
{
    if (m->frequencies_stored)
        tare_drop_containing(w, "rotary_emb.inv_freq", "computed from the config");
    if (m->activation_scales)
        tare_drop_exact(w, "**.*activation_scale", "scales activations that are rounded to 8 bits; none are here");
    if (m->predicts)
        tare_drop_from(w, "model.layers.#", m->n_layers,
                       "predicts several tokens at once, which generation does not use");
    tare_experts_rewrite(w, &(struct tare_experts_desc){.from = "model.layers.*.mlp.experts",
                                                        .to = "model.layers.*.mlp.switch_mlp",
                                                        .n = m->experts,
                                                        .dim = m->dim});
    if (!m->attention.kv_b_whole)
        tare_mla_rewrite(w, "model.layers.*.self_attn", m->attention.heads, m->attention.nope, m->attention.v);
}

enum tare_code tare_deepseek_check(const struct tare_deepseek_desc *m, const char *topk_method,
                                   const struct tare_derive *d)
{
    enum tare_code code = tare_layer_types_check(m->kinds, m->n_layers, d->place, d->err);
    if (!code)
        code = tare_layer_types_check(m->indexers, m->n_layers, d->place, d->err);
    if (code || m->experts < 0 || m->first_routed >= m->n_layers)
        return code;
    if (m->frequency < 1)
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "moe_layer_freq is %lld; expected 1 or more",
                         (long long)m->frequency);
    if (topk_method && strcmp(topk_method, "noaux_tc") != 0)
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "topk_method is \"%.40s\"; only noaux_tc is known",
                         topk_method);
    return TARE_OK;
}
=======
 * deepseek.c - DeepSeek-MoE (mlx-lm: models/deepseek.py). */
#include "models/routed.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, vocab_size, 102400)                                                                                       \
    ARG(INT, hidden_size, 4096)                                                                                        \
    ARG(INT, intermediate_size, 11008)                                                                                 \
    ARG(INT, moe_intermediate_size, 1407)                                                                              \
    ARG(INT, num_hidden_layers, 30)                                                                                    \
    ARG(INT, num_attention_heads, 32)                                                                                  \
    ARG(INT, num_key_value_heads, 32)                                                                                  \
    ARG(INT, n_shared_experts, ABSENT)                                                                                 \
    ARG(INT, n_routed_experts, ABSENT)                                                                                 \
    ARG(INT, num_experts_per_tok, ABSENT)                                                                              \
    ARG(INT, moe_layer_freq, 1)                                                                                        \
    ARG(INT, first_k_dense_replace, 0)                                                                                 \
    ARG(INT, max_position_embeddings, 2048)                                                                            \
    ARG(REAL, rms_norm_eps, 1e-6)                                                                                      \
    ARG(REAL, rope_theta, 10000.0)                                                                                     \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(FLAG, attention_bias, false)                                                                                   \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(TEXT, hidden_act, silu)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    const struct args *a = args;
    if (a->moe_layer_freq > 0)
        return TARE_OK;
    return tare_fail(d->err, TARE_E_CONFIG, d->place, "moe_layer_freq is 0; expected at least 1");
}

static bool routed(const void *args, int64_t layer)
{
    const struct args *a = args;
    return a->n_routed_experts >= 0 && layer >= a->first_k_dense_replace && layer % a->moe_layer_freq == 0;
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_routed_dense(root, d,
                      &(struct tare_routed_dense){
                          .dense = {TARE_DENSE_USUAL(a),
                                    .skeleton.eps = a->rms_norm_eps,
                                    .skeleton.head = TARE_HEAD_OWN,
                                    .attention.bias = a->attention_bias,
                                    .attention.o_bias = a->attention_bias,
                                    .args = a},
                          .is_routed = routed,
                          .routed = {.n = a->n_routed_experts,
                                     .hidden = a->moe_intermediate_size,
                                     .gate_bare = true,
                                     .shared_hidden = a->moe_intermediate_size * a->n_shared_experts},
                      });
}

static void sanitize(struct tare_weights *w, const void *args)
{
    const struct args *a = args;
    tare_routed_rewrite(w, "model.layers.*.mlp", "switch_mlp", a->n_routed_experts, a->hidden_size);
}

const struct tare_arch tare_arch_deepseek = {
    .name = "deepseek",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
};
>>>>>>> moe1
