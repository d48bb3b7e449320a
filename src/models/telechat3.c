/* SPDX-License-Identifier: MIT
 * telechat3.c - TeleChat 3 (mlx-lm: models/telechat3.py). */
#include "models/family/dense_decoder.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, max_position_embeddings, REQUIRED)                                                                        \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(REAL, rope_theta, ABSENT)                                                                                      \
    ARG(FLAG, mlp_bias, false)                                                                                         \
    ARG(FLAG, attention_bias, false)                                                                                   \
    ARG(INT, head_dim, ABSENT)                                                                                         \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(FLAG, tie_word_embeddings, false)                                                                              \
    ARG(TEXT, hidden_act, silu)
TARE_ARGS(ARGS);

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_dense(root, d,
               &(struct tare_dense){
                   TARE_DENSE_LLAMA(a),
                   TARE_DENSE_BIASED(a),
               });
}

const struct tare_arch tare_arch_telechat3 = {
    .name = "telechat3",
    .args = &args_info,
    .declare = declare,
    .runs = true,
};
