/* SPDX-License-Identifier: MIT
 * deepseek.c - DeepSeek-MoE (mlx-lm: models/deepseek.py). */
#include "models/family/published_experts.h"
#include "models/family/routed_decoder.h"

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
    tare_routed_dense(
        root, d,
        &(struct tare_routed_dense){
            .dense = {TARE_DENSE_USUAL(a), .skeleton.eps = a->rms_norm_eps, .skeleton.head = TARE_HEAD_OWN,
                      .attention.bias = a->attention_bias, .attention.o_bias = a->attention_bias, .args = a},
            .is_routed = routed,
            .routed = {.router = {.n = a->n_routed_experts, .top = a->num_experts_per_tok},
                       .hidden = a->moe_intermediate_size,
                       .gate_kind = TARE_ROUTER_PARAMETER,
                       .shared.hidden = a->moe_intermediate_size * a->n_shared_experts},
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
    .runs = true,
};
