/* SPDX-License-Identifier: MIT
 * qwen3.c - Qwen3 text models (mlx-lm: models/qwen3.py). */
#include "models/family/config_words.h"
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
    ARG(INT, max_position_embeddings, REQUIRED)                                                                        \
    ARG(INT, head_dim, REQUIRED)                                                                                       \
    ARG(FLAG, tie_word_embeddings, REQUIRED)                                                                           \
    ARG(REAL, rope_theta, ABSENT)                                                                                      \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
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
    const enum tare_code code = tare_theta_read(&a->rope_theta, "rope_theta", a->rope_parameters, d->place, d->err);
    return code ? code : tare_layer_types_check(a->layer_types, a->num_hidden_layers, d->place, d->err);
}

static void vary(struct tare_dense *dense, int64_t i)
{
    const struct args *a = dense->args;
    dense->attention.window = tare_window(a->sliding_window, a->layer_types, a->max_window_layers, i);
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_dense(root, d,
               &(struct tare_dense){
                   TARE_DENSE_LLAMA(a),
                   .attention.head_dim = a->head_dim,
                   .attention.qk_norm.kind = TARE_QK_NORM_RMS,
                   .vary = vary,
                   .args = a,
               });
}

const struct tare_arch tare_arch_qwen3 = {
    .name = "qwen3",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .runs = true,
};
