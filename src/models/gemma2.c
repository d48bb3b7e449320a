/* SPDX-License-Identifier: MIT
 * gemma2.c - Gemma 2 (mlx-lm: models/gemma2.py). */
#include "models/family/dense_decoder.h"
#include "models/family/layer_kinds.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, head_dim, REQUIRED)                                                                                       \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(REAL, rope_theta, 10000)                                                                                       \
    ARG(FLAG, rope_traditional, false)                                                                                 \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(REAL, attn_logit_softcapping, 50.0)                                                                            \
    ARG(REAL, final_logit_softcapping, 30.0)                                                                           \
    ARG(REAL, query_pre_attn_scalar, 144.0)                                                                            \
    ARG(INT, max_position_embeddings, ABSENT)                                                                          \
    ARG(INT, sliding_window, 4096)                                                                                     \
    ARG(JSON, layer_types, ABSENT)                                                                                     \
    ARG(TEXT, hidden_activation, gelu_pytorch_tanh)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    const struct args *a = args;
    if (!(a->query_pre_attn_scalar > 0))
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "query_pre_attn_scalar is %g; expected a number above 0",
                         a->query_pre_attn_scalar);
    return tare_layer_types_check(a->layer_types, a->num_hidden_layers, d->place, d->err);
}

/* Every second layer, from the first, unless layer_types says otherwise. */
static void vary(struct tare_dense *dense, int64_t i)
{
    const struct args *a = dense->args;
    dense->attention.window = a->layer_types || i % 2 == 0 ? tare_window(a->sliding_window, a->layer_types, 0, i) : 0;
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_dense(root, d,
               &(struct tare_dense){
                   .skeleton = {TARE_SKELETON_USUAL(a), .norm = TARE_SKELETON_RMS_ONE_PLUS,
                                .embedding_scale = sqrt((double)a->hidden_size),
                                .logit_soft_cap = a->final_logit_softcapping, .head = TARE_HEAD_NONE},
                   .attention = {.heads = a->num_attention_heads,
                                 .kv_heads = a->num_key_value_heads,
                                 .head_dim = a->head_dim,
                                 .scale = 1 / sqrt(a->query_pre_attn_scalar),
                                 .soft_cap = a->attn_logit_softcapping},
                   .ffn.hidden = a->intermediate_size,
                   .hidden_act = a->hidden_activation,
                   .norms = TARE_DENSE_FOUR_NORMS,
                   .theta = a->rope_theta,
                   .scaling = a->rope_parameters,
                   .interleaved = a->rope_traditional,
                   .vary = vary,
                   .args = a,
               });
}

const struct tare_arch tare_arch_gemma2 = {
    .name = "gemma2",
    .runs = true,
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .transformers_tied = true,
};
