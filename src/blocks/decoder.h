/* SPDX-License-Identifier: MIT
 * decoder.h - what a model file says of the whole: an embedding, layers made of blocks, a norm, a head.
 *
 * declare() fills this beside the parameter tree, so blocks exist at plan time. The whole-model loop knows only the ops
 * of a block. A block is a struct of its own with its functions, one file each in src/run.
 */
#ifndef TARE_BLOCKS_DECODER_H
#define TARE_BLOCKS_DECODER_H

#include "blocks/state.h"
#include "tree/tree.h"

struct tare_pass;
struct tare_loaded;

struct tare_block_ops {
    const char *name;
    /* MAY: of which parts a sequence's state is made, see blocks/state.h; returns how many. NULL: none. */
    int (*state)(const void *block, struct tare_state_part parts[TARE_STATE_PARTS]);
    /* MAY: floats of pass->scratch that forward needs for so many tokens; SIZE_MAX / 16 and more are refused. */
    size_t (*scratch)(const void *block, int64_t tokens);
    /* MUST: x (tokens, dim) -> y (tokens, dim); see blocks/pass.h. */
    void (*forward)(const void *block, struct tare_pass *pass, const float *x, float *y);
    /* MAY: bytes of its matrices that decoding one token does not read: experts that are not chosen. */
    uint64_t (*spared)(const void *block, const struct tare_loaded *loaded);
};

struct tare_block {
    const struct tare_block_ops *ops; /* NULL: declared for planning only, run says so */
    const void *self;
};

enum tare_residual { TARE_RESIDUAL_SEQUENTIAL, TARE_RESIDUAL_PARALLEL };

struct tare_layer {
    struct tare_block mixer, ffn;
    struct tare_block third;     /* after ffn, of x itself, without a state; ops NULL: none */
    struct tare_norm third_post; /* of what it gives */
    int64_t borrows;             /* the mixer may read the state of the layer so many before; 0: no */
    struct tare_norm pre[2];     /* before mixer, before ffn */
    struct tare_norm post[2];    /* after mixer, after ffn, before the residual sum; kind NONE: none */
    enum tare_residual residual; /* parallel: x + mixer(pre[0] x) + ffn(pre[1] x) */
    double residual_scale;       /* of both blocks, before the sum; 0 or 1: none */
    const struct tare_parameter *keep[2], *take[2]; /* x = keep * x + take * block(..), element by element, (dim) each;
                                                       NULL: 1 */
    const struct tare_parameter *gain[2];           /* the same, a trained number each (1); NULL: none */
    const struct tare_parameter *skip;  /* a trained number (1): so much of the embedding is added; NULL: none */
    const struct tare_parameter *scale; /* of x, after the layer, a trained number (1); NULL: none */
    struct tare_norm last;              /* of x, after the layer; NONE: none */
};

/* What is worked out of the ids and the embedded x once a pass, before the layers, for some block: pass->side. */
struct tare_side {
    void (*begin)(const void *self, struct tare_pass *pass, const int32_t *ids); /* NULL: nothing */
    const void *self;
    int64_t width; /* floats a token */
};

/* How blocks are tied to the residual stream, where that is more than x += block(norm(x)). Each MAY be NULL: so. What
 * it keeps of a pass lies in pass->side. pass->slot: 2 * layer, and 1 more for the feed-forward block. */
struct tare_layer_stream {
    void (*begin)(const void *self, struct tare_pass *pass); /* pass->x: the embedded tokens */
    void (*read)(const void *self, struct tare_pass *pass);  /* what pre[] norms for this slot, into pass->normed[0] */
    void (*write)(const void *self,
                  struct tare_pass *pass);                 /* pass->y: what the block of this slot gave, after post[] */
    void (*end)(const void *self, struct tare_pass *pass); /* what the last norm takes, into pass->x */
    const void *self;
};

struct tare_decoder {
    struct tare_arena *arena;
    struct tare_side side;
    struct tare_layer_stream stream;  /* its layers are sequential ones */
    int64_t turned;                   /* inputs of the widest linear that has signs; 0: none has */
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
/* Make *block ops on such a copy; without memory it stays as it is. */
void tare_block_set(struct tare_block *block, struct tare_at at, const struct tare_block_ops *ops, const void *self,
                    size_t size);

/* Is the whole described, and has every block ops? Otherwise the model can be planned only. */
bool tare_decoder_runs(const struct tare_decoder *decoder);

/* Go so many times through the layers that are there, each time with a state of its own; last: a norm after each but
 * the last time, kind NONE: none. What was not declared n times stays one parameter. */
void tare_layers_loop(struct tare_decoder *decoder, int64_t times, struct tare_norm last);

/* So many layers more, zeroed, behind those that there are: the first of them, NULL as below. */
struct tare_layer *tare_layers_more(struct tare_decoder *decoder, int64_t more);

/* n layers, zeroed; without memory, or with more layers than any model has (too_deep), n_layers is 0. */
struct tare_layer *tare_layers(struct tare_decoder *decoder, int64_t n);

#endif
