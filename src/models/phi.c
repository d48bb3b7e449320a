/* SPDX-License-Identifier: MIT
 * phi.c - Phi 1, 1.5 and 2 (mlx-lm: models/phi.py): one norm, attention and feed-forward side by side. */
#include "models/family/config_words.h"
#include "models/family/mlp_decoder.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, max_position_embeddings, 2048)                                                                            \
    ARG(INT, vocab_size, 51200)                                                                                        \
    ARG(INT, hidden_size, 2560)                                                                                        \
    ARG(INT, num_attention_heads, 32)                                                                                  \
    ARG(INT, num_hidden_layers, 32)                                                                                    \
    ARG(INT, num_key_value_heads, 32)                                                                                  \
    ARG(REAL, partial_rotary_factor, ABSENT)                                                                           \
    ARG(INT, intermediate_size, 10240)                                                                                 \
    ARG(REAL, layer_norm_eps, 1e-5)                                                                                    \
    ARG(REAL, rope_theta, 10000.0)                                                                                     \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(TEXT, hidden_act, gelu_new)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    if (json_is_null(json_object_get(d->config, "num_key_value_heads"))) /* not the default */
        a->num_key_value_heads = a->num_attention_heads;
    if (isnan(a->partial_rotary_factor))
        a->partial_rotary_factor = tare_json_real(a->rope_parameters, "partial_rotary_factor", 0.4);
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
                       .skeleton.norm_name = "final_layernorm",
                       .skeleton.eps = a->layer_norm_eps,
                       .skeleton.head = TARE_HEAD_OWN,
                       .skeleton.head_bias = true,
                       .norms = {"input_layernorm"},
                       .parallel = true,
                       .attention.o_name = "dense",
                       .attention.bias = true,
                       .attention.o_bias = true,
                       .rotated = a->partial_rotary_factor,
                   },
                   &(struct tare_mlp_desc){.first_name = "fc1", .second_name = "fc2", .bias = true});
}

const struct tare_arch tare_arch_phi = {
    .name = "phi",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .runs = true,
};
