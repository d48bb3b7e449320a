/* SPDX-License-Identifier: MIT
 * glm_moe_dsa.c - GLM-5: DeepSeek-V3.2 with args of its own (mlx-lm: models/glm_moe_dsa.py). */
#include "models/family/config_words.h"
#include "models/family/deepseek_family.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, index_head_dim, REQUIRED)                                                                                 \
    ARG(INT, index_n_heads, REQUIRED)                                                                                  \
    ARG(INT, index_topk, REQUIRED)                                                                                     \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, moe_intermediate_size, REQUIRED)                                                                          \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(INT, n_shared_experts, ABSENT)                                                                                 \
    ARG(INT, n_routed_experts, ABSENT)                                                                                 \
    ARG(REAL, routed_scaling_factor, REQUIRED)                                                                         \
    ARG(INT, kv_lora_rank, REQUIRED)                                                                                   \
    ARG(INT, q_lora_rank, REQUIRED)                                                                                    \
    ARG(INT, qk_rope_head_dim, REQUIRED)                                                                               \
    ARG(INT, v_head_dim, REQUIRED)                                                                                     \
    ARG(INT, qk_nope_head_dim, REQUIRED)                                                                               \
    ARG(TEXT, topk_method, noaux_tc)                                                                                   \
    ARG(TEXT, scoring_func, sigmoid)                                                                                   \
    ARG(FLAG, norm_topk_prob, true)                                                                                    \
    ARG(INT, n_group, 1)                                                                                               \
    ARG(INT, topk_group, 1)                                                                                            \
    ARG(INT, num_experts_per_tok, REQUIRED)                                                                            \
    ARG(INT, moe_layer_freq, 1)                                                                                        \
    ARG(INT, first_k_dense_replace, 3)                                                                                 \
    ARG(INT, max_position_embeddings, REQUIRED)                                                                        \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(FLAG, attention_bias, false)                                                                                   \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(REAL, rope_theta, ABSENT)                                                                                      \
    ARG(FLAG, indexer_rope_interleave, true)                                                                           \
    ARG(JSON, mlp_layer_types, ABSENT)                                                                                 \
    ARG(JSON, indexer_types, ABSENT)                                                                                   \
    ARG(INT, index_topk_freq, 1)                                                                                       \
    ARG(INT, index_skip_topk_offset, 2)
TARE_ARGS(ARGS);

static struct tare_deepseek_desc describe(const struct args *a)
{
    return (struct tare_deepseek_desc){TARE_DEEPSEEK_DENSE(a, 1e-6),
                                       TARE_DEEPSEEK_ROUTED(a),
                                       TARE_DEEPSEEK_ROUTER(a),
                                       .index_top = a->index_topk,
                                       .index_halves = !a->indexer_rope_interleave,
                                       .frequency = a->moe_layer_freq,
                                       .kinds = a->mlp_layer_types,
                                       .indexers = a->indexer_types,
                                       .index_every = a->index_topk_freq,
                                       .index_skip = a->index_skip_topk_offset,
                                       .selection_bias = true,
                                       .predicts = TARE_PREDICTS_ALL,
                                       .index_heads = a->index_n_heads,
                                       .index_dim = a->index_head_dim,
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
    enum tare_code code = tare_keys_needed((const char *const[]){"n_shared_experts", "n_routed_experts"}, 2, d);
    if (code)
        return code;
    if (a->rope_parameters) /* mlx-lm: they come first */
        a->rope_theta = tare_json_real(a->rope_parameters, "rope_theta", a->rope_theta);
    const struct tare_deepseek_desc desc = describe(a);
    code = tare_deepseek_check(&desc, a->topk_method, d);
    return code ? code : tare_theta_read(&a->rope_theta, "rope_theta", a->rope_parameters, d->place, d->err);
}

const struct tare_arch tare_arch_glm_moe_dsa = {
    .name = "glm_moe_dsa",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
