/* SPDX-License-Identifier: MIT
 * decoder_skeleton.h - what nearly every decoder has: an embedding, numbered layers, a last norm, an output head. */
#ifndef TARE_MODELS_FAMILY_DECODER_SKELETON_H
#define TARE_MODELS_FAMILY_DECODER_SKELETON_H

#include "models/model.h"

struct tare_skeleton {
    /* Names of the parts, where they differ from those given here. model "": the parts are right below the root. */
    const char *model;     /* "model" */
    const char *embedding; /* "embed_tokens" */
    const char *layers;    /* "layers" */
    const char *norm_name; /* "norm" */
    const char *head_name; /* "lm_head" */
    int64_t dim, vocabulary, n_layers, context;
    /* A layer of the model becomes that many layers of the decoder, and .layer is given the first of them. 0: one. */
    int64_t blocks;
    /* The kind of the last norm. With NO_NORM there is none; the BARE kinds have no weight. */
    enum {
        TARE_SKELETON_RMS,
        TARE_SKELETON_RMS_ONE_PLUS,
        TARE_SKELETON_LAYER,
        TARE_SKELETON_NO_NORM,
        TARE_SKELETON_RMS_BARE,
        TARE_SKELETON_LAYER_BARE
    } norm;
    double norm_offset; /* added to the weights of norms */
    bool norm_bias;     /* a layer norm has a bias */
    double eps;
    double embedding_scale, logit_scale, logit_soft_cap; /* see struct tare_decoder; 0: none */
    /* Declares layer i at `at` ("model.layers.3"). After an error in at.tree its loops must end. */
    void (*layer)(struct tare_layer *l, struct tare_at at, const void *args, int64_t i);
    enum tare_head_kind head; /* OWN, FLAG (with tied), CONTENT, NONE */
    bool tied, head_bias;
};

/* The fields that go by the same names in nearly all args, and a head unless tied. */
#define TARE_SKELETON_SIZES(a)                                                                                         \
    .dim = (a)->hidden_size, .vocabulary = (a)->vocab_size, .n_layers = (a)->num_hidden_layers
#define TARE_SKELETON_USUAL(a) TARE_SKELETON_SIZES(a), .context = (a)->max_position_embeddings, .eps = (a)->rms_norm_eps
#define TARE_SKELETON_TIED(a) .head = TARE_HEAD_FLAG, .tied = (a)->tie_word_embeddings

/* Declares a norm of the skeleton's kind. Without a name there is none. */
struct tare_norm tare_skeleton_norm(struct tare_at at, const char *name, const struct tare_skeleton *skeleton);

/* Declares the decoder below root, with embedding and head, and describes it in d. */
void tare_skeleton(struct tare_at root, const void *args, struct tare_decoder *d, const struct tare_skeleton *skeleton);

#endif
