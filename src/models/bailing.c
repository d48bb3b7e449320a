/* SPDX-License-Identifier: MIT
 * bailing.c - what the Bailing models with linear attention share. */
#include "models/bailing.h"

#include "models/routed.h"

bool tare_bailing_global(const struct tare_bailing *b, int64_t layer)
{
    return (layer + 1) % b->group == 0 || layer >= b->n_layers / b->group * b->group;
}

void tare_bailing_layer(struct tare_layer *l, struct tare_at at, const struct tare_bailing *b, int64_t i)
{
    l->pre[0] = tare_rms_norm(at, "input_layernorm", b->dim, b->eps);
    l->pre[1] = tare_rms_norm(at, "post_attention_layernorm", b->dim, b->eps);
    if (b->experts > 0 && i >= b->first_dense)
        tare_routed(l, at,
                    &(struct tare_routed_desc){.router = {.n = b->experts}, /* top is missing: planned only */
                                               .dim = b->dim,
                                               .hidden = b->expert_hidden,
                                               .gate = b->router_plain ? "gate" : "gate.gate_proj",
                                               .gate_bare = b->router_plain,
                                               .correction = b->router_bias ? "gate.expert_bias" : NULL,
                                               .bias = b->bias,
                                               .shared_hidden = b->shared_hidden,
                                               .shared_bias = b->bias});
    else
        tare_glu(l, at, &(struct tare_glu_desc){.dim = b->dim, .hidden = b->hidden, .bias = b->bias});
}

void tare_bailing_linear(struct tare_at at, const struct tare_bailing *b)
{
    const int64_t width = tare_mul(at, b->heads, b->head);
    tare_linear(at, "query_key_value", b->dim, tare_mul(at, 3, width), b->qkv_bias);
    tare_linear(at, "dense", width, b->dim, b->bias);
    tare_linear(at, "g_proj", b->dim, width, NO_BIAS);
    tare_rms_norm(at, "g_norm", width, b->eps); /* in groups */
    if (b->qk_norm) {
        tare_rms_norm(at, "key_layernorm", b->head, b->eps);
        tare_rms_norm(at, "query_layernorm", b->head, b->eps);
    }
}

void tare_bailing_rewrite(struct tare_weights *w, const struct tare_bailing *b)
{
    tare_routed_rewrite(w, "model.layers.*.mlp", "switch_mlp", b->experts, b->dim);
    if (!b->router_plain)
        tare_rename(w, "model.layers.*.mlp.gate.weight", "model.layers.*.mlp.gate.gate_proj.weight");
}
