/* SPDX-License-Identifier: MIT
 * cohere2.c - Command-R7B and Command-A (mlx-lm: models/cohere2.py): Cohere's layer, but only layers with a window
 * have rotary positions. */
#include "models/family/dense_decoder.h"
#include "models/family/layer_kinds.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, 4096)                                                                                        \
    ARG(INT, head_dim, 128)                                                                                            \
    ARG(INT, num_hidden_layers, 32)                                                                                    \
    ARG(INT, intermediate_size, 14336)                                                                                 \
    ARG(INT, num_attention_heads, 32)                                                                                  \
    ARG(INT, num_key_value_heads, 8)                                                                                   \
    ARG(REAL, rope_theta, 50000.0)                                                                                     \
    ARG(INT, vocab_size, 256000)                                                                                       \
    ARG(REAL, layer_norm_eps, 1e-05)                                                                                   \
    ARG(REAL, logit_scale, 0.0625)                                                                                     \
    ARG(FLAG, attention_bias, false)                                                                                   \
    ARG(FLAG, layer_norm_bias, false)                                                                                  \
    ARG(INT, sliding_window, 4096)                                                                                     \
    ARG(INT, sliding_window_pattern, 4)                                                                                \
    ARG(JSON, layer_types, ABSENT)                                                                                     \
    ARG(INT, max_position_embeddings, ABSENT)                                                                          \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(TEXT, hidden_act, silu)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    if (a->sliding_window_pattern < 1)
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "sliding_window_pattern must be above 0");
    if (a->head_dim * a->num_attention_heads != a->hidden_size)
        return tare_fail(d->err, TARE_E_CONFIG, d->place,
                         "hidden_size %lld is not num_attention_heads %lld times head_dim %lld",
                         (long long)a->hidden_size, (long long)a->num_attention_heads, (long long)a->head_dim);
    return tare_layer_types_check(a->layer_types, a->num_hidden_layers, d->place, d->err);
}

static void vary(struct tare_dense *dense, int64_t i)
{
    const struct args *a = dense->args;
    const bool local =
        a->layer_types ? tare_window(1, a->layer_types, 0, i) == 1 : (i + 1) % a->sliding_window_pattern != 0;
    dense->attention.window = local ? a->sliding_window : 0;
    dense->no_rope = !local;
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_dense(root, d,
               &(struct tare_dense){
                   TARE_DENSE_USUAL(a),
                   .skeleton.norm = TARE_SKELETON_LAYER,
                   .skeleton.norm_bias = a->layer_norm_bias,
                   .skeleton.eps = a->layer_norm_eps,
                   .skeleton.head = TARE_HEAD_NONE,
                   .skeleton.logit_scale = a->logit_scale,
                   .norms = {"input_layernorm"},
                   .parallel = true,
                   .attention.head_dim = a->head_dim,
                   .attention.bias = a->attention_bias,
                   .attention.o_bias = a->attention_bias,
                   .interleaved = true,
                   .args = a,
                   .vary = vary,
               });
}

const struct tare_arch tare_arch_cohere2 = {
    .name = "cohere2",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .runs = true,
    .transformers_tied = true,
};
