/* SPDX-License-Identifier: MIT
 * granite.c - Granite 3 (mlx-lm: models/granite.py): Llama with four multipliers. */
#include "models/family/dense_decoder.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(REAL, logits_scaling, REQUIRED)                                                                                \
    ARG(REAL, attention_multiplier, REQUIRED)                                                                          \
    ARG(REAL, embedding_multiplier, REQUIRED)                                                                          \
    ARG(REAL, residual_multiplier, REQUIRED)                                                                           \
    ARG(INT, max_position_embeddings, REQUIRED)                                                                        \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(FLAG, attention_bias, REQUIRED)                                                                                \
    ARG(FLAG, mlp_bias, REQUIRED)                                                                                      \
    ARG(REAL, rope_theta, ABSENT)                                                                                      \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(FLAG, tie_word_embeddings, true)                                                                               \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(TEXT, hidden_act, silu)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    if (a->logits_scaling == 0 || a->attention_multiplier == 0 || a->embedding_multiplier == 0 ||
        a->residual_multiplier == 0)
        return tare_fail(d->err, TARE_E_CONFIG, d->place,
                         "logits_scaling and the attention, embedding and residual multipliers must not be 0");
    return TARE_OK;
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_dense(root, d,
               &(struct tare_dense){
                   TARE_DENSE_LLAMA(a),
                   .skeleton.embedding_scale = a->embedding_multiplier,
                   .skeleton.logit_scale = 1 / a->logits_scaling,
                   .residual_scale = a->residual_multiplier,
                   .attention.scale = a->attention_multiplier,
                   .attention.bias = a->attention_bias,
                   .attention.o_bias = a->attention_bias,
                   .ffn.bias = a->mlp_bias,
               });
}

const struct tare_arch tare_arch_granite = {
    .name = "granite",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .runs = true,
};
