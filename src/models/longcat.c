/* SPDX-License-Identifier: MIT
 * longcat.c - LongCat-Flash's layers, and its published names. */
#include "models/longcat.h"

#include "models/experts.h"
#include "models/skeleton.h"

static void layer(struct tare_layer *l, struct tare_at at, const void *desc, int64_t i)
{
    const struct tare_longcat_desc *m = desc;
    (void)l;
    (void)i;
    for (int k = 0; k < 2; k++) {
        tare_rms_norm(tare_at(at, "input_layernorm"), k ? "1" : "0", m->dim, m->eps);
        tare_mla(tare_at(at, "self_attn.%d", k), &m->attention);
        tare_rms_norm(tare_at(at, "post_attention_layernorm"), k ? "1" : "0", m->dim, m->eps);
        tare_dense_glu(at, k ? "mlps.1" : "mlps.0", m->dim, m->hidden);
    }
    const int64_t choices = m->experts + m->zero_experts;
    tare_linear(at, "mlp.router.classifier", m->dim, choices, m->router_bias);
    tare_plain(at, "mlp.router.e_score_correction_bias", 1, choices);
    tare_switch_glu(at, "mlp.switch_mlp", m->experts, m->dim, m->expert_hidden);
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
                                          .layer = layer,
                                          .head = TARE_HEAD_OWN});
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
