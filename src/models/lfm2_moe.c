/* SPDX-License-Identifier: MIT
 * lfm2_moe.c - LFM2 with routed experts (mlx-lm: models/lfm2_moe.py). */
#include "models/family/decoder_skeleton.h"
#include "models/family/lfm2_family.h"
#include "models/family/published_experts.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, moe_intermediate_size, REQUIRED)                                                                          \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, num_experts, REQUIRED)                                                                                    \
    ARG(INT, num_experts_per_tok, REQUIRED)                                                                            \
    ARG(FLAG, norm_topk_prob, REQUIRED)                                                                                \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(INT, max_position_embeddings, REQUIRED)                                                                        \
    ARG(FLAG, use_expert_bias, REQUIRED)                                                                               \
    ARG(INT, num_dense_layers, ABSENT)                                                                                 \
    ARG(REAL, norm_eps, REQUIRED)                                                                                      \
    ARG(FLAG, conv_bias, REQUIRED)                                                                                     \
    ARG(INT, conv_L_cache, REQUIRED)                                                                                   \
    ARG(REAL, rope_theta, 1000000.0)                                                                                   \
    ARG(REAL, routed_scaling_factor, 1.0)                                                                              \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(JSON, full_attn_idxs, ABSENT)                                                                                  \
    ARG(JSON, layer_types, ABSENT)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    a->rope_theta = tare_json_real(a->rope_parameters, "rope_theta", a->rope_theta);
    if (a->num_dense_layers < 0) /* 0 is a value it may have, so it cannot be REQUIRED */
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "num_dense_layers is missing; a model of this type needs it");
    return tare_lfm2_check(a->full_attn_idxs, a->layer_types, a->num_hidden_layers, d);
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    tare_lfm2_layer(l, at, &(struct tare_lfm2_desc){TARE_LFM2(a)}, i);
    if (i < a->num_dense_layers) {
        tare_glu(
            l, at,
            &(struct tare_glu_desc){.name = "feed_forward", .dim = a->hidden_size, .hidden = a->intermediate_size});
        return;
    }
    tare_routed(l, at,
                &(struct tare_routed_desc){.name = "feed_forward",
                                           .router = {.n = a->num_experts,
                                                      .top = a->num_experts_per_tok,
                                                      .score = TARE_SCORE_SIGMOID,
                                                      .normalize = a->norm_topk_prob,
                                                      .floor = 1e-6,
                                                      .scale = a->routed_scaling_factor},
                                           .dim = a->hidden_size,
                                           .hidden = a->moe_intermediate_size,
                                           .correction = a->use_expert_bias ? "expert_bias" : NULL});
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, a, d,
                  &(struct tare_skeleton){TARE_SKELETON_SIZES(a), .norm_name = "embedding_norm",
                                          .context = a->max_position_embeddings, .eps = a->norm_eps, .layer = layer,
                                          .head = TARE_HEAD_NONE, .tied = true});
}

static void sanitize(struct tare_weights *w, const void *args)
{
    const struct args *a = args;
    tare_lfm2_sanitize(w, a);
    tare_rename(w, "model.layers.*.feed_forward.w1.weight", "model.layers.*.feed_forward.gate_proj.weight");
    tare_rename(w, "model.layers.*.feed_forward.w2.weight", "model.layers.*.feed_forward.down_proj.weight");
    tare_rename(w, "model.layers.*.feed_forward.w3.weight", "model.layers.*.feed_forward.up_proj.weight");
    tare_experts_rewrite(w, &(struct tare_experts_desc){.from = "model.layers.*.feed_forward.experts",
                                                        .to = "model.layers.*.feed_forward.switch_mlp",
                                                        .n = a->num_experts,
                                                        .dim = a->hidden_size});
}

const struct tare_arch tare_arch_lfm2_moe = {
    .name = "lfm2_moe",
    .runs = true,
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .transformers_tied = true,
};
