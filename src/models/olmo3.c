/* SPDX-License-Identifier: MIT
 * olmo3.c - OLMo 3 (mlx-lm: models/olmo3.py): OLMo 2 with windows, and rotation scaled only where there is none. */
#include "models/theta.h"
#include "models/usual.h"
#include "models/window.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, max_position_embeddings, REQUIRED)                                                                        \
    ARG(INT, sliding_window, REQUIRED)                                                                                 \
    ARG(REAL, rope_theta, ABSENT)                                                                                      \
    ARG(FLAG, attention_bias, false)                                                                                   \
    ARG(JSON, layer_types, ABSENT)                                                                                     \
    ARG(INT, num_key_value_heads, ABSENT)                                                                              \
    ARG(INT, head_dim, ABSENT)                                                                                         \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(FLAG, tie_word_embeddings, false)                                                                              \
    ARG(TEXT, hidden_act, silu)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    const enum tare_code code = tare_layer_types_check(a->layer_types, a->num_hidden_layers, d->place, d->err);
    return code ? code : tare_theta_read(&a->rope_theta, "rope_theta", a->rope_parameters, d->place, d->err);
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    struct tare_usual usual = {TARE_USUAL_LLAMA(a),
                               .dim = a->hidden_size,
                               .eps = a->rms_norm_eps,
                               .context = a->max_position_embeddings,
                               .norms = {NULL, "post_attention_layernorm", NULL, "post_feedforward_layernorm"},
                               .wide_qk_norm = true,
                               .attention.o_bias = a->attention_bias};
    const bool full = !a->layer_types && (i + 1) % 4 == 0;
    usual.attention.window = full ? 0 : tare_window(a->sliding_window, a->layer_types, 0, i);
    if (usual.attention.window > 0)
        usual.scaling = NULL;
    tare_usual_layer(l, at, &usual);
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, args, d,
                  &(struct tare_skeleton){TARE_USUAL_SKELETON(a), .eps = a->rms_norm_eps, .layer = layer,
                                          .head = TARE_HEAD_FLAG, .tied = a->tie_word_embeddings});
}

const struct tare_arch tare_arch_olmo3 = {
    .name = "olmo3",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
};
