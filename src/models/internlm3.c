/* SPDX-License-Identifier: MIT
 * internlm3.c - InternLM 3 (mlx-lm: models/internlm3.py). */
#include "models/dense.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(FLAG, bias, false)                                                                                             \
    ARG(FLAG, qkv_bias, false)                                                                                         \
    ARG(INT, max_position_embeddings, 32768)                                                                           \
    ARG(INT, num_key_value_heads, ABSENT)                                                                              \
    ARG(REAL, rope_theta, 10000)                                                                                       \
    ARG(FLAG, rope_traditional, false)                                                                                 \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(FLAG, tie_word_embeddings, false)                                                                              \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(TEXT, hidden_act, silu)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    (void)d;
    if (a->num_key_value_heads < 1)
        a->num_key_value_heads = a->num_attention_heads;
    return TARE_OK;
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_dense(root, d,
               &(struct tare_dense){
                   TARE_DENSE_USUAL(a),
                   .skeleton.eps = a->rms_norm_eps,
                   .skeleton.head = TARE_HEAD_FLAG,
                   .skeleton.tied = a->tie_word_embeddings,
                   .attention.bias = a->qkv_bias,
                   .attention.o_bias = a->qkv_bias,
                   .interleaved = a->rope_traditional,
                   .ffn.bias = a->bias,
               });
}

static void sanitize(struct tare_weights *w, const void *args)
{
    (void)args;
    tare_drop_containing(w, "attention.rope.inv_freq", "precomputed rotary frequencies, not a parameter");
}

const struct tare_arch tare_arch_internlm3 = {
    .name = "internlm3",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
};
