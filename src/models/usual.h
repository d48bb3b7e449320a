/* SPDX-License-Identifier: MIT
 * usual.h - the layer most decoders have: norms around grouped-query attention and a feed-forward block, gated or not.
 * A member's `layer` function says what differs from Llama's. */
#ifndef TARE_MODELS_USUAL_H
#define TARE_MODELS_USUAL_H

#include "models/skeleton.h"

struct tare_usual {
    struct tare_gqa_desc attention; /* without dim, eps, rope; kv_heads below 1: heads; head_dim below 1: dim / heads */
    struct tare_glu_desc glu;       /* without dim, activation; hidden 0: none */
    struct tare_mlp_desc mlp;       /* the same */
    const char *hidden_act;         /* NULL: silu */
    int64_t dim;

    /* Before and after attention, before and after the feed-forward block; NULL: none. All NULL: Llama's two. */
    const char *norms[4];
    int norm; /* TARE_SKELETON_RMS .. TARE_SKELETON_NO_NORM; layer norms have a bias */
    double eps;
    bool parallel;     /* attention and feed-forward side by side, both of the first norm */
    bool wide_qk_norm; /* q_norm and k_norm over all heads together (OLMo 2); planned only */
    bool planned_only; /* blocks that do not tell the whole truth: declared, never run */

    double theta; /* 0: no rotation */
    const json_t *scaling;
    int64_t context;
    double partial;    /* the share of a head that rotates; 0: all */
    int64_t rope_dims; /* the same in dimensions */
    bool interleaved;
};

void tare_usual_layer(struct tare_layer *l, struct tare_at at, const struct tare_usual *usual);

/* A whole decoder of layers that are all alike. The skeleton has no layer function; usual takes dim, norm, eps and
 * context from it. */
void tare_usual_decoder(struct tare_at root, struct tare_decoder *d, const struct tare_skeleton *skeleton,
                        const struct tare_usual *usual);

/* Fields that go by the same names in most args: of a skeleton, of a layer, of a layer that is Llama's (but o_bias). */
#define TARE_USUAL_SKELETON(a)                                                                                         \
    .dim = (a)->hidden_size, .vocabulary = (a)->vocab_size, .n_layers = (a)->num_hidden_layers,                        \
    .context = (a)->max_position_embeddings
#define TARE_USUAL_LAYER(a)                                                                                            \
    .attention.heads = (a)->num_attention_heads, .attention.kv_heads = (a)->num_key_value_heads,                       \
    .theta = (a)->rope_theta, .hidden_act = (a)->hidden_act,                                                           \
    .scaling = (a)->rope_scaling ? (a)->rope_scaling : (a)->rope_parameters
#define TARE_USUAL_LLAMA(a)                                                                                            \
    TARE_USUAL_LAYER(a), .attention.head_dim = (a)->head_dim, .attention.bias = (a)->attention_bias,                   \
                         .glu.hidden = (a)->intermediate_size

/* dim / heads, refused when it does not go. */
int64_t tare_head_dim(struct tare_at at, int64_t dim, int64_t heads);

/* Rotary tables of older files ("self_attn.rotary_emb.inv_freq"): a sanitize. */
void tare_usual_drop_rotary(struct tare_weights *w, const void *args);

#endif
