/* SPDX-License-Identifier: MIT
 * bailing_hybrid.c - Ling 2.5 and Ring 2.5: linear attention, and latent attention in each group's last layer (mlx-lm:
 * models/bailing_hybrid.py). */
#include <string.h>

#include "models/family/bailing_family.h"
#include "models/family/config_words.h"
#include "models/family/decoder_skeleton.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, moe_intermediate_size, REQUIRED)                                                                          \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, num_key_value_heads, ABSENT)                                                                              \
    ARG(INT, num_experts, ABSENT)                                                                                      \
    ARG(INT, num_experts_per_tok, REQUIRED)                                                                            \
    ARG(INT, num_shared_experts, 0)                                                                                    \
    ARG(INT, n_group, 1)                                                                                               \
    ARG(INT, topk_group, 1)                                                                                            \
    ARG(INT, first_k_dense_replace, 0)                                                                                 \
    ARG(INT, layer_group_size, REQUIRED)                                                                               \
    ARG(INT, group_norm_size, REQUIRED)                                                                                \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(REAL, rope_theta, ABSENT)                                                                                      \
    ARG(INT, max_position_embeddings, REQUIRED)                                                                        \
    ARG(REAL, routed_scaling_factor, 1)                                                                                \
    ARG(INT, head_dim, ABSENT)                                                                                         \
    ARG(INT, kv_lora_rank, REQUIRED)                                                                                   \
    ARG(INT, qk_rope_head_dim, REQUIRED)                                                                               \
    ARG(INT, qk_nope_head_dim, REQUIRED)                                                                               \
    ARG(INT, v_head_dim, REQUIRED)                                                                                     \
    ARG(INT, q_lora_rank, ABSENT)                                                                                      \
    ARG(INT, moe_shared_expert_intermediate_size, ABSENT)                                                              \
    ARG(FLAG, rope_interleave, true)                                                                                   \
    ARG(REAL, partial_rotary_factor, 0.5)                                                                              \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(FLAG, use_qkv_bias, false)                                                                                     \
    ARG(FLAG, use_bias, false)                                                                                         \
    ARG(FLAG, use_qk_norm, true)                                                                                       \
    ARG(TEXT, score_function, sigmoid)                                                                                 \
    ARG(FLAG, norm_topk_prob, true)                                                                                    \
    ARG(FLAG, moe_router_enable_expert_bias, true)                                                                     \
    ARG(FLAG, tie_word_embeddings, false)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    if (a->head_dim < 1)
        a->head_dim = a->hidden_size / a->num_attention_heads;
    enum tare_code code = tare_theta_read(&a->rope_theta, "rope_theta", a->rope_parameters, d->place, d->err);
    if (!code)
        code = tare_partial_check(a->partial_rotary_factor, d->place, d->err);
    if (code)
        return code;
    const int64_t rotated = tare_share(a->head_dim, a->partial_rotary_factor);
    if (rotated < 1 || rotated % 2)
        return tare_fail(d->err, TARE_E_CONFIG, d->place,
                         "%lld of %lld dimensions of a head would rotate; expected pairs", (long long)rotated,
                         (long long)a->head_dim);
    return TARE_OK;
}

static struct tare_bailing describe(const struct args *a)
{
    const int64_t shared = a->moe_shared_expert_intermediate_size > 0
                               ? a->moe_shared_expert_intermediate_size
                               : a->moe_intermediate_size * a->num_shared_experts;
    return (struct tare_bailing){.dim = a->hidden_size,
                                 .heads = a->num_attention_heads,
                                 .head = a->head_dim,
                                 .n_layers = a->num_hidden_layers,
                                 .group = a->layer_group_size,
                                 .first_dense = a->first_k_dense_replace,
                                 .router = {TARE_BAILING_ROUTER(a, a->score_function),
                                            .normalize = a->norm_topk_prob && a->num_experts_per_tok > 1},
                                 .hidden = a->intermediate_size,
                                 .expert_hidden = a->moe_intermediate_size,
                                 .shared_hidden = a->num_shared_experts > 0 ? shared : 0,
                                 .bias = a->use_bias,
                                 .qkv_bias = a->use_qkv_bias,
                                 .qk_norm = a->use_qk_norm,
                                 .router_bias = a->moe_router_enable_expert_bias,
                                 .eps = a->rms_norm_eps};
}

static void linear(struct tare_layer *l, struct tare_at at, const struct args *a, int64_t i)
{
    const struct tare_bailing b = describe(a);
    const int64_t rotated = tare_share(a->head_dim, a->partial_rotary_factor);
    const int64_t last = a->num_hidden_layers > 1 ? a->num_hidden_layers - 1 : 1;
    tare_bailing_linear(
        l, at, &b,
        &(struct tare_bailing_linear){.depth = (double)i / (double)last,
                                      .groups = a->group_norm_size,
                                      .rope = tare_rope_read(at, rotated, a->rope_theta,
                                                             a->rope_scaling ? a->rope_scaling : a->rope_parameters,
                                                             a->max_position_embeddings)});
}

static void global(struct tare_layer *l, struct tare_at at, const struct args *a)
{
    struct tare_mla_desc mla = {TARE_BAILING_LATENT(a), .bias = a->use_qkv_bias};
    tare_mla_turn(&mla, at,
                  &(struct tare_mla_rotary){a->rope_theta, a->rope_scaling ? a->rope_scaling : a->rope_parameters,
                                            a->max_position_embeddings, !a->rope_interleave});
    tare_mla(l, at, &mla);
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct tare_bailing b = describe(args);
    if (tare_bailing_global(&b, i))
        global(l, at, args);
    else
        linear(l, at, args, i);
    tare_bailing_layer(l, at, &b, i);
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, args, d, &(struct tare_skeleton){TARE_BAILING_SKELETON(a), .layer = layer});
}

static void sanitize(struct tare_weights *w, const void *args)
{
    const struct args *a = args;
    const struct tare_bailing b = describe(a);
    tare_drop_from(w, "model.layers.#", b.n_layers, "predicts further tokens at once; not used in running");
    tare_bailing_rewrite(w, &b);
    tare_mla_rewrite(w, "model.layers.*.attention", a->num_attention_heads, a->qk_nope_head_dim, a->v_head_dim);
}

const struct tare_arch tare_arch_bailing_hybrid = {
    .name = "bailing_hybrid",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
