/* SPDX-License-Identifier: MIT
 * seed_oss.c - Seed-OSS (mlx-lm: models/seed_oss.py). */
#include "models/family/dense_decoder.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(INT, head_dim, REQUIRED)                                                                                       \
    ARG(INT, max_position_embeddings, ABSENT)                                                                          \
    ARG(FLAG, attention_bias, false)                                                                                   \
    ARG(FLAG, attention_out_bias, false)                                                                               \
    ARG(FLAG, mlp_bias, false)                                                                                         \
    ARG(REAL, rope_theta, 10000)                                                                                       \
    ARG(FLAG, rope_traditional, false)                                                                                 \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(FLAG, tie_word_embeddings, true)                                                                               \
    ARG(TEXT, hidden_act, silu)
TARE_ARGS(ARGS);

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_dense(root, d,
               &(struct tare_dense){
                   TARE_DENSE_LLAMA(a),
                   .attention.head_dim = a->head_dim,
                   .attention.bias = a->attention_bias,
                   .attention.o_bias = a->attention_out_bias,
                   .ffn.bias = a->mlp_bias,
                   .interleaved = a->rope_traditional,
               });
}

const struct tare_arch tare_arch_seed_oss = {
    .name = "seed_oss",
    .args = &args_info,
    .declare = declare,
    .runs = true,
};
