/* SPDX-License-Identifier: MIT
 * Klear.c - Klear (mlx-lm: models/Klear.py): routed experts beside a shared one, whose outputs a gate weighs. */
#include "blocks/feed_forward/mixture_variant.h"
#include "models/family/published_experts.h"
#include "models/family/qwen_experts.h"
#include "models/family/routed_decoder.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(FLAG, attention_bias, REQUIRED)                                                                                \
    ARG(JSON, mlp_only_layers, REQUIRED)                                                                               \
    ARG(INT, num_experts, ABSENT)                                                                                      \
    ARG(INT, num_experts_per_tok, REQUIRED)                                                                            \
    ARG(INT, decoder_sparse_step, REQUIRED)                                                                            \
    ARG(INT, n_shared_experts, REQUIRED)                                                                               \
    ARG(INT, moe_intermediate_size, REQUIRED)                                                                          \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(REAL, rope_theta, ABSENT)                                                                                      \
    ARG(INT, max_position_embeddings, REQUIRED)                                                                        \
    ARG(FLAG, norm_topk_prob, REQUIRED)                                                                                \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(TEXT, hidden_act, silu)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    const struct args *a = args;
    return tare_sparse_check(a->mlp_only_layers, a->decoder_sparse_step, d->place, d->err);
}

static bool routed(const void *args, int64_t layer)
{
    const struct args *a = args;
    return a->num_experts > 0 && tare_sparse_layer(a->mlp_only_layers, a->decoder_sparse_step, layer);
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_routed_dense(
        root, d,
        &(struct tare_routed_dense){
            .dense = {TARE_DENSE_USUAL(a), .skeleton.eps = a->rms_norm_eps, .skeleton.head = TARE_HEAD_OWN,
                      .attention.bias = a->attention_bias, .attention.o_bias = a->attention_bias,
                      .attention.qk_norm.kind = TARE_QK_NORM_RMS, .args = a},
            .is_routed = routed,
            .routed = {.router = {.n = a->num_experts,
                                  .top = a->num_experts_per_tok,
                                  .score = TARE_SCORE_SIGMOID,
                                  .normalize = a->norm_topk_prob},
                       .hidden = a->moe_intermediate_size,
                       .correction = "expert_bias",
                       .experts = "experts",
                       .shared.hidden = a->moe_intermediate_size * a->n_shared_experts,
                       .variant = &(struct tare_mixture_variant){.mix = "coefficient"}},
        });
}

static void sanitize(struct tare_weights *w, const void *args)
{
    const struct args *a = args;
    tare_routed_rewrite(w, "model.layers.*.mlp", "experts", a->num_experts, a->hidden_size);
}

const struct tare_arch tare_arch_Klear = {
    .name = "Klear",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
