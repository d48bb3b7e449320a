/* SPDX-License-Identifier: MIT
 * cohere.c - Command-R and Aya (mlx-lm: models/cohere.py): attention and feed-forward block side by side. */
#include "models/family/dense_decoder.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, 8192)                                                                                        \
    ARG(INT, num_hidden_layers, 40)                                                                                    \
    ARG(INT, intermediate_size, 22528)                                                                                 \
    ARG(INT, num_attention_heads, 64)                                                                                  \
    ARG(INT, num_key_value_heads, 64)                                                                                  \
    ARG(REAL, rope_theta, 8000000.0)                                                                                   \
    ARG(INT, vocab_size, 256000)                                                                                       \
    ARG(REAL, layer_norm_eps, 1e-05)                                                                                   \
    ARG(REAL, logit_scale, 0.0625)                                                                                     \
    ARG(FLAG, attention_bias, false)                                                                                   \
    ARG(FLAG, layer_norm_bias, false)                                                                                  \
    ARG(FLAG, use_qk_norm, false)                                                                                      \
    ARG(INT, max_position_embeddings, ABSENT)                                                                          \
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
                   .skeleton.norm = TARE_SKELETON_LAYER,
                   .skeleton.norm_bias = a->layer_norm_bias,
                   .skeleton.eps = a->layer_norm_eps,
                   .skeleton.head = TARE_HEAD_NONE,
                   .skeleton.logit_scale = a->logit_scale,
                   .norms = {"input_layernorm"},
                   .parallel = true,
                   .attention.bias = a->attention_bias,
                   .attention.o_bias = a->attention_bias,
                   .interleaved = true,
                   .attention.qk_norm.kind = a->use_qk_norm ? TARE_QK_NORM_LAYER_ROWS : TARE_QK_NORM_NONE,
               });
}

const struct tare_arch tare_arch_cohere = {
    .name = "cohere",
    .args = &args_info,
    .declare = declare,
    .runs = true,
    .transformers_tied = true,
};
