/* SPDX-License-Identifier: MIT
 * dense.h - decoders like Llama: in each layer grouped-query attention and a gated feed-forward block. A member says
 * what differs; what it leaves out is Llama's.
 *
 *     tare_dense(root, d, &(struct tare_dense){TARE_DENSE_LLAMA(a), .attention.bias = a->attention_bias});
 */
#ifndef TARE_MODELS_FAMILY_DENSE_H
#define TARE_MODELS_FAMILY_DENSE_H

#include "models/family/skeleton.h"

struct tare_dense {
    struct tare_skeleton skeleton;  /* without layer; its norm and eps are those of the layers' norms too */
    struct tare_gqa_desc attention; /* without dim, eps, rope; head_dim below 1: dim / heads; kv_heads: heads */
    struct tare_glu_desc ffn;       /* without dim and activation */
    const char *hidden_act;         /* NULL: silu */

    /* Before and after attention, before and after the feed-forward block; NULL: none. All NULL: Llama's two. */
    const char *norms[4];
    bool parallel; /* attention and feed-forward side by side, both of the first norm */

    double theta;          /* NaN: in scaling, or refused */
    const json_t *scaling; /* rope_scaling or rope_parameters; NULL: none */
    double rotated;        /* the share of a head that rotates; 0: all */
    bool interleaved, no_rope;
    double residual_scale; /* of both blocks, before the sum; 0 or 1: none */

    const void *args; /* for the three below */
    /* MAY: change what differs in layer i, in a copy. */
    void (*vary)(struct tare_dense *copy, int64_t i);
    /* MAY: extend the attention, right after tare_gqa() has declared it. */
    void (*attend)(struct tare_layer *l, struct tare_at at, const struct tare_dense *dense);
    /* MAY: declare what else a layer has. */
    void (*more)(struct tare_layer *l, struct tare_at at, const struct tare_dense *dense);
    bool no_ffn; /* more declares it */
};

/* The fields that go by the same names in nearly all args. */
#define TARE_DENSE_USUAL(a)                                                                                            \
    .skeleton.dim = (a)->hidden_size, .skeleton.vocabulary = (a)->vocab_size,                                          \
    .skeleton.n_layers = (a)->num_hidden_layers, .skeleton.context = (a)->max_position_embeddings,                     \
    .attention.heads = (a)->num_attention_heads, .attention.kv_heads = (a)->num_key_value_heads,                       \
    .ffn.hidden = (a)->intermediate_size, .hidden_act = (a)->hidden_act, .theta = (a)->rope_theta,                     \
    .scaling = (a)->rope_scaling ? (a)->rope_scaling : (a)->rope_parameters

/* And those of a model with RMS norms and a head unless tied. */
#define TARE_DENSE_LLAMA(a)                                                                                            \
    TARE_DENSE_USUAL(a), .skeleton.eps = (a)->rms_norm_eps, .skeleton.head = TARE_HEAD_FLAG,                           \
                         .skeleton.tied = (a)->tie_word_embeddings

/* Gemma's: around both blocks. */
#define TARE_DENSE_FOUR_NORMS                                                                                          \
    {                                                                                                                  \
        "input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm"       \
    }

void tare_dense(struct tare_at root, struct tare_decoder *d, const struct tare_dense *dense);

/* Rotary tables of older files ("self_attn.rotary_emb.inv_freq"): a sanitize. */
void tare_dense_drop_rotary(struct tare_weights *w, const void *args);
/* InternLM's ("attention.rope.inv_freq"). */
void tare_dense_drop_rope(struct tare_weights *w, const void *args);

#endif
