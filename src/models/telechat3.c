/* SPDX-License-Identifier: MIT
 * telechat3.c - TeleChat 3 (mlx-lm: models/telechat3.py). */
#include "models/theta.h"
#include "models/usual.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, max_position_embeddings, REQUIRED)                                                                        \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(REAL, rope_theta, ABSENT)                                                                                      \
    ARG(FLAG, mlp_bias, false)                                                                                         \
    ARG(FLAG, attention_bias, false)                                                                                   \
    ARG(INT, head_dim, ABSENT)                                                                                         \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(FLAG, tie_word_embeddings, false)                                                                              \
    ARG(TEXT, hidden_act, silu)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    return tare_theta_read(&a->rope_theta, "rope_theta", a->rope_parameters, d->place, d->err);
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_usual_decoder(
        root, d,
        &(struct tare_skeleton){TARE_USUAL_SKELETON(a), .eps = a->rms_norm_eps, .head = TARE_HEAD_FLAG,
                                .tied = a->tie_word_embeddings},
        &(struct tare_usual){TARE_USUAL_LLAMA(a), .attention.o_bias = a->attention_bias, .glu.bias = a->mlp_bias});
}

const struct tare_arch tare_arch_telechat3 = {
    .name = "telechat3",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
};
