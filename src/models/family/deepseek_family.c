/* SPDX-License-Identifier: MIT
 * deepseek_family.c - the DeepSeek family: latent attention, dense and routed networks. */
#include "models/family/deepseek_family.h"

#include <string.h>

#define PREDICTION_LAYERS_MOST 16 /* published models have one */

#include "models/family/decoder_skeleton.h"
#include "models/family/layer_kinds.h"
#include "models/family/published_experts.h"

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

static void experts(struct tare_layer *l, struct tare_at at, const struct tare_deepseek_desc *m)
{
    struct tare_routed_desc desc = {.router = m->router,
                                    .dim = m->dim,
                                    .hidden = m->expert_hidden,
                                    .gate_kind = m->router_linear ? TARE_ROUTER_LINEAR : TARE_ROUTER_PARAMETER,
                                    .correction = m->selection_bias ? "gate.e_score_correction_bias" : NULL};
    desc.router.n = m->experts;
    if (m->shared > 0)
        desc.shared.hidden = tare_mul(at, m->expert_hidden, m->shared);
    tare_routed(l, at, &desc);
}

/* Tells whether this layer or one before it has an indexer, whose choice it takes. */
static bool follows(const struct tare_deepseek_desc *m, int64_t layer)
{
    while (layer >= 0 && !indexed(m, layer))
        layer--;
    return layer >= 0;
}

static void attention(struct tare_layer *l, struct tare_at at, const struct tare_deepseek_desc *m, int64_t i)
{
    struct tare_mla_desc desc = m->attention;
    tare_mla_turn(&desc, at, &(struct tare_mla_rotary){m->theta, m->scaling, m->context, m->halves});
    if (m->index_heads > 0)
        desc.index = (struct tare_index_desc){.heads = m->index_heads,
                                              .width = m->index_dim,
                                              .top = m->index_top,
                                              .halves = m->index_halves,
                                              .shared = !indexed(m, i)};
    tare_mla(l, at, &desc);
    if (m->index_heads > 0 && !follows(m, i))
        l->mixer.ops = NULL; /* no indexer chooses its keys, so it cannot run */
}

static void layer(struct tare_layer *l, struct tare_at at, const void *desc, int64_t i)
{
    const struct tare_deepseek_desc *m = desc;
    l->residual_scale = m->residual_scale;
    l->pre[0] = tare_rms_norm(at, "input_layernorm", m->dim, m->eps);
    attention(l, at, m, i);
    l->pre[1] = tare_rms_norm(at, "post_attention_layernorm", m->dim, m->eps);
    if (routed(m, i))
        experts(l, at, m);
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
                                          .logit_scale = m->logit_scale,
                                          .layer = layer,
                                          .head = m->head,
                                          .tied = m->tied});
    if (m->index_heads > 0)
        tare_slice_declare(d, TARE_SLICE_CHOSEN, tare_index_side(m->index_top));
}

static void drop_prediction(struct tare_weights *w, const struct tare_deepseek_desc *m)
{
    static const char why[] = "predicts several tokens at once, which generation does not use";
    if (m->predicts == TARE_PREDICTS_ALL)
        tare_drop_from(w, "model.layers.#", m->n_layers, why);
    for (int64_t i = 0; i < m->predicts && i < PREDICTION_LAYERS_MOST && !w->error.code; i++) {
        const char *layer = tare_arena_format(w->arena, "model.layers.%lld", (long long)(m->n_layers + i));
        if (layer)
            tare_drop(w, layer, why);
    }
}

void tare_deepseek_rewrite(struct tare_weights *w, const struct tare_deepseek_desc *m)
{
    if (m->frequencies_stored)
        tare_drop_containing(w, "rotary_emb.inv_freq", "computed from the config");
    if (m->activation_scales)
        tare_drop_exact(w, "**.*activation_scale", "scales activations that are rounded to 8 bits; none are here");
    drop_prediction(w, m);
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
