/* SPDX-License-Identifier: MIT
 * glm.c - GLM-4 and GLM-Edge as transformers saves them (mlx-lm: models/glm.py). */
#include "models/family/config_words.h"
#include "models/family/dense_decoder.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, head_dim, REQUIRED)                                                                                       \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(INT, max_position_embeddings, ABSENT)                                                                          \
    ARG(FLAG, attention_bias, false)                                                                                   \
    ARG(REAL, rope_theta, 10000)                                                                                       \
    ARG(FLAG, tie_word_embeddings, true)                                                                               \
    ARG(REAL, partial_rotary_factor, 0.5)                                                                              \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(TEXT, hidden_act, silu)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    a->partial_rotary_factor = tare_json_real(a->rope_parameters, "partial_rotary_factor", a->partial_rotary_factor);
    return tare_partial_check(a->partial_rotary_factor, d->place, d->err);
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_dense(root, d,
               &(struct tare_dense){
                   TARE_DENSE_LLAMA(a),
                   .attention.head_dim = a->head_dim,
                   .attention.bias = a->attention_bias,
                   .rotated = a->partial_rotary_factor,
                   .interleaved = true,
                   .ffn.gate_up_name = "gate_up_proj",
               });
}

const struct tare_arch tare_arch_glm = {
    .name = "glm",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = tare_dense_drop_rotary,
    .runs = true,
};
