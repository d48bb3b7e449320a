/* SPDX-License-Identifier: MIT
 * bailing_moe.c - Ling's first models (mlx-lm: models/bailing_moe.py). */
#include <string.h>

#include "models/family/config_words.h"
#include "models/family/published_experts.h"
#include "models/family/routed_decoder.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, max_position_embeddings, REQUIRED)                                                                        \
    ARG(INT, moe_intermediate_size, REQUIRED)                                                                          \
    ARG(INT, num_experts, ABSENT)                                                                                      \
    ARG(INT, num_shared_experts, 0)                                                                                    \
    ARG(FLAG, norm_topk_prob, REQUIRED)                                                                                \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, num_experts_per_tok, REQUIRED)                                                                            \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(REAL, rope_theta, ABSENT)                                                                                      \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, first_k_dense_replace, 0)                                                                                 \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(FLAG, use_bias, false)                                                                                         \
    ARG(FLAG, use_qkv_bias, false)                                                                                     \
    ARG(FLAG, norm_head, false)                                                                                        \
    ARG(FLAG, norm_softmax, false)                                                                                     \
    ARG(FLAG, use_qk_norm, false)                                                                                      \
    ARG(FLAG, tie_word_embeddings, false)                                                                              \
    ARG(REAL, partial_rotary_factor, 1.0)                                                                              \
    ARG(INT, rotary_dim, ABSENT)                                                                                       \
    ARG(FLAG, moe_router_enable_expert_bias, false)                                                                    \
    ARG(FLAG, moe_router_enable_routed_scaling, true)                                                                  \
    ARG(REAL, routed_scaling_factor, 1.0)                                                                              \
    ARG(TEXT, score_function, softmax)                                                                                 \
    ARG(INT, n_group, 1)                                                                                               \
    ARG(INT, topk_group, 4)                                                                                            \
    ARG(INT, moe_shared_expert_intermediate_size, ABSENT)                                                              \
    ARG(FLAG, moe_router_enable_shared_expert, true)                                                                   \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(TEXT, hidden_act, silu)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    return tare_partial_check(((const struct args *)args)->partial_rotary_factor, d->place, d->err);
}

static int64_t shared_hidden(const struct args *a)
{
    const int64_t each =
        a->moe_shared_expert_intermediate_size > 0 ? a->moe_shared_expert_intermediate_size : a->moe_intermediate_size;
    return a->moe_router_enable_shared_expert ? each * a->num_shared_experts : 0;
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    const double share = (double)a->rotary_dim * (double)a->num_attention_heads / (double)a->hidden_size;
    tare_routed_dense(
        root, d,
        &(struct tare_routed_dense){
            .dense = {TARE_DENSE_LLAMA(a), .skeleton.embedding = "word_embeddings", .attention.name = "attention",
                      .attention.qkv_name = "query_key_value", .attention.o_name = "dense",
                      .attention.bias = a->use_qkv_bias, .attention.o_bias = a->use_bias, .ffn.bias = a->use_bias,
                      .rotated = a->rotary_dim > 0 ? share : a->partial_rotary_factor,
                      .attention.qk_norm.q_name = "query_layernorm", .attention.qk_norm.k_name = "key_layernorm",
                      .attention.qk_norm.kind = a->use_qk_norm ? TARE_QK_NORM_RMS : TARE_QK_NORM_NONE},
            .first = a->num_experts < 0 ? INT64_MAX : a->first_k_dense_replace,
            .routed = {.router = {.n = a->num_experts,
                                  .top = a->num_experts_per_tok,
                                  .score =
                                      strcmp(a->score_function, "sigmoid") ? TARE_SCORE_SOFTMAX : TARE_SCORE_SIGMOID,
                                  .normalize = a->norm_topk_prob && a->num_experts_per_tok > 1,
                                  .scale = a->routed_scaling_factor,
                                  .groups = a->n_group,
                                  .top_groups = a->topk_group},
                       .hidden = a->moe_intermediate_size,
                       .gate = "gate.gate_proj",
                       .correction = a->moe_router_enable_expert_bias ? "gate.expert_bias" : NULL,
                       .bias = a->use_bias,
                       .shared.hidden = shared_hidden(a),
                       .shared.bias = a->use_bias},
        });
}

static void sanitize(struct tare_weights *w, const void *args)
{
    const struct args *a = args;
    tare_routed_rewrite(w, "model.layers.*.mlp", "switch_mlp", a->num_experts, a->hidden_size);
    tare_rename(w, "model.layers.*.mlp.gate.weight", "model.layers.*.mlp.gate.gate_proj.weight");
    tare_rename(w, "model.layers.*.mlp.gate.bias", "model.layers.*.mlp.gate.gate_proj.bias");
    if (a->norm_head)
        tare_divide_by_norm(w, "lm_head.weight", 0);
}

const struct tare_arch tare_arch_bailing_moe = {
    .name = "bailing_moe",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
