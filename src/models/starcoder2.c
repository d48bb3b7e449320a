/* SPDX-License-Identifier: MIT
 * starcoder2.c - StarCoder 2 (mlx-lm: models/starcoder2.py). mlx-lm knows no window and always takes GELU; here the
 * config decides both. */
#include "models/family/layer_kinds.h"
#include "models/family/mlp_decoder.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(REAL, norm_epsilon, 1e-5)                                                                                      \
    ARG(INT, vocab_size, 49152)                                                                                        \
    ARG(REAL, rope_theta, 100000)                                                                                      \
    ARG(FLAG, tie_word_embeddings, true)                                                                               \
    ARG(INT, max_position_embeddings, ABSENT)                                                                          \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(INT, sliding_window, ABSENT)                                                                                   \
    ARG(TEXT, hidden_act, gelu_pytorch_tanh)
TARE_ARGS(ARGS);

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_dense_mlp(root, d,
                   &(struct tare_dense){
                       TARE_DENSE_USUAL(a),
                       .skeleton.norm = TARE_SKELETON_LAYER,
                       .skeleton.norm_bias = true,
                       .skeleton.eps = a->norm_epsilon,
                       .skeleton.head = TARE_HEAD_FLAG,
                       .skeleton.tied = a->tie_word_embeddings,
                       .attention.bias = true,
                       .attention.o_bias = true,
                       .attention.window = tare_window(a->sliding_window, NULL, 0, 0),
                   },
                   &(struct tare_mlp_desc){.first_name = "c_fc", .second_name = "c_proj", .bias = true});
}

const struct tare_arch tare_arch_starcoder2 = {
    .name = "starcoder2",
    .args = &args_info,
    .declare = declare,
    .runs = true,
    .transformers_tied = true,
};
