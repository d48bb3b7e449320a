/* SPDX-License-Identifier: MIT
 * ernie4_5.c - ERNIE 4.5 without experts (mlx-lm: models/ernie4_5.py). */
#include "models/family/dense_decoder.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, max_position_embeddings, REQUIRED)                                                                        \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(INT, head_dim, ABSENT)                                                                                         \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(REAL, rope_theta, ABSENT)                                                                                      \
    ARG(FLAG, use_bias, REQUIRED)                                                                                      \
    ARG(FLAG, tie_word_embeddings, REQUIRED)                                                                           \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(TEXT, hidden_act, silu)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    if (!json_object_get(d->config, "head_dim")) /* null is another thing: hidden_size / num_attention_heads */
        a->head_dim = 128;
    return TARE_OK;
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_dense(root, d,
               &(struct tare_dense){
                   TARE_DENSE_LLAMA(a),
                   .attention.head_dim = a->head_dim,
                   .attention.bias = a->use_bias,
                   .attention.o_bias = a->use_bias,
                   .ffn.bias = a->use_bias,
                   .interleaved = true,
               });
}

const struct tare_arch tare_arch_ernie4_5 = {
    .name = "ernie4_5",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .runs = true,
    .transformers_tied = true,
};
