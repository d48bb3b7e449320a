/* SPDX-License-Identifier: MIT
 * bailing_family.c - what the Bailing models with linear attention share. */
#include "models/family/bailing_family.h"

#include "blocks/recurrent/lightning.h"
#include "models/family/published_experts.h"

bool tare_bailing_global(const struct tare_bailing *b, int64_t layer)
{
    return (layer + 1) % b->group == 0 || layer >= b->n_layers / b->group * b->group;
}

void tare_bailing_layer(struct tare_layer *l, struct tare_at at, const struct tare_bailing *b, int64_t i)
{
    l->pre[0] = tare_rms_norm(at, "input_layernorm", b->dim, b->eps);
    l->pre[1] = tare_rms_norm(at, "post_attention_layernorm", b->dim, b->eps);
    if (b->router.n > 0 && i >= b->first_dense)
        tare_routed(
            l, at,
            &(struct tare_routed_desc){.router = b->router,
                                       .dim = b->dim,
                                       .hidden = b->expert_hidden,
                                       .gate = b->router_plain ? "gate" : "gate.gate_proj",
                                       .gate_kind = b->router_plain ? TARE_ROUTER_PARAMETER : TARE_ROUTER_LINEAR,
                                       .correction = b->router_bias ? "gate.expert_bias" : NULL,
                                       .bias = b->bias,
                                       .shared.hidden = b->shared_hidden,
                                       .shared.bias = b->bias});
    else
        tare_glu(l, at, &(struct tare_glu_desc){.dim = b->dim, .hidden = b->hidden, .bias = b->bias});
}

void tare_bailing_linear(struct tare_layer *l, struct tare_at at, const struct tare_bailing *b,
                         const struct tare_bailing_linear *linear)
{
    tare_lightning(l, at,
                   &(struct tare_lightning_desc){.dim = b->dim,
                                                 .heads = b->heads,
                                                 .head = b->head,
                                                 .groups = linear->groups,
                                                 .qkv_bias = b->qkv_bias,
                                                 .bias = b->bias,
                                                 .qk_norm = b->qk_norm,
                                                 .eps = b->eps,
                                                 .strength = 1 - linear->depth + 1e-5,
                                                 .rope = linear->rope});
}

void tare_bailing_rewrite(struct tare_weights *w, const struct tare_bailing *b)
{
    tare_routed_rewrite(w, "model.layers.*.mlp", "switch_mlp", b->router.n, b->dim);
    if (!b->router_plain)
        tare_rename(w, "model.layers.*.mlp.gate.weight", "model.layers.*.mlp.gate.gate_proj.weight");
}
