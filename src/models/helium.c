/* SPDX-License-Identifier: MIT
 * helium.c - Helium (mlx-lm: models/helium.py). It declares a head even where the embedding is used instead. */
#include "models/family/dense_decoder.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(FLAG, attention_bias, REQUIRED)                                                                                \
    ARG(INT, max_position_embeddings, REQUIRED)                                                                        \
    ARG(FLAG, mlp_bias, REQUIRED)                                                                                      \
    ARG(REAL, rope_theta, ABSENT)                                                                                      \
    ARG(FLAG, tie_word_embeddings, REQUIRED)                                                                           \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(TEXT, hidden_act, silu)
TARE_ARGS(ARGS);

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_dense(root, d,
               &(struct tare_dense){
                   TARE_DENSE_USUAL(a),
                   .skeleton.eps = a->rms_norm_eps,
                   .skeleton.head = TARE_HEAD_OWN,
                   .attention.bias = a->attention_bias,
                   .ffn.bias = a->mlp_bias,
                   .interleaved = true,
               });
}

const struct tare_arch tare_arch_helium = {
    .name = "helium",
    .args = &args_info,
    .declare = declare,
    .runs = true,
};
