/* SPDX-License-Identifier: MIT
 * ministral3.c - Ministral 3: Llama with queries scaled by their position (mlx-lm: models/ministral3.py). */
#include "blocks/attention/gqa_tempered.h"
#include "models/family/dense_decoder.h"
#include "models/family/layer_kinds.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, head_dim, ABSENT)                                                                                         \
    ARG(INT, max_position_embeddings, ABSENT)                                                                          \
    ARG(INT, num_key_value_heads, ABSENT)                                                                              \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(FLAG, tie_word_embeddings, true)                                                                               \
    ARG(JSON, layer_types, ABSENT)                                                                                     \
    ARG(INT, sliding_window, ABSENT)                                                                                   \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(REAL, rope_theta, ABSENT)                                                                                      \
    ARG(TEXT, hidden_act, silu)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    a->rope_theta = tare_json_real(a->rope_parameters, "rope_theta", a->rope_theta);
    return tare_layer_types_check(a->layer_types, a->num_hidden_layers, d->place, d->err);
}

static void vary(struct tare_dense *layer, int64_t i)
{
    const struct args *a = layer->args;
    layer->attention.window = tare_window(a->layer_types ? a->sliding_window : 0, a->layer_types, 0, i);
}

static void temper(struct tare_layer *l, struct tare_at at, const struct tare_dense *dense)
{
    const struct args *a = dense->args;
    const json_t *rope = a->rope_parameters ? a->rope_parameters : a->rope_scaling;
    const double length = tare_json_real(rope, "original_max_position_embeddings", 0);
    if (length > 0)
        tare_gqa_tempered(
            l, tare_at(at, "self_attn"),
            &(struct tare_gqa_tempered){.beta = tare_json_real(rope, "llama_4_scaling_beta", 0), .length = length});
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_dense(root, d,
               &(struct tare_dense){
                   TARE_DENSE_LLAMA(a),
                   .attention.head_dim = a->head_dim,
                   .args = a,
                   .vary = vary,
                   .attend = temper,
               });
}

static void sanitize(struct tare_weights *w, const void *args)
{
    tare_dense_drop_rotary(w, args);
    tare_drop_containing(w, "activation_scale", "a range of activations, not used in running");
}

const struct tare_arch tare_arch_ministral3 = {
    .name = "ministral3",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
