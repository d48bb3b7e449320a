/* SPDX-License-Identifier: MIT
 * lfm2_family.h - LFM2's layers: a short gated convolution or attention, then a network of the model's own. */
#ifndef TARE_MODELS_FAMILY_LFM2_FAMILY_H
#define TARE_MODELS_FAMILY_LFM2_FAMILY_H

#include "models/model.h"

struct tare_lfm2_desc {
    int64_t dim, heads, kv_heads, width; /* width: of the convolution */
    bool conv_bias;                      /* also of its two linears */
    double eps, theta;
    const json_t *rope_parameters; /* MAY be NULL */
    int64_t context;
    const json_t *full_attn_idxs, *layer_types; /* which layers attend; neither: all do */
};
/* Both models' args have these. */
#define TARE_LFM2(a)                                                                                                   \
    .dim = (a)->hidden_size, .heads = (a)->num_attention_heads, .kv_heads = (a)->num_key_value_heads,                  \
    .width = (a)->conv_L_cache, .conv_bias = (a)->conv_bias, .eps = (a)->norm_eps, .theta = (a)->rope_theta,           \
    .rope_parameters = (a)->rope_parameters, .context = (a)->max_position_embeddings,                                  \
    .full_attn_idxs = (a)->full_attn_idxs, .layer_types = (a)->layer_types

/* What is checked of the two lists. */
enum tare_code tare_lfm2_check(const json_t *full_attn_idxs, const json_t *layer_types, int64_t n,
                               const struct tare_derive *d);
/* The mixer of layer i and both norms. */
void tare_lfm2_layer(struct tare_layer *l, struct tare_at at, const struct tare_lfm2_desc *desc, int64_t i);
/* Convolutions -> channels last. */
void tare_lfm2_sanitize(struct tare_weights *w, const void *args);

#endif
