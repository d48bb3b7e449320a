/* SPDX-License-Identifier: MIT
 * minicpm3.c - MiniCPM3: latent attention in a dense model (mlx-lm: models/minicpm3.py). */
#include <math.h>

#include "models/family/deepseek_family.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, dim_model_base, REQUIRED)                                                                                 \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(INT, q_lora_rank, REQUIRED)                                                                                    \
    ARG(INT, qk_nope_head_dim, REQUIRED)                                                                               \
    ARG(INT, qk_rope_head_dim, REQUIRED)                                                                               \
    ARG(INT, kv_lora_rank, REQUIRED)                                                                                   \
    ARG(INT, v_head_dim, ABSENT)                                                                                       \
    ARG(REAL, scale_depth, REQUIRED)                                                                                   \
    ARG(REAL, scale_emb, REQUIRED)                                                                                     \
    ARG(INT, max_position_embeddings, REQUIRED)                                                                        \
    ARG(FLAG, attention_bias, false)                                                                                   \
    ARG(REAL, rope_theta, 1000000)                                                                                     \
    ARG(FLAG, rope_traditional, false)                                                                                 \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(FLAG, tie_word_embeddings, false)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    (void)d;
    if (a->v_head_dim < 0) /* transformers knows the key; mlx-lm always divides */
        a->v_head_dim = a->hidden_size / a->num_attention_heads;
    return TARE_OK;
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    struct tare_deepseek_desc desc = {TARE_DEEPSEEK_DENSE(a, 1e-6), /* transformers; mlx-lm: 1e-5 */
                                      .halves = true,
                                      .embedding_scale = a->scale_emb,
                                      .residual_scale = a->scale_depth / sqrt((double)a->num_hidden_layers),
                                      .logit_scale = (double)a->dim_model_base / (double)a->hidden_size,
                                      .head = TARE_HEAD_FLAG,
                                      .tied = a->tie_word_embeddings};
    desc.attention.kv_b_whole = true;
    tare_deepseek(root, d, &desc);
}

const struct tare_arch tare_arch_minicpm3 = {
    .name = "minicpm3",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .transformers_tied = true,
    .runs = true,
};
