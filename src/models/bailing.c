/* SPDX-License-Identifier: MIT
 * bailing.c - what the Bailing models with linear attention share. */
#include "models/bailing.h"

#include "models/experts.h"

bool tare_bailing_global(const struct tare_bailing *b, int64_t layer)
{
    return (layer + 1) % b->group == 0 || layer >= b->n_layers / b->group * b->group;
}

static void routed(struct tare_at at, const struct tare_bailing *b)
{
    const struct tare_at experts = tare_at(at, "switch_mlp");
    tare_experts(experts, "gate_proj", b->experts, b->dim, b->expert_hidden, b->bias);
    tare_experts(experts, "up_proj", b->experts, b->dim, b->expert_hidden, b->bias);
    tare_experts(experts, "down_proj", b->experts, b->expert_hidden, b->dim, b->bias);
    if (b->router_plain)
        tare_plain(at, "gate.weight", 2, b->experts, b->dim);
    else
        tare_linear(at, "gate.gate_proj", b->dim, b->experts, NO_BIAS);
    if (b->router_bias)
        tare_plain(at, "gate.expert_bias", 1, b->experts);
}

void tare_bailing_layer(struct tare_layer *l, struct tare_at at, const struct tare_bailing *b, int64_t i)
{
    const bool experts = b->experts > 0 && i >= b->first_dense;
    l->pre[0] = tare_rms_norm(at, "input_layernorm", b->dim, b->eps);
    l->pre[1] = tare_rms_norm(at, "post_attention_layernorm", b->dim, b->eps);
    if (!experts || b->shared_hidden > 0)
        tare_glu(l, at,
                 &(struct tare_glu_desc){.name = experts ? "mlp.shared_experts" : "mlp",
                                         .dim = b->dim,
                                         .hidden = experts ? b->shared_hidden : b->hidden,
                                         .bias = b->bias});
    if (experts) {
        routed(tare_at(at, "mlp"), b);
        l->ffn = (struct tare_block){0}; /* no block runs experts */
    }
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

void tare_bailing_mla(struct tare_at at, const struct tare_mla_desc *d)
{
    const int64_t q = tare_mul(at, d->heads, d->nope + d->rope);
    tare_linear(at, "kv_a_proj_with_mqa", d->dim, d->kv_rank + d->rope, d->bias);
    tare_rms_norm(at, "kv_a_layernorm", d->kv_rank, d->eps);
    tare_experts(at, "embed_q", d->heads, d->nope, d->kv_rank, NO_BIAS);
    tare_experts(at, "unembed_out", d->heads, d->kv_rank, d->v, NO_BIAS);
    tare_linear(at, "dense", tare_mul(at, d->heads, d->v), d->dim, d->bias);
    if (d->q_rank < 1) {
        tare_linear(at, "q_proj", d->dim, q, NO_BIAS);
        return;
    }
    tare_linear(at, "q_a_proj", d->dim, d->q_rank, d->bias);
    tare_rms_norm(at, "q_a_layernorm", d->q_rank, d->eps);
    tare_linear(at, "q_b_proj", d->q_rank, q, NO_BIAS);
}

void tare_bailing_rewrite(struct tare_weights *w, const struct tare_bailing *b)
{
    tare_sparse_rewrite(w, "mlp", b->experts, b->dim);
    if (b->bias) {
        tare_stack(w, "model.layers.*.mlp.experts.#.gate_proj.bias", "model.layers.*.mlp.switch_mlp.gate_proj.bias",
                   b->experts);
        tare_stack(w, "model.layers.*.mlp.experts.#.up_proj.bias", "model.layers.*.mlp.switch_mlp.up_proj.bias",
                   b->experts);
        tare_stack(w, "model.layers.*.mlp.experts.#.down_proj.bias", "model.layers.*.mlp.switch_mlp.down_proj.bias",
                   b->experts);
    }
    if (!b->router_plain)
        tare_rename(w, "model.layers.*.mlp.gate.weight", "model.layers.*.mlp.gate.gate_proj.weight");
}
