/* SPDX-License-Identifier: MIT
 * lfm2_family.h - LFM2's layers: a short gated convolution or attention, then a network of the model's own. */
#ifndef TARE_MODELS_FAMILY_LFM2_FAMILY_H
#define TARE_MODELS_FAMILY_LFM2_FAMILY_H

#include "models/model.h"

struct tare_lfm2_desc {
    int64_t dim, heads, kv_heads;
    int64_t width;  /* of the convolution */
    bool conv_bias; /* the convolution and its two linears have biases */
    double eps, theta;
    const json_t *rope_parameters; /* MAY be NULL */
    int64_t context;
    const json_t *full_attn_idxs, *layer_types; /* tell which layers attend; with neither, all do */
};
/* The fields, from the args that both models have. */
#define TARE_LFM2(a)                                                                                                   \
    .dim = (a)->hidden_size, .heads = (a)->num_attention_heads, .kv_heads = (a)->num_key_value_heads,                  \
    .width = (a)->conv_L_cache, .conv_bias = (a)->conv_bias, .eps = (a)->norm_eps, .theta = (a)->rope_theta,           \
    .rope_parameters = (a)->rope_parameters, .context = (a)->max_position_embeddings,                                  \
    .full_attn_idxs = (a)->full_attn_idxs, .layer_types = (a)->layer_types

/* Fails with TARE_E_CONFIG unless the two lists are absent or lists of layers. */
enum tare_code tare_lfm2_check(const json_t *full_attn_idxs, const json_t *layer_types, int64_t n,
                               const struct tare_derive *d);
/* Declares the mixer of layer i and both norms. */
void tare_lfm2_layer(struct tare_layer *l, struct tare_at at, const struct tare_lfm2_desc *desc, int64_t i);
/* Turns convolutions to channels last. */
void tare_lfm2_sanitize(struct tare_weights *w, const void *args);

#endif
