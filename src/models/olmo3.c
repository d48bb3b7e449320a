/* SPDX-License-Identifier: MIT
 * olmo3.c - OLMo 3 (mlx-lm: models/olmo3.py): OLMo 2 with windows. The rotary embedding is scaled only in layers
 * without one. */
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
    ARG(INT, max_position_embeddings, REQUIRED)                                                                        \
    ARG(INT, sliding_window, REQUIRED)                                                                                 \
    ARG(REAL, rope_theta, ABSENT)                                                                                      \
    ARG(FLAG, attention_bias, false)                                                                                   \
    ARG(JSON, layer_types, ABSENT)                                                                                     \
    ARG(INT, num_key_value_heads, ABSENT)                                                                              \
    ARG(INT, head_dim, ABSENT)                                                                                         \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(FLAG, tie_word_embeddings, false)                                                                              \
    ARG(TEXT, hidden_act, silu)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    const enum tare_code code = tare_layer_types_check(a->layer_types, a->num_hidden_layers, d->place, d->err);
    return code ? code : tare_theta_read(&a->rope_theta, "rope_theta", a->rope_parameters, d->place, d->err);
}

static void vary(struct tare_dense *dense, int64_t i)
{
    const struct args *a = dense->args;
    const bool full = a->layer_types ? tare_window(1, a->layer_types, 0, i) == 0 : (i + 1) % 4 == 0;
    dense->attention.window = full ? 0 : a->sliding_window;
    if (!full)
        dense->scaling = NULL;
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_dense(root, d,
               &(struct tare_dense){
                   TARE_DENSE_LLAMA(a),
                   .norms = {NULL, "post_attention_layernorm", NULL, "post_feedforward_layernorm"},
                   .attention.head_dim = a->head_dim,
                   .attention.bias = a->attention_bias,
                   .attention.o_bias = a->attention_bias,
                   .args = a,
                   .vary = vary,
                   .attention.qk_norm.kind = TARE_QK_NORM_RMS_WIDE,
               });
}

const struct tare_arch tare_arch_olmo3 = {
    .name = "olmo3",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .runs = true,
};
