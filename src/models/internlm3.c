/* SPDX-License-Identifier: MIT
 * internlm3.c - InternLM 3 (mlx-lm: models/internlm3.py). */
#include "models/family/dense_decoder.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(FLAG, bias, false)                                                                                             \
    ARG(FLAG, qkv_bias, false)                                                                                         \
    ARG(INT, max_position_embeddings, 32768)                                                                           \
    ARG(INT, num_key_value_heads, ABSENT)                                                                              \
    ARG(REAL, rope_theta, 10000)                                                                                       \
    ARG(FLAG, rope_traditional, false)                                                                                 \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(FLAG, tie_word_embeddings, false)                                                                              \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(TEXT, hidden_act, silu)
TARE_ARGS(ARGS);

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_dense(root, d,
               &(struct tare_dense){
                   TARE_DENSE_LLAMA(a),
                   .attention.bias = a->qkv_bias,
                   .attention.o_bias = a->qkv_bias,
                   .interleaved = a->rope_traditional,
                   .ffn.bias = a->bias,
               });
}

const struct tare_arch tare_arch_internlm3 = {
    .name = "internlm3",
    .args = &args_info,
    .declare = declare,
    .sanitize = tare_dense_drop_rope,
    .runs = true,
};
