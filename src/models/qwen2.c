/* SPDX-License-Identifier: MIT
 * qwen2.c - Qwen2 and Qwen2.5 text models (mlx-lm: models/qwen2.py). */
#include "models/family/dense_decoder.h"
#include "models/family/layer_kinds.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(INT, max_position_embeddings, 32768)                                                                           \
    ARG(REAL, rope_theta, 1000000)                                                                                     \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(FLAG, tie_word_embeddings, true)                                                                               \
    ARG(FLAG, use_sliding_window, false)                                                                               \
    ARG(INT, sliding_window, 4096)                                                                                     \
    ARG(INT, max_window_layers, 28)                                                                                    \
    ARG(JSON, layer_types, ABSENT)                                                                                     \
    ARG(TEXT, hidden_act, silu)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    if (!a->use_sliding_window)
        a->sliding_window = 0;
    if (a->rope_parameters)
        a->rope_scaling = a->rope_parameters;
    return tare_layer_types_check(a->layer_types, a->num_hidden_layers, d->place, d->err);
}

static void vary(struct tare_dense *dense, int64_t i)
{
    const struct args *a = dense->args;
    dense->attention.window = tare_window(a->sliding_window, a->layer_types, a->max_window_layers, i);
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_dense(root, d, &(struct tare_dense){TARE_DENSE_LLAMA(a), .attention.bias = true, .vary = vary, .args = a});
}

const struct tare_arch tare_arch_qwen2 = {
    .name = "qwen2",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = tare_dense_drop_rotary,
    .runs = true,
};
