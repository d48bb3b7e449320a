/* SPDX-License-Identifier: MIT
 * glm4.c - GLM-4-0414 (mlx-lm: models/glm4.py): GLM with norms on both sides of each block. */
#include "models/family/config_words.h"
#include "models/family/dense_decoder.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(FLAG, attention_bias, REQUIRED)                                                                                \
    ARG(INT, head_dim, REQUIRED)                                                                                       \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(REAL, partial_rotary_factor, ABSENT)                                                                           \
    ARG(REAL, rope_theta, ABSENT)                                                                                      \
    ARG(FLAG, rope_traditional, true)                                                                                  \
    ARG(INT, max_position_embeddings, 32768)                                                                           \
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
    tare_dense(
        root, d,
        &(struct tare_dense){
            TARE_DENSE_USUAL(a),
            .skeleton.eps = a->rms_norm_eps,
            .skeleton.head = TARE_HEAD_OWN,
            .norms = {"input_layernorm", "post_self_attn_layernorm", "post_attention_layernorm", "post_mlp_layernorm"},
            .attention.head_dim = a->head_dim,
            .attention.bias = a->attention_bias,
            .rotated = a->partial_rotary_factor,
            .interleaved = a->rope_traditional,
            .ffn.gate_up_name = "gate_up_proj",
        });
}

const struct tare_arch tare_arch_glm4 = {
    .name = "glm4",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .runs = true,
};
