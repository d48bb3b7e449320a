/* SPDX-License-Identifier: MIT
 * llama.c - Llama and Mistral text models (mlx-lm: models/llama.py; "mistral" is an alias). */
#include "models/family/dense_decoder.h"

#include <string.h>

#include "models/family/layer_kinds.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, head_dim, ABSENT)                                                                                         \
    ARG(INT, max_position_embeddings, ABSENT)                                                                          \
    ARG(INT, num_key_value_heads, ABSENT)                                                                              \
    ARG(FLAG, attention_bias, false)                                                                                   \
    ARG(FLAG, mlp_bias, false)                                                                                         \
    ARG(REAL, rope_theta, 10000)                                                                                       \
    ARG(FLAG, rope_traditional, false)                                                                                 \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(FLAG, tie_word_embeddings, true)                                                                               \
    ARG(JSON, layer_types, ABSENT)                                                                                     \
    ARG(INT, sliding_window, ABSENT)                                                                                   \
    ARG(TEXT, hidden_act, silu)                                                                                        \
    ARG(TEXT, model_type, llama)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    if (a->rope_parameters)
        a->rope_scaling = a->rope_parameters;
    return tare_layer_types_check(a->layer_types, a->num_hidden_layers, d->place, d->err);
}

/* Mistral's window holds for every layer; llama's only for those that layer_types calls sliding_attention. */
static void vary(struct tare_dense *dense, int64_t i)
{
    const struct args *a = dense->args;
    const int64_t first = strcmp(a->model_type, "mistral") ? INT64_MAX : 0;
    dense->attention.window = tare_window(a->sliding_window, a->layer_types, first, i);
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_dense(root, d,
               &(struct tare_dense){
                   TARE_DENSE_LLAMA(a),
                   .attention.head_dim = a->head_dim,
                   .attention.bias = a->attention_bias,
                   .attention.o_bias = a->attention_bias,
                   .ffn.bias = a->mlp_bias,
                   .interleaved = a->rope_traditional,
                   .vary = vary,
                   .args = a,
               });
}

const struct tare_arch tare_arch_llama = {
    .name = "llama",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = tare_dense_drop_rotary,
    .runs = true,
};
