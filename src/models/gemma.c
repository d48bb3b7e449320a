/* SPDX-License-Identifier: MIT
 * gemma.c - Gemma (mlx-lm: models/gemma.py). */
#include <string.h>

#include "models/family/dense_decoder.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, head_dim, REQUIRED)                                                                                       \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(REAL, rope_theta, 10000)                                                                                       \
    ARG(FLAG, rope_traditional, false)                                                                                 \
    ARG(FLAG, attention_bias, false)                                                                                   \
    ARG(INT, max_position_embeddings, ABSENT)                                                                          \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(TEXT, hidden_act, gelu_pytorch_tanh)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    (void)d;
    if (!strcmp(a->hidden_act, "gelu")) /* what the first releases say, and do not mean */
        a->hidden_act = "gelu_pytorch_tanh";
    return TARE_OK;
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_dense(root, d,
               &(struct tare_dense){
                   TARE_DENSE_USUAL(a),
                   .skeleton.norm = TARE_SKELETON_RMS_ONE_PLUS,
                   .skeleton.eps = a->rms_norm_eps,
                   .skeleton.head = TARE_HEAD_NONE,
                   .skeleton.embedding_scale = sqrt((double)a->hidden_size),
                   .attention.head_dim = a->head_dim,
                   .interleaved = a->rope_traditional,
               });
}

const struct tare_arch tare_arch_gemma = {
    .name = "gemma",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .runs = true,
    .transformers_tied = true,
};
