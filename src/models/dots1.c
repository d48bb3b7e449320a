/* SPDX-License-Identifier: MIT
 * dots1.c - dots.llm1 (mlx-lm: models/dots1.py). */
#include "models/family/published_experts.h"
#include "models/family/routed_decoder.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, max_position_embeddings, ABSENT)                                                                          \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(INT, first_k_dense_replace, 0)                                                                                 \
    ARG(INT, moe_intermediate_size, REQUIRED)                                                                          \
    ARG(INT, n_routed_experts, REQUIRED)                                                                               \
    ARG(INT, n_shared_experts, REQUIRED)                                                                               \
    ARG(FLAG, norm_topk_prob, REQUIRED)                                                                                \
    ARG(INT, num_experts_per_tok, REQUIRED)                                                                            \
    ARG(REAL, rope_theta, ABSENT)                                                                                      \
    ARG(REAL, routed_scaling_factor, REQUIRED)                                                                         \
    ARG(INT, head_dim, ABSENT)                                                                                         \
    ARG(TEXT, scoring_func, noaux_tc)                                                                                  \
    ARG(INT, n_group, 1)                                                                                               \
    ARG(INT, topk_group, 1)                                                                                            \
    ARG(FLAG, attention_bias, false)                                                                                   \
    ARG(FLAG, mlp_bias, false)                                                                                         \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(FLAG, tie_word_embeddings, false)                                                                              \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(TEXT, hidden_act, silu)
TARE_ARGS(ARGS);

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_routed_dense(root, d,
                      &(struct tare_routed_dense){
                          .dense = {TARE_DENSE_LLAMA(a), .attention.head_dim = a->head_dim,
                                    .attention.qk_norm.kind = TARE_QK_NORM_RMS, /* attention_bias: read and ignored */
                                    .ffn.bias = a->mlp_bias},
                          .first = a->first_k_dense_replace,
                          .routed = {.router = {.n = a->n_routed_experts,
                                                .top = a->num_experts_per_tok,
                                                .score = TARE_SCORE_SIGMOID,
                                                .normalize = a->norm_topk_prob,
                                                .scale = a->routed_scaling_factor,
                                                .groups = a->n_group,
                                                .top_groups = a->topk_group},
                                     .hidden = a->moe_intermediate_size,
                                     .gate_kind = TARE_ROUTER_PARAMETER,
                                     .correction = "gate.e_score_correction_bias",
                                     .experts = "experts",
                                     .shared.hidden = a->moe_intermediate_size * a->n_shared_experts,
                                     .shared.bias = a->mlp_bias},
                      });
}

static void sanitize(struct tare_weights *w, const void *args)
{
    const struct args *a = args;
    tare_drop_containing(w, "rotary_emb.inv_freq", "precomputed rotary frequencies, not a parameter");
    tare_routed_rewrite(w, "model.layers.*.mlp", "experts", a->n_routed_experts, a->hidden_size);
}

const struct tare_arch tare_arch_dots1 = {
    .name = "dots1",
    .args = &args_info,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
