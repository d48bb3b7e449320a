/* SPDX-License-Identifier: MIT
 * dense_decoder.h - decoders like Llama: in each layer grouped-query attention and a gated feed-forward block. A member
 * says what differs; what it leaves out is Llama's.
 *
 *     tare_dense(root, d, &(struct tare_dense){TARE_DENSE_LLAMA(a), .attention.bias = a->attention_bias});
 */
#ifndef TARE_MODELS_FAMILY_DENSE_DECODER_H
#define TARE_MODELS_FAMILY_DENSE_DECODER_H

#include "models/family/decoder_skeleton.h"

struct tare_dense {
    struct tare_skeleton skeleton; /* without layer; its norm and eps are those of the layers' norms too */
    /* Without dim, eps and rope. head_dim below 1 stands for dim / heads, kv_heads below 1 for heads. */
    struct tare_gqa_desc attention;
    struct tare_glu_desc ffn; /* without dim and activation */
    const char *hidden_act;   /* NULL: silu */

    /* Names of the norms before and after attention, and before and after the feed-forward block; NULL: none. When all
     * are NULL, these are Llama's two. */
    const char *norms[4];
    bool parallel; /* attention and feed-forward block both read the first norm's output, and are added together */

    double theta;          /* NaN: it is in `scaling`, or else the config is refused */
    const json_t *scaling; /* rope_scaling or rope_parameters; NULL: none */
    double rotated;        /* the share of a head that rotates; 0: all */
    bool interleaved, no_rope;
    double residual_scale; /* multiplies what both blocks add; 0 or 1: none */

    const void *args; /* of the model, for the three hooks below */
    /* MAY: changes what differs in layer i, in a copy of this struct. */
    void (*vary)(struct tare_dense *copy, int64_t i);
    /* MAY: extends the attention, right after tare_gqa() has declared it. */
    void (*attend)(struct tare_layer *l, struct tare_at at, const struct tare_dense *dense);
    /* MAY: declares what else a layer has. */
    void (*more)(struct tare_layer *l, struct tare_at at, const struct tare_dense *dense);
    bool no_ffn; /* `more` declares the feed-forward block */
};

/* The fields that go by the same names in nearly all args. */
#define TARE_DENSE_USUAL(a)                                                                                            \
    .skeleton.dim = (a)->hidden_size, .skeleton.vocabulary = (a)->vocab_size,                                          \
    .skeleton.n_layers = (a)->num_hidden_layers, .skeleton.context = (a)->max_position_embeddings,                     \
    .attention.heads = (a)->num_attention_heads, .attention.kv_heads = (a)->num_key_value_heads,                       \
    .ffn.hidden = (a)->intermediate_size, .hidden_act = (a)->hidden_act, .theta = (a)->rope_theta,                     \
    .scaling = (a)->rope_scaling ? (a)->rope_scaling : (a)->rope_parameters

/* The same, for a model with RMS norms, and a head of its own unless it is tied. */
#define TARE_DENSE_LLAMA(a)                                                                                            \
    TARE_DENSE_USUAL(a), .skeleton.eps = (a)->rms_norm_eps, .skeleton.head = TARE_HEAD_FLAG,                           \
                         .skeleton.tied = (a)->tie_word_embeddings

/* Llama's own additions, which many of its heirs have: head_dim and the biases. */
#define TARE_DENSE_BIASED(a)                                                                                           \
    .attention.head_dim = (a)->head_dim, .attention.bias = (a)->attention_bias,                                        \
    .attention.o_bias = (a)->attention_bias, .ffn.bias = (a)->mlp_bias

/* Gemma's norms, before and after both blocks. */
#define TARE_DENSE_FOUR_NORMS                                                                                          \
    {                                                                                                                  \
        "input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm"       \
    }

/* Declares the decoder below root, and describes it in d. */
void tare_dense(struct tare_at root, struct tare_decoder *d, const struct tare_dense *dense);

/* Drops the rotary tables of older files ("self_attn.rotary_emb.inv_freq"). It may be a model's whole sanitize. */
void tare_dense_drop_rotary(struct tare_weights *w, const void *args);
/* Drops InternLM's ("attention.rope.inv_freq"). */
void tare_dense_drop_rope(struct tare_weights *w, const void *args);

#endif
