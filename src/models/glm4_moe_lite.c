/* SPDX-License-Identifier: MIT
 * glm4_moe_lite.c - GLM-4.7-Flash (mlx-lm: models/glm4_moe_lite.py). */
#include "models/family/config_words.h"
#include "models/family/deepseek_family.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, vocab_size, 154880)                                                                                       \
    ARG(INT, hidden_size, 2048)                                                                                        \
    ARG(INT, intermediate_size, 10240)                                                                                 \
    ARG(INT, moe_intermediate_size, 1536)                                                                              \
    ARG(INT, num_hidden_layers, 47)                                                                                    \
    ARG(INT, num_attention_heads, 20)                                                                                  \
    ARG(INT, num_key_value_heads, 20)                                                                                  \
    ARG(INT, n_shared_experts, 1)                                                                                      \
    ARG(INT, n_routed_experts, 64)                                                                                     \
    ARG(REAL, routed_scaling_factor, 1.8)                                                                              \
    ARG(INT, kv_lora_rank, 512)                                                                                        \
    ARG(INT, q_lora_rank, 768)                                                                                         \
    ARG(INT, qk_rope_head_dim, 64)                                                                                     \
    ARG(INT, qk_nope_head_dim, 192)                                                                                    \
    ARG(INT, v_head_dim, 256)                                                                                          \
    ARG(TEXT, topk_method, noaux_tc)                                                                                   \
    ARG(TEXT, scoring_func, sigmoid)                                                                                   \
    ARG(FLAG, norm_topk_prob, true)                                                                                    \
    ARG(INT, n_group, 1)                                                                                               \
    ARG(INT, topk_group, 1)                                                                                            \
    ARG(INT, num_experts_per_tok, 4)                                                                                   \
    ARG(INT, moe_layer_freq, 1)                                                                                        \
    ARG(INT, first_k_dense_replace, 1)                                                                                 \
    ARG(INT, max_position_embeddings, 202752)                                                                          \
    ARG(REAL, rms_norm_eps, 1e-5)                                                                                      \
    ARG(REAL, rope_theta, 1000000)                                                                                     \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(FLAG, attention_bias, false)                                                                                   \
    ARG(REAL, partial_rotary_factor, 1)                                                                                \
    ARG(FLAG, tie_word_embeddings, false)                                                                              \
    ARG(JSON, mlp_layer_types, ABSENT)
TARE_ARGS(ARGS);

static struct tare_deepseek_desc describe(const struct args *a)
{
    return (struct tare_deepseek_desc){TARE_DEEPSEEK_DENSE(a, 1e-6), /* transformers; mlx-lm: rms_norm_eps */
                                       TARE_DEEPSEEK_ROUTED(a),        TARE_DEEPSEEK_ROUTER(a),
                                       .frequency = a->moe_layer_freq, .kinds = a->mlp_layer_types,
                                       .selection_bias = true,         .predicts = TARE_PREDICTS_ALL,
                                       .head = TARE_HEAD_OWN};
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct tare_deepseek_desc desc = describe(args);
    tare_deepseek(root, d, &desc);
}

static void sanitize(struct tare_weights *w, const void *args)
{
    const struct tare_deepseek_desc desc = describe(args);
    tare_deepseek_rewrite(w, &desc);
}

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    tare_null_number(&a->q_lora_rank, "q_lora_rank", d);
    tare_null_number(&a->n_shared_experts, "n_shared_experts", d);
    tare_null_number(&a->n_routed_experts, "n_routed_experts", d);
    const struct tare_deepseek_desc desc = describe(a);
    return tare_deepseek_check(&desc, a->topk_method, d);
}

const struct tare_arch tare_arch_glm4_moe_lite = {
    .name = "glm4_moe_lite",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
