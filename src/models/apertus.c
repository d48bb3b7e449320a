/* SPDX-License-Identifier: MIT
 * apertus.c - Apertus (mlx-lm: models/apertus.py). Its feed-forward block has an activation with parameters, xIELU. */
#include "models/family/mlp_decoder.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(FLAG, mlp_bias, REQUIRED)                                                                                      \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(INT, max_position_embeddings, REQUIRED)                                                                        \
    ARG(REAL, rope_theta, ABSENT)                                                                                      \
    ARG(FLAG, tie_word_embeddings, REQUIRED)                                                                           \
    ARG(FLAG, rope_traditional, false)                                                                                 \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(TEXT, hidden_act, xielu)
TARE_ARGS(ARGS);

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_dense_mlp(root, d,
                   &(struct tare_dense){
                       TARE_DENSE_LLAMA(a),
                       .norms = {"attention_layernorm", NULL, "feedforward_layernorm", NULL},
                       .attention.qk_norm.kind = TARE_QK_NORM_RMS,
                       .interleaved = a->rope_traditional,
                   },
                   &(struct tare_mlp_desc){.first_name = "up_proj", .second_name = "down_proj", .bias = a->mlp_bias});
}

static void sanitize(struct tare_weights *w, const void *args)
{
    (void)args;
    tare_squeeze(w, "**.alpha_p"); /* numbers, published as vectors of one */
    tare_squeeze(w, "**.alpha_n");
}

const struct tare_arch tare_arch_apertus = {
    .name = "apertus",
    .args = &args_info,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
