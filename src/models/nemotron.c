/* SPDX-License-Identifier: MIT
 * nemotron.c - Nemotron (mlx-lm: models/nemotron.py): layer norms that multiply by 1 + weight, and squared ReLU. */
#include "models/family/config_words.h"
#include "models/family/mlp_decoder.h"

#include <string.h>

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(TEXT, hidden_act, REQUIRED)                                                                                    \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(REAL, norm_eps, REQUIRED)                                                                                      \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(INT, head_dim, ABSENT)                                                                                         \
    ARG(INT, max_position_embeddings, ABSENT)                                                                          \
    ARG(FLAG, attention_bias, false)                                                                                   \
    ARG(FLAG, mlp_bias, false)                                                                                         \
    ARG(REAL, partial_rotary_factor, 0.5)                                                                              \
    ARG(REAL, rope_theta, 10000.0)                                                                                     \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(FLAG, tie_word_embeddings, false)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    const struct args *a = args;
    if (json_object_size(a->rope_scaling) > 0) {
        const char *type = tare_json_text(a->rope_scaling, "type", tare_json_text(a->rope_scaling, "rope_type", ""));
        if (strcmp(type, "linear") != 0 && strcmp(type, "default") != 0)
            return tare_fail(d->err, TARE_E_CONFIG, d->place, "rope_scaling is of type \"%s\"; expected \"linear\"",
                             type);
    }
    return tare_partial_check(a->partial_rotary_factor, d->place, d->err);
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_dense_mlp(root, d,
                   &(struct tare_dense){
                       TARE_DENSE_USUAL(a),
                       .skeleton.norm = TARE_SKELETON_LAYER,
                       .skeleton.norm_bias = true,
                       .skeleton.norm_offset = 1,
                       .skeleton.eps = a->norm_eps,
                       .skeleton.head = TARE_HEAD_FLAG,
                       .skeleton.tied = a->tie_word_embeddings,
                       .attention.head_dim = a->head_dim,
                       .attention.bias = a->attention_bias,
                       .attention.o_bias = a->attention_bias,
                       .rotated = a->partial_rotary_factor,
                   },
                   &(struct tare_mlp_desc){.first_name = "up_proj", .second_name = "down_proj", .bias = a->mlp_bias});
}

const struct tare_arch tare_arch_nemotron = {
    .name = "nemotron",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .runs = true,
};
