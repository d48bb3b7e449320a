/* SPDX-License-Identifier: MIT
 * decoder_skeleton.h - what nearly every decoder has: an embedding, numbered layers, a last norm, an output head. */
#ifndef TARE_MODELS_FAMILY_DECODER_SKELETON_H
#define TARE_MODELS_FAMILY_DECODER_SKELETON_H

#include "models/model.h"

struct tare_skeleton {
    const char *model;     /* "model"; "": below the root itself */
    const char *embedding; /* "embed_tokens" */
    const char *layers;    /* "layers" */
    const char *norm_name; /* "norm" */
    const char *head_name; /* "lm_head" */
    int64_t dim, vocabulary, n_layers, context;
    int64_t blocks; /* a layer of the model becomes so many of the decoder, and .layer gets the first; 0: one */
    /* norm: of the last norm; NO_NORM has none, the BARE ones have no weight */
    enum {
        TARE_SKELETON_RMS,
        TARE_SKELETON_RMS_ONE_PLUS,
        TARE_SKELETON_LAYER,
        TARE_SKELETON_NO_NORM,
        TARE_SKELETON_RMS_BARE,
        TARE_SKELETON_LAYER_BARE
    } norm;
    double norm_offset; /* added to the weights */
    bool norm_bias;     /* of a layer norm */
    double eps;
    double embedding_scale, logit_scale, logit_soft_cap; /* see struct tare_decoder; 0: none */
    /* Declare layer i at `at` ("model.layers.3"); must not loop on after an error in at.tree. */
    void (*layer)(struct tare_layer *l, struct tare_at at, const void *args, int64_t i);
    enum tare_head_kind head; /* OWN, FLAG (with tied), CONTENT, NONE */
    bool tied, head_bias;
};

/* The fields that go by the same names in nearly all args, and a head unless tied. */
#define TARE_SKELETON_SIZES(a)                                                                                         \
    .dim = (a)->hidden_size, .vocabulary = (a)->vocab_size, .n_layers = (a)->num_hidden_layers
#define TARE_SKELETON_USUAL(a) TARE_SKELETON_SIZES(a), .context = (a)->max_position_embeddings, .eps = (a)->rms_norm_eps
#define TARE_SKELETON_TIED(a) .head = TARE_HEAD_FLAG, .tied = (a)->tie_word_embeddings

/* A norm of the skeleton's kind; no name: none. */
struct tare_norm tare_skeleton_norm(struct tare_at at, const char *name, const struct tare_skeleton *skeleton);

/* Declare it below root, layer by layer, and describe it in d. The embedding and the head are declared too. */
void tare_skeleton(struct tare_at root, const void *args, struct tare_decoder *d, const struct tare_skeleton *skeleton);

#endif
