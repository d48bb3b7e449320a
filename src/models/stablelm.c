/* SPDX-License-Identifier: MIT
 * stablelm.c - StableLM 2 and StableLM 3B (mlx-lm: models/stablelm.py). */
#include "models/family/config_words.h"
#include "models/family/dense_decoder.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(REAL, rope_theta, ABSENT)                                                                                      \
    ARG(FLAG, use_qkv_bias, REQUIRED)                                                                                  \
    ARG(REAL, partial_rotary_factor, ABSENT)                                                                           \
    ARG(REAL, layer_norm_eps, REQUIRED)                                                                                \
    ARG(FLAG, use_parallel_residual, false)                                                                            \
    ARG(FLAG, qk_layernorm, false)                                                                                     \
    ARG(INT, max_position_embeddings, ABSENT)                                                                          \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(TEXT, hidden_act, silu)
TARE_ARGS(ARGS);

enum { HEADS_MOST = 4096 }; /* with a norm each */

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    if (isnan(a->partial_rotary_factor))
        a->partial_rotary_factor = tare_json_real(a->rope_parameters, "partial_rotary_factor", (double)NAN);
    if (isnan(a->partial_rotary_factor))
        return tare_fail(d->err, TARE_E_CONFIG, d->place,
                         "partial_rotary_factor is missing; a model of this type needs it");
    if (a->qk_layernorm && (a->num_attention_heads > HEADS_MOST || a->num_key_value_heads > HEADS_MOST))
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "more than %d heads, each with a norm", HEADS_MOST);
    return tare_partial_check(a->partial_rotary_factor, d->place, d->err);
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_dense(root, d,
               &(struct tare_dense){
                   TARE_DENSE_USUAL(a),
                   .skeleton.norm = TARE_SKELETON_LAYER,
                   .skeleton.norm_bias = true,
                   .skeleton.eps = a->layer_norm_eps,
                   .skeleton.head = TARE_HEAD_OWN,
                   .norms = {"input_layernorm", NULL, a->use_parallel_residual ? NULL : "post_attention_layernorm"},
                   .parallel = a->use_parallel_residual,
                   .attention.bias = a->use_qkv_bias,
                   .rotated = a->partial_rotary_factor,
                   .attention.qk_norm.kind = a->qk_layernorm ? TARE_QK_NORM_LAYER_EACH : TARE_QK_NORM_NONE,
                   .attention.qk_norm.q_name = "q_layernorm",
                   .attention.qk_norm.k_name = "k_layernorm",
               });
}

const struct tare_arch tare_arch_stablelm = {
    .name = "stablelm",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .runs = true,
};
