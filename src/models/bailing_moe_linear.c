/* SPDX-License-Identifier: MIT
 * bailing_moe_linear.c - Ling 2 and Ring 2 with linear attention (mlx-lm: models/bailing_moe_linear.py). */
#include <string.h>

#include "models/family/bailing_family.h"
#include "models/family/config_words.h"
#include "models/family/decoder_skeleton.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, max_position_embeddings, REQUIRED)                                                                        \
    ARG(INT, moe_intermediate_size, REQUIRED)                                                                          \
    ARG(INT, num_experts, ABSENT)                                                                                      \
    ARG(INT, num_shared_experts, 0)                                                                                    \
    ARG(FLAG, norm_topk_prob, false)                                                                                   \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, num_experts_per_tok, REQUIRED)                                                                            \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(REAL, rope_theta, ABSENT)                                                                                      \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, first_k_dense_replace, 0)                                                                                 \
    ARG(INT, layer_group_size, REQUIRED)                                                                               \
    ARG(INT, group_norm_size, REQUIRED)                                                                                \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(FLAG, rope_traditional, false)                                                                                 \
    ARG(FLAG, use_bias, false)                                                                                         \
    ARG(FLAG, use_qkv_bias, false)                                                                                     \
    ARG(FLAG, norm_head, false)                                                                                        \
    ARG(FLAG, use_qk_norm, false)                                                                                      \
    ARG(FLAG, tie_word_embeddings, false)                                                                              \
    ARG(REAL, partial_rotary_factor, 1)                                                                                \
    ARG(FLAG, moe_router_enable_expert_bias, false)                                                                    \
    ARG(FLAG, moe_router_enable_routed_scaling, true)                                                                  \
    ARG(REAL, routed_scaling_factor, 1)                                                                                \
    ARG(TEXT, score_function, softmax)                                                                                 \
    ARG(INT, n_group, 1)                                                                                               \
    ARG(INT, topk_group, 4)                                                                                            \
    ARG(INT, moe_shared_expert_intermediate_size, ABSENT)                                                              \
    ARG(FLAG, moe_router_enable_shared_expert, true)                                                                   \
    ARG(INT, head_dim, ABSENT)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    if (a->tie_word_embeddings && a->norm_head)
        return tare_fail(d->err, TARE_E_CONFIG, d->place,
                         "norm_head is true, and so is tie_word_embeddings; a tied "
                         "head cannot be normed");
    enum tare_code code = tare_theta_read(&a->rope_theta, "rope_theta", a->rope_parameters, d->place, d->err);
    return code ? code : tare_partial_check(a->partial_rotary_factor, d->place, d->err);
}

static struct tare_bailing describe(const struct args *a)
{
    const int64_t one =
        a->moe_shared_expert_intermediate_size > 0 ? a->moe_shared_expert_intermediate_size : a->moe_intermediate_size;
    return (struct tare_bailing){.dim = a->hidden_size,
                                 .heads = a->num_attention_heads,
                                 .head = a->hidden_size / a->num_attention_heads,
                                 .n_layers = a->num_hidden_layers,
                                 .group = a->layer_group_size,
                                 .first_dense = a->first_k_dense_replace,
                                 .router = {TARE_BAILING_ROUTER(a, a->score_function),
                                            .normalize = a->norm_topk_prob && a->num_experts_per_tok > 1},
                                 .hidden = a->intermediate_size,
                                 .expert_hidden = a->moe_intermediate_size,
                                 .shared_hidden = a->moe_router_enable_shared_expert ? one * a->num_shared_experts : 0,
                                 .bias = a->use_bias,
                                 .qkv_bias = a->use_qkv_bias,
                                 .qk_norm = a->use_qk_norm,
                                 .router_bias = a->moe_router_enable_expert_bias,
                                 .eps = a->rms_norm_eps};
}

static struct tare_rope rope(struct tare_at at, const struct args *a, int64_t head)
{
    struct tare_rope rope =
        tare_rope_read(at, tare_share(head, a->partial_rotary_factor), a->rope_theta,
                       a->rope_scaling ? a->rope_scaling : a->rope_parameters, a->max_position_embeddings);
    rope.interleaved = a->rope_traditional;
    return rope;
}

static void global(struct tare_layer *l, struct tare_at at, const struct args *a, const struct tare_bailing *b)
{
    const int64_t head = a->head_dim > 0 ? a->head_dim : b->head;
    tare_gqa(l, at,
             &(struct tare_gqa_desc){.name = "attention",
                                     .qkv_name = "query_key_value",
                                     .o_name = "dense",
                                     .dim = b->dim,
                                     .heads = b->heads,
                                     .kv_heads = a->num_key_value_heads,
                                     .head_dim = head,
                                     .bias = b->qkv_bias,
                                     .o_bias = b->bias,
                                     .qk_norm.kind = b->qk_norm ? TARE_QK_NORM_RMS : TARE_QK_NORM_NONE,
                                     .qk_norm.q_name = "query_layernorm",
                                     .qk_norm.k_name = "key_layernorm",
                                     .qk_norm.eps = b->eps,
                                     .rope = rope(at, a, head)});
}

/* The first two layers forget alike. (Experts of groups that lost are never chosen, as with the authors; mlx-lm gives
 * them the score 0 here, which beats a negative one.) */
static void linear(struct tare_layer *l, struct tare_at at, const struct args *a, int64_t i)
{
    const struct tare_bailing b = describe(a);
    const int64_t last = a->num_hidden_layers > 1 ? a->num_hidden_layers - 1 : 1;
    tare_bailing_linear(l, at, &b,
                        &(struct tare_bailing_linear){.depth = i > 0 ? (double)(i - 1) / (double)last : 0,
                                                      .groups = a->group_norm_size,
                                                      .rope = rope(at, a, b.head)});
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct tare_bailing b = describe(args);
    if (tare_bailing_global(&b, i))
        global(l, at, args, &b);
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
    tare_bailing_rewrite(w, &b);
    if (a->norm_head)
        tare_divide_by_norm(w, "lm_head.weight", 0);
}

const struct tare_arch tare_arch_bailing_moe_linear = {
    .name = "bailing_moe_linear",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
