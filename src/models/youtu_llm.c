/* SPDX-License-Identifier: MIT
 * youtu_llm.c - Youtu-LLM: latent attention in a dense model (mlx-lm: models/youtu_llm.py). */
#include "models/family/config_words.h"
#include "models/family/deepseek_family.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, vocab_size, 128256)                                                                                       \
    ARG(INT, hidden_size, 2048)                                                                                        \
    ARG(INT, intermediate_size, 6144)                                                                                  \
    ARG(INT, num_hidden_layers, 32)                                                                                    \
    ARG(INT, num_attention_heads, 16)                                                                                  \
    ARG(INT, num_key_value_heads, 16)                                                                                  \
    ARG(INT, kv_lora_rank, 512)                                                                                        \
    ARG(INT, q_lora_rank, 1536)                                                                                        \
    ARG(INT, qk_rope_head_dim, 64)                                                                                     \
    ARG(INT, v_head_dim, 128)                                                                                          \
    ARG(INT, qk_nope_head_dim, 128)                                                                                    \
    ARG(INT, max_position_embeddings, 131072)                                                                          \
    ARG(REAL, rms_norm_eps, 1e-6)                                                                                      \
    ARG(REAL, rope_theta, 1600000)                                                                                     \
    ARG(FLAG, rope_traditional, true)                                                                                  \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(FLAG, attention_bias, false)                                                                                   \
    ARG(FLAG, mlp_bias, false)                                                                                         \
    ARG(FLAG, tie_word_embeddings, true)
TARE_ARGS(ARGS);

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    struct tare_deepseek_desc desc = {TARE_DEEPSEEK_DENSE(a, a->rms_norm_eps), .halves = !a->rope_traditional,
                                      .mlp_bias = a->mlp_bias, .head = TARE_HEAD_FLAG, .tied = a->tie_word_embeddings};
    desc.attention.kv_b_whole = true;
    tare_deepseek(root, d, &desc);
}

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    tare_null_number(&a->q_lora_rank, "q_lora_rank", d);
    return TARE_OK;
}

const struct tare_arch tare_arch_youtu_llm = {
    .name = "youtu_llm",
    .transformers_tied = true, /* not known there: a head that differs is refused */
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .runs = true,
};
