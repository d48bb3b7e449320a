/* SPDX-License-Identifier: MIT
 * gemma3_text.c - Gemma 3 text models (mlx-lm: models/gemma3_text.py). Layers with a window have another base of the
 * rotary embedding. */
#include "models/family/dense_decoder.h"
#include "models/family/layer_kinds.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, 1152)                                                                                        \
    ARG(INT, num_hidden_layers, 26)                                                                                    \
    ARG(INT, intermediate_size, 6912)                                                                                  \
    ARG(INT, num_attention_heads, 4)                                                                                   \
    ARG(INT, head_dim, 256)                                                                                            \
    ARG(REAL, rms_norm_eps, 1.0e-6)                                                                                    \
    ARG(INT, vocab_size, 262144)                                                                                       \
    ARG(INT, num_key_value_heads, 1)                                                                                   \
    ARG(REAL, rope_theta, 1000000.0)                                                                                   \
    ARG(REAL, rope_local_base_freq, 10000.0)                                                                           \
    ARG(REAL, query_pre_attn_scalar, 256)                                                                              \
    ARG(INT, sliding_window, 512)                                                                                      \
    ARG(INT, sliding_window_pattern, 6)                                                                                \
    ARG(INT, max_position_embeddings, 32768)                                                                           \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(JSON, layer_types, ABSENT)                                                                                     \
    ARG(REAL, attn_logit_softcapping, ABSENT)                                                                          \
    ARG(REAL, final_logit_softcapping, ABSENT)                                                                         \
    ARG(TEXT, hidden_activation, gelu_pytorch_tanh)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    if (!(a->query_pre_attn_scalar > 0) || a->sliding_window_pattern < 1)
        return tare_fail(d->err, TARE_E_CONFIG, d->place,
                         "query_pre_attn_scalar and sliding_window_pattern must be above 0");
    if (isnan(a->attn_logit_softcapping))
        a->attn_logit_softcapping = 0;
    if (isnan(a->final_logit_softcapping))
        a->final_logit_softcapping = 0;
    return tare_layer_types_check(a->layer_types, a->num_hidden_layers, d->place, d->err);
}

static bool sliding(const struct args *a, int64_t layer)
{
    if (a->layer_types)
        return tare_window(1, a->layer_types, 0, layer) == 1;
    return (layer + 1) % a->sliding_window_pattern != 0;
}

/* transformers 5 has an object a layer type in rope_parameters. */
static void vary(struct tare_dense *dense, int64_t i)
{
    const struct args *a = dense->args;
    const bool local = sliding(a, i);
    const json_t *own = json_object_get(a->rope_parameters, local ? "sliding_attention" : "full_attention");
    dense->attention.window = local ? a->sliding_window : 0;
    dense->theta = local ? a->rope_local_base_freq : a->rope_theta;
    dense->scaling = json_is_object(own) ? own : local ? NULL : a->rope_scaling;
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_dense(root, d,
               &(struct tare_dense){
                   .skeleton = {TARE_SKELETON_USUAL(a), .norm = TARE_SKELETON_RMS_ONE_PLUS,
                                .embedding_scale = sqrt((double)a->hidden_size),
                                .logit_soft_cap = a->final_logit_softcapping, .head = TARE_HEAD_CONTENT},
                   .attention = {.heads = a->num_attention_heads,
                                 .kv_heads = a->num_key_value_heads,
                                 .head_dim = a->head_dim,
                                 .scale = 1 / sqrt(a->query_pre_attn_scalar),
                                 .soft_cap = a->attn_logit_softcapping,
                                 .qk_norm.kind = TARE_QK_NORM_RMS_ONE_PLUS},
                   .ffn.hidden = a->intermediate_size,
                   .hidden_act = a->hidden_activation,
                   .norms = TARE_DENSE_FOUR_NORMS,
                   .vary = vary,
                   .args = a,
               });
}

const struct tare_arch tare_arch_gemma3_text = {
    .name = "gemma3_text",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .runs = true,
    .transformers_tied = true,
};
