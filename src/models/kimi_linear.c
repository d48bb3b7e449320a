/* SPDX-License-Identifier: MIT
 * kimi_linear.c - Kimi Linear: three layers of delta attention to one of latent attention (mlx-lm:
 * models/kimi_linear.py). */
#include <string.h>

#include "models/family/decoder_skeleton.h"
#include "models/family/kimi_family.h"
#include "models/family/mla_family.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, num_key_value_heads, ABSENT)                                                                              \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, head_dim, ABSENT)                                                                                         \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(JSON, linear_attn_config, REQUIRED)                                                                            \
    ARG(INT, model_max_length, ABSENT)                                                                                 \
    ARG(INT, num_experts, 0)                                                                                           \
    ARG(INT, moe_intermediate_size, ABSENT)                                                                            \
    ARG(INT, kv_lora_rank, REQUIRED)                                                                                   \
    ARG(FLAG, tie_word_embeddings, false)                                                                              \
    ARG(INT, qk_nope_head_dim, ABSENT)                                                                                 \
    ARG(INT, qk_rope_head_dim, 0)                                                                                      \
    ARG(INT, v_head_dim, ABSENT)                                                                                       \
    ARG(INT, num_experts_per_token, 1)                                                                                 \
    ARG(INT, num_shared_experts, 0)                                                                                    \
    ARG(TEXT, moe_router_activation_func, sigmoid)                                                                     \
    ARG(FLAG, moe_renormalize, true)                                                                                   \
    ARG(REAL, routed_scaling_factor, 1)                                                                                \
    ARG(INT, first_k_dense_replace, 0)                                                                                 \
    ARG(INT, moe_layer_freq, 1)                                                                                        \
    ARG(INT, num_expert_group, 1)                                                                                      \
    ARG(INT, topk_group, 1)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    if (a->qk_nope_head_dim < 1)
        a->qk_nope_head_dim = a->head_dim;
    if (a->v_head_dim < 1)
        a->v_head_dim = a->head_dim;
    if (a->qk_nope_head_dim < 1 || a->v_head_dim < 1)
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "head_dim is missing; a model of this type needs it");
    return tare_kimi_check(a->linear_attn_config, a->moe_layer_freq, d->place, d->err);
}

static void attention(struct tare_layer *l, struct tare_at parent, const struct args *a, int64_t i)
{
    struct tare_delta_desc delta = {.name = "self_attn",
                                    .dim = a->hidden_size,
                                    .eps = a->rms_norm_eps,
                                    .spelling = TARE_DELTA_NESTED,
                                    .decay = TARE_DECAY_LOW_RANK,
                                    .gate_low_rank = true,
                                    .gate_sigmoid = true,
                                    .four_axes = true};
    if (tare_kimi_delta(&delta, a->linear_attn_config, i))
        tare_delta(l, parent, &delta);
    else
        tare_mla(l, parent,
                 &(struct tare_mla_desc){.dim = a->hidden_size,
                                         .heads = a->num_attention_heads,
                                         .kv_rank = a->kv_lora_rank,
                                         .nope = a->qk_nope_head_dim,
                                         .rope = a->qk_rope_head_dim,
                                         .v = a->v_head_dim,
                                         .eps = a->rms_norm_eps});
}

/* Experts of groups that lost are never chosen, as with the authors; mlx-lm gives them the score 0, which beats a
 * negative one. Another function than these two is not known: no expert is chosen, and the block does not run. */
static struct tare_router router(const struct args *a)
{
    const bool softmax = !strcmp(a->moe_router_activation_func, "softmax");
    const bool known = softmax || !strcmp(a->moe_router_activation_func, "sigmoid");
    return (struct tare_router){.n = a->num_experts,
                                .top = known ? a->num_experts_per_token : 0,
                                .score = softmax ? TARE_SCORE_SOFTMAX : TARE_SCORE_SIGMOID,
                                .normalize = a->moe_renormalize && a->num_experts_per_token > 1,
                                .scale = a->routed_scaling_factor,
                                .groups = a->num_expert_group,
                                .top_groups = a->topk_group};
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    attention(l, at, a, i);
    tare_kimi_layer(l, at,
                    &(struct tare_kimi){.dim = a->hidden_size,
                                        .hidden = a->intermediate_size,
                                        .router = router(a),
                                        .expert_hidden = a->moe_intermediate_size,
                                        .first_dense = a->first_k_dense_replace,
                                        .every = a->moe_layer_freq,
                                        .shared = a->num_shared_experts,
                                        .eps = a->rms_norm_eps},
                    i);
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, args, d,
                  &(struct tare_skeleton){TARE_SKELETON_SIZES(a), .context = a->model_max_length,
                                          .eps = a->rms_norm_eps, .layer = layer, TARE_SKELETON_TIED(a)});
}

static void sanitize(struct tare_weights *w, const void *args)
{
    const struct args *a = args;
    tare_drop(w, "model.mtp*", "predicts further tokens at once; not used in running");
    tare_kimi_rewrite(w, a->num_experts);
    tare_mla_rewrite(w, "model.layers.*.self_attn", a->num_attention_heads, a->qk_nope_head_dim, a->v_head_dim);
}

const struct tare_arch tare_arch_kimi_linear = {
    .name = "kimi_linear",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
