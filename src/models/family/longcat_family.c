/* SPDX-License-Identifier: MIT
 * longcat_family.c - LongCat-Flash's layers, and its published names. */
#include "models/family/longcat_family.h"

#include "blocks/feed_forward/mixture_variant.h"
#include <math.h>

#include "blocks/feed_forward/shortcut.h"
#include "models/family/decoder_skeleton.h"
#include "models/family/published_experts.h"

double tare_longcat_scale(bool asked, int64_t dim, int64_t rank)
{
    return asked && rank > 0 ? sqrt((double)dim / (double)rank) : 1;
}

/* Declares one of the two attentions and one of the two dense networks; each pair is a layer of the decoder. */
static void half(struct tare_layer *l, struct tare_at at, const struct tare_longcat_desc *m, int which)
{
    struct tare_mla_desc attention = m->attention;
    attention.name = which ? "self_attn.1" : "self_attn.0";
    tare_mla_turn(&attention, at,
                  &(struct tare_mla_rotary){.theta = m->theta, .scaling = m->scaling, .context = m->context});
    l->pre[0] = tare_rms_norm(tare_at(at, "input_layernorm"), which ? "1" : "0", m->dim, m->eps);
    tare_mla(l, at, &attention);
    l->pre[1] = tare_rms_norm(tare_at(at, "post_attention_layernorm"), which ? "1" : "0", m->dim, m->eps);
    tare_glu(l, at, &(struct tare_glu_desc){.name = which ? "mlps.1" : "mlps.0", .dim = m->dim, .hidden = m->hidden});
}

static void first(struct tare_layer *l, struct tare_at at, const void *desc, int64_t i)
{
    (void)i;
    half(l, at, desc, 0);
}

static struct tare_block experts(struct tare_at at, const struct tare_longcat_desc *m)
{
    struct tare_layer l = {.ffn.ops = NULL};
    struct tare_routed_desc desc = {.router = m->router,
                                    .dim = m->dim,
                                    .hidden = m->expert_hidden,
                                    .gate = "router.classifier",
                                    .gate_kind = m->router_bias ? TARE_ROUTER_LINEAR_BIAS : TARE_ROUTER_LINEAR,
                                    .correction = "router.e_score_correction_bias",
                                    .variant = &(struct tare_mixture_variant){.idle = m->zero_experts}};
    desc.router.n = m->experts + m->zero_experts;
    tare_routed(&l, at, &desc);
    return m->runs ? l.ffn : (struct tare_block){NULL, NULL};
}

void tare_longcat(struct tare_at root, struct tare_decoder *d, const struct tare_longcat_desc *m)
{
    tare_skeleton(root, m, d,
                  &(struct tare_skeleton){.embedding = m->embedding,
                                          .dim = m->dim,
                                          .vocabulary = m->vocabulary,
                                          .n_layers = m->n_layers,
                                          .context = m->context,
                                          .eps = m->eps,
                                          .layer = first,
                                          .head = TARE_HEAD_OWN});
    const struct tare_layer *once = d->layers;
    const int64_t n = d->n_layers;
    struct tare_layer *l = tare_layers(d, 2 * n);
    tare_slice_declare(d, TARE_SLICE_LATER, m->dim);
    for (int64_t i = 0; l && i < n && !root.tree->error.code; i++, l += 2) {
        const struct tare_at at = tare_at(root, "model.layers.%lld", (long long)i);
        l[0] = once[i];
        half(&l[1], at, m, 1);
        tare_shortcut(&l[0], experts(at, m), &l[1], root.tree->arena);
    }
}

void tare_longcat_rewrite(struct tare_weights *w, const struct tare_longcat_desc *m)
{
    tare_drop(w, "model.mtp*", "a layer of multi-token prediction, which generation does not use");
    tare_experts_rewrite(w, &(struct tare_experts_desc){.from = "model.layers.*.mlp.experts",
                                                        .to = "model.layers.*.mlp.switch_mlp",
                                                        .n = m->experts,
                                                        .dim = m->dim});
    tare_mla_rewrite(w, "model.layers.*.self_attn.*", m->attention.heads, m->attention.nope, m->attention.v);
}
