/* SPDX-License-Identifier: MIT
 * mistral4.c - Mistral 4, also the text model inside mistral3 (mlx-lm: models/mistral4.py). */
#include "models/family/config_words.h"
#include "models/family/deepseek_family.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, moe_intermediate_size, REQUIRED)                                                                          \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(INT, n_shared_experts, ABSENT)                                                                                 \
    ARG(INT, n_routed_experts, ABSENT)                                                                                 \
    ARG(REAL, routed_scaling_factor, REQUIRED)                                                                         \
    ARG(INT, kv_lora_rank, REQUIRED)                                                                                   \
    ARG(INT, q_lora_rank, ABSENT)                                                                                      \
    ARG(FLAG, norm_topk_prob, REQUIRED)                                                                                \
    ARG(INT, max_position_embeddings, REQUIRED)                                                                        \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, topk_group, REQUIRED)                                                                                     \
    ARG(INT, num_experts_per_tok, REQUIRED)                                                                            \
    ARG(INT, first_k_dense_replace, 0)                                                                                 \
    ARG(INT, n_group, REQUIRED)                                                                                        \
    ARG(INT, qk_rope_head_dim, REQUIRED)                                                                               \
    ARG(INT, qk_nope_head_dim, REQUIRED)                                                                               \
    ARG(INT, v_head_dim, REQUIRED)                                                                                     \
    ARG(REAL, rope_theta, 10000)                                                                                       \
    ARG(FLAG, tie_word_embeddings, false)                                                                              \
    ARG(FLAG, rope_interleave, true)                                                                                   \
    ARG(FLAG, attention_bias, false)                                                                                   \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)
TARE_ARGS(ARGS);

static struct tare_deepseek_desc describe(const struct args *a)
{
    struct tare_deepseek_desc desc = {TARE_DEEPSEEK_DENSE(a, 1e-6),
                                      TARE_DEEPSEEK_ROUTED(a),
                                      .router = {.top = a->num_experts_per_tok,
                                                 .normalize = a->norm_topk_prob,
                                                 .scale = a->routed_scaling_factor,
                                                 .groups = a->n_group,
                                                 .top_groups = a->topk_group},
                                      .halves = !a->rope_interleave,
                                      .router_linear = true,
                                      .activation_scales = true,
                                      .frequencies_stored = true,
                                      .head = TARE_HEAD_FLAG,
                                      .tied = a->tie_word_embeddings};
    desc.scaling = a->rope_parameters; /* rope_scaling counts for nothing */
    desc.attention.query_beta = tare_json_real(a->rope_parameters, "llama_4_scaling_beta", 0);
    desc.attention.query_length = tare_json_real(a->rope_parameters, "original_max_position_embeddings", 0);
    return desc;
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
    a->rope_theta = a->rope_parameters ? tare_json_real(a->rope_parameters, "rope_theta", 100000) : a->rope_theta;
    a->rope_interleave |= json_is_null(json_object_get(d->config, "rope_interleave"));
    return tare_keys_needed((const char *const[]){"q_lora_rank", "n_shared_experts", "n_routed_experts"}, 3, d);
}

const struct tare_arch tare_arch_mistral4 = {
    .name = "mistral4",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
