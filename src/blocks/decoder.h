/* SPDX-License-Identifier: MIT
 * decoder.h - what a model file says of the whole model: an embedding, layers made of blocks, a norm, a head.
 *
 * declare() fills a tare_decoder beside the parameter tree, so that blocks exist when a checkpoint is planned. The loop
 * over layers knows only the ops of a block. Each kind of block is a struct of its own with its functions, in a file
 * below src/blocks/.
 */
#ifndef TARE_BLOCKS_DECODER_H
#define TARE_BLOCKS_DECODER_H

#include "blocks/state.h"
#include "tree/tree.h"

struct tare_pass;
struct tare_loaded;

/*
 * Linears whose columns may be multiplied by numbers when what comes before is divided by them, without a change of
 * what the block gives but for rounding: column c of each reader goes with row
 * first + c / width / repeat * width + c % width of `before`.
 */
enum { TARE_FOLDS = 2, TARE_FOLD_READERS = 5 };
struct tare_fold {
    const struct tare_linear *before; /* NULL: the block's input, so the norm before the block */
    int64_t first, width, repeat;     /* of the rows of `before` */
    /* All that read it, up to a NULL; some may be without a weight, which are none. */
    const struct tare_linear *reader[TARE_FOLD_READERS];
};

struct tare_block_ops {
    const char *name;
    /* MAY: the parts that the state of a sequence is made of, see blocks/state.h; returns how many. NULL: none. */
    int (*state)(const void *block, struct tare_state_part parts[TARE_STATE_PARTS]);
    /* MAY: floats of pass->scratch that forward needs for that many tokens; SIZE_MAX / 16 and more are refused. */
    size_t (*scratch)(const void *block, int64_t tokens);
    /* MUST: x (tokens, dim) -> y (tokens, dim); see blocks/pass.h. */
    void (*forward)(const void *block, struct tare_pass *pass, const float *x, float *y);
    /* MAY: bytes of its matrices that decoding one token does not read: experts that are not chosen. */
    uint64_t (*spared)(const void *block, const struct tare_loaded *loaded);
    /* MAY: where numbers may be folded; returns how many. NULL: nowhere. */
    int (*folds)(const void *block, struct tare_fold folds[TARE_FOLDS]);
    /* MAY: the linear that chooses experts, which stays as floats where others are quantized; NULL: none. */
    const struct tare_linear *(*router)(const void *block);
};

struct tare_block {
    const struct tare_block_ops *ops; /* NULL: the block is declared for planning only, and the model cannot run */
    const void *self;
};

enum tare_residual { TARE_RESIDUAL_SEQUENTIAL, TARE_RESIDUAL_PARALLEL };

struct tare_after;

struct tare_layer {
    struct tare_block mixer;
    struct tare_block ffn;
    struct tare_norm pre[2];     /* before mixer and ffn */
    struct tare_norm post[2];    /* after mixer and ffn, before the residual sum; kind NONE: none */
    enum tare_residual residual; /* parallel: x + mixer(pre[0] x) + ffn(pre[1] x) */
    double residual_scale;       /* of what both blocks give, before the sum; 0 stands for 1 */
    int64_t borrows;             /* the mixer may read the state of the layer that many before; 0: it does not */
    struct tare_after *after;    /* what few models do after the two blocks, see blocks/after.h; NULL: nothing */
};

/* Room beside x that a few models need for the length of a pass. Who needs some declares how many floats a token it is,
 * and finds it in pass->slice[], (tokens, width). Users of one slice share it. */
enum tare_pass_slice {
    TARE_SLICE_STREAM, /* what decoder->stream keeps of the residual stream */
    TARE_SLICE_INPUTS, /* inputs of each layer's own: stream/per_layer.c */
    TARE_SLICE_NGRAM,  /* one table's share of the embedding: stream/ngram.c */
    TARE_SLICE_LATER,  /* what is added a layer later: feed_forward/shortcut.c */
    TARE_SLICE_VALUES, /* the first layer's values: recurrent/time_mixing.c */
    TARE_SLICE_CHOSEN, /* which keys an index chose, for the layers that follow it: attention/ */
    TARE_SLICES
};

/* What is computed of the ids and the embedded x once a pass, before the layers. */
struct tare_before {
    void (*run)(const void *self, struct tare_pass *pass, const int32_t *ids); /* NULL: nothing */
    const void *self;
};

/* How blocks are tied to the residual stream where that is more than x += block(norm(x)). Each function MAY be NULL,
 * which leaves its part as it is for other models. pass->slot is 2 * layer, and 1 more for the feed-forward block. */
struct tare_layer_stream {
    /* Starts from pass->x, the embedded tokens. */
    void (*begin)(const void *self, struct tare_pass *pass);
    /* Puts what pre[] norms for this slot into pass->normed[0]. */
    void (*read)(const void *self, struct tare_pass *pass);
    /* Takes pass->y, which the block of this slot gave, after post[]. */
    void (*write)(const void *self, struct tare_pass *pass);
    /* Puts what the last norm takes into pass->x. */
    void (*end)(const void *self, struct tare_pass *pass);
    const void *self;
};

struct tare_decoder {
    struct tare_arena *arena;
    struct tare_before before;
    struct tare_layer_stream stream;  /* with one, all layers are sequential */
    int64_t slices[TARE_SLICES];      /* floats a token of each */
    int64_t turned;                   /* inputs of the widest linear that a Hadamard transform precedes; 0: none */
    int64_t dim, vocabulary, context; /* context: max_position_embeddings, 0 not known */
    const struct tare_parameter *embedding;
    const struct tare_parameter *positions; /* learned, (n, dim); NULL: none */
    int64_t position_offset;
    struct tare_layer *layers;
    int64_t n_layers;
    bool too_deep; /* the config asks for absurdly many layers: declaring refuses it */
    struct tare_norm norm;
    struct tare_norm embedding_norm;
    const struct tare_parameter *head;      /* a dense head that is no linear; NULL: the tree's */
    const struct tare_parameter *head_gain; /* of logits, a trained number (1); NULL: none */
    const int32_t *never; /* ids whose logits are minus infinity; those beyond the vocabulary do not count */
    int64_t n_never;
    double embedding_scale; /* 0 or 1: none */
    double logit_soft_cap;  /* 0: none */
    double logit_scale;     /* 0 or 1: none */
};

/* A copy of self (size bytes) in the arena of the tree; NULL without memory, and the tree's error says so. */
void *tare_block_keep(struct tare_at at, const void *self, size_t size);
/* Makes *block a block of such a copy and ops. Without memory it stays as it is. */
void tare_block_set(struct tare_block *block, struct tare_at at, const struct tare_block_ops *ops, const void *self,
                    size_t size);

/* Let a slice have at least `width` floats a token. */
void tare_slice_declare(struct tare_decoder *decoder, enum tare_pass_slice slice, int64_t width);

/* Whether everything is described and every block has ops. Otherwise the model can be planned only. */
bool tare_decoder_runs(const struct tare_decoder *decoder);

/* Repeats the layers that are there, so that a pass goes through them `times` times, each time with a state of its own
 * but with the same parameters. `between` is a norm between two rounds; kind NONE: none. */
void tare_layers_loop(struct tare_decoder *decoder, int64_t times, struct tare_norm between);

/* Appends that many layers, zeroed, and returns the first of them, or NULL as below. */
struct tare_layer *tare_layers_more(struct tare_decoder *decoder, int64_t more);

/* Makes n layers, zeroed. Without memory, or with more layers than any model has (too_deep), n_layers becomes 0. */
struct tare_layer *tare_layers(struct tare_decoder *decoder, int64_t n);

#endif
