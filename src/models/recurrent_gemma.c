/* SPDX-License-Identifier: MIT
 * recurrent_gemma.c - RecurrentGemma, or Griffin (mlx-lm: models/recurrent_gemma.py). */
#include <string.h>

#include "models/family/decoder_skeleton.h"

#define ARGS(ARG)                                                                                                      \
    ARG(FLAG, attention_bias, REQUIRED)                                                                                \
    ARG(INT, conv1d_width, REQUIRED)                                                                                   \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(REAL, logits_soft_cap, REQUIRED)                                                                               \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(REAL, rope_theta, REQUIRED)                                                                                    \
    ARG(INT, attention_window_size, REQUIRED)                                                                          \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(FLAG, embeddings_scale_by_sqrt_dim, true)                                                                      \
    ARG(JSON, block_types, ABSENT)                                                                                     \
    ARG(JSON, _block_types, ABSENT)                                                                                    \
    ARG(INT, max_position_embeddings, ABSENT)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    if (!a->block_types) /* the 2B and the 9B model differ in the name */
        a->block_types = a->_block_types;
    const size_t n = json_array_size(a->block_types);
    for (size_t i = 0; i < n; i++) {
        const char *type = json_string_value(json_array_get(a->block_types, i));
        if (!type || (strcmp(type, "recurrent") != 0 && strcmp(type, "attention") != 0))
            return tare_fail(d->err, TARE_E_CONFIG, d->place,
                             "block_types[%zu] is neither \"recurrent\" nor \"attention\"", i);
    }
    if (n == 0)
        return tare_fail(d->err, TARE_E_CONFIG, d->place,
                         "block_types must be a list of \"recurrent\" and \"attention\"");
    return TARE_OK;
}

static bool recurrent(const struct args *a, int64_t layer)
{
    const size_t n = json_array_size(a->block_types);
    return !strcmp(json_string_value(json_array_get(a->block_types, (size_t)layer % n)), "recurrent");
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    const int64_t dim = a->hidden_size;
    const int64_t head = tare_div(at, "hidden_size", dim, "num_attention_heads", a->num_attention_heads);
    l->pre[0] = tare_rms_norm_one_plus(at, "temporal_pre_norm", dim, 1e-5);
    if (recurrent(a, i))
        tare_rg_lru(
            l, at,
            &(struct tare_rg_lru_desc){
                .name = "temporal_block", .dim = dim, .heads = a->num_attention_heads, .width = a->conv1d_width});
    else
        tare_gqa(l, at,
                 &(struct tare_gqa_desc){
                     .name = "temporal_block",
                     .dim = dim,
                     .heads = a->num_attention_heads,
                     .kv_heads = a->num_key_value_heads,
                     .head_dim = head,
                     .bias = a->attention_bias,
                     .o_bias = true,
                     .window = a->attention_window_size,
                     .rope = {.kind = TARE_ROPE_DEFAULT, .dims = head / 2, .base = a->rope_theta},
                 });
    l->pre[1] = tare_rms_norm_one_plus(at, "channel_pre_norm", dim, 1e-5);
    tare_glu(l, at,
             &(struct tare_glu_desc){.name = "mlp_block",
                                     .dim = dim,
                                     .hidden = a->intermediate_size / 2,
                                     .bias = true,
                                     .activation = TARE_GELU_TANH});
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(
        root, args, d,
        &(struct tare_skeleton){TARE_SKELETON_USUAL(a), .norm_name = "final_norm", .norm = TARE_SKELETON_RMS_ONE_PLUS,
                                .embedding_scale = a->embeddings_scale_by_sqrt_dim ? sqrt((double)a->hidden_size) : 0,
                                .logit_soft_cap = a->logits_soft_cap, .layer = layer, .head = TARE_HEAD_CONTENT});
}

static void sanitize(struct tare_weights *w, const void *args)
{
    (void)args;
    tare_conv_channels_last(w, "**.*conv_1d.weight");
}

const struct tare_arch tare_arch_recurrent_gemma = {
    .name = "recurrent_gemma",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .transformers_tied = true,
    .runs = true,
};
