/* SPDX-License-Identifier: MIT
 * glm4_moe.c - GLM-4.5, and Solar Open, which is the same (mlx-lm: models/glm4_moe.py, solar_open.py). */
#include <string.h>

#include "models/family/config_words.h"
#include "models/family/published_experts.h"
#include "models/family/routed_decoder.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, intermediate_size, ABSENT)                                                                                \
    ARG(INT, max_position_embeddings, REQUIRED)                                                                        \
    ARG(INT, moe_intermediate_size, REQUIRED)                                                                          \
    ARG(FLAG, norm_topk_prob, REQUIRED)                                                                                \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, n_group, 1)                                                                                               \
    ARG(INT, head_dim, REQUIRED)                                                                                       \
    ARG(INT, topk_group, 1)                                                                                            \
    ARG(INT, n_shared_experts, ABSENT)                                                                                 \
    ARG(INT, n_routed_experts, ABSENT)                                                                                 \
    ARG(REAL, routed_scaling_factor, REQUIRED)                                                                         \
    ARG(INT, num_experts_per_tok, REQUIRED)                                                                            \
    ARG(INT, first_k_dense_replace, ABSENT)                                                                            \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(REAL, rope_theta, ABSENT)                                                                                      \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(FLAG, use_qk_norm, false)                                                                                      \
    ARG(FLAG, tie_word_embeddings, REQUIRED)                                                                           \
    ARG(FLAG, attention_bias, false)                                                                                   \
    ARG(REAL, partial_rotary_factor, ABSENT)                                                                           \
    ARG(TEXT, scoring_func, sigmoid)                                                                                   \
    ARG(TEXT, topk_method, noaux_tc)                                                                                   \
    ARG(TEXT, model_type, glm4_moe)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(TEXT, hidden_act, silu)
TARE_ARGS(ARGS);

/* What transformers 5 leaves out of a config of Solar Open, whose layers are all routed. */
static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    const bool solar = !strcmp(a->model_type, "solar_open");
    if (a->first_k_dense_replace < 0)
        a->first_k_dense_replace = solar ? 0 : 1;
    if (isnan(a->partial_rotary_factor))
        a->partial_rotary_factor = tare_json_real(a->rope_parameters, "partial_rotary_factor", solar ? 1 : 0.5);
    if (tare_topk_method_check(a->topk_method, d->place, d->err))
        return d->err->code;
    return tare_partial_check(a->partial_rotary_factor, d->place, d->err);
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_routed_dense(
        root, d,
        &(struct tare_routed_dense){
            .dense = {TARE_DENSE_USUAL(a), .skeleton.eps = a->rms_norm_eps, .skeleton.head = TARE_HEAD_OWN,
                      .attention.head_dim = a->head_dim, .attention.bias = a->attention_bias,
                      .attention.qk_norm.kind = a->use_qk_norm ? TARE_QK_NORM_RMS : TARE_QK_NORM_NONE,
                      .rotated = a->partial_rotary_factor},
            .first = a->n_routed_experts < 0 ? INT64_MAX : a->first_k_dense_replace,
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
                       .shared.hidden = a->moe_intermediate_size * a->n_shared_experts},
        });
}

static void sanitize(struct tare_weights *w, const void *args)
{
    const struct args *a = args;
    const char *prediction = tare_arena_format(w->arena, "model.layers.%lld", (long long)a->num_hidden_layers);
    tare_routed_rewrite(w, "model.layers.*.mlp", "switch_mlp", a->n_routed_experts, a->hidden_size);
    if (prediction)
        tare_drop(w, prediction, "predicts further tokens; not part of the decoder");
    else
        tare_fail_memory(&w->error);
}

const struct tare_arch tare_arch_glm4_moe = {
    .name = "glm4_moe",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
