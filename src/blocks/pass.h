/* SPDX-License-Identifier: MIT
 * pass.h - one forward pass, which takes a few tokens of one sequence or of several through all layers, and what the
 * forward of a block may use.
 *
 * All tokens of a pass go through a linear together. A block that looks at other tokens of a sequence works by spans: a
 * span is the tokens of one sequence, which follow one another in the pass and in the sequence.
 */
#ifndef TARE_BLOCKS_PASS_H
#define TARE_BLOCKS_PASS_H

#include "base/pool.h"
#include "blocks/activation.h"
#include "blocks/decoder.h"
#include "blocks/weights.h"
#include "kernels/kernels.h"

struct tare_span {
    int64_t first; /* rows [first, first + tokens) of the pass are this span */
    int64_t tokens;
    int64_t start; /* position of its first token in the sequence */
    /* Positions of the sequence after the whole feed, which may take several passes. Ropes that depend on the length of
     * the text take this number. */
    int64_t total;
    struct tare_state *const *states; /* of the sequence: two a layer, mixer and ffn; NULL where a block has none */
    int turn;                         /* for tare_state_from() and tare_state_to() */
};

/* Sees what goes into each product of a declared linear, for calibrating (quantize/calibrate). */
struct tare_observer {
    /* x is (tokens of the pass, ldx). False: the product is not needed, and zeros stand for what it would give. */
    bool (*see)(void *user, const struct tare_pass *pass, const struct tare_linear *linear, const float *x,
                int64_t ldx);
    void *user;
};

struct tare_pass {
    struct tare_kernels kernels;
    struct tare_pool *pool;
    const struct tare_loaded *loaded;
    int64_t tokens; /* rows of this pass */
    const struct tare_span *spans;
    int64_t n_spans;
    const int32_t *span_of;    /* (tokens): the span of each row */
    int64_t slot;              /* the running block's place in span->states */
    int64_t lender;            /* slot of the mixer that the running one borrows from; -1: none */
    float *x;                  /* (tokens, dim), the residual stream; the decoder's, like y and normed */
    float *y;                  /* (tokens, dim), what a block gives */
    float *normed[2];          /* (tokens, dim) each, what mixer and ffn take */
    float *slice[TARE_SLICES]; /* (tokens, decoder->slices[..]) each; see blocks/decoder.h */
    float *turned;             /* (tokens, decoder->turned), for tare_linear_forward() alone */
    float *scratch;            /* the running block's own, as many floats as its ops->scratch(tokens) says */
    float *const *work;        /* of each thread, tare_decoder_work() floats */
    const struct tare_matrix *head;
    const struct tare_parameter *head_weight; /* the parameter that `head` was loaded from */
    const float *head_bias;                   /* NULL: none */
    const volatile int *cancel;               /* NULL: never; polled once a layer */
    const struct tare_observer *observer;     /* NULL: none */
};

static inline const struct tare_span *tare_pass_span(const struct tare_pass *pass, int64_t token)
{
    return &pass->spans[pass->span_of[token]];
}
/* The position of a token in its sequence. */
static inline int64_t tare_pass_position(const struct tare_pass *pass, int64_t token)
{
    const struct tare_span *span = tare_pass_span(pass, token);
    return span->start + token - span->first;
}
/* The running block's state of a sequence. */
static inline struct tare_state *tare_pass_state(const struct tare_pass *pass, const struct tare_span *span)
{
    return span->states[pass->slot];
}
/* The state of the mixer that the running one borrows from; NULL: it borrows from none. */
static inline struct tare_state *tare_pass_lent(const struct tare_pass *pass, const struct tare_span *span)
{
    return pass->lender < 0 ? NULL : span->states[pass->lender];
}

/* Tokens of the pass of which something is wanted: n rows, ascending, and for each where its (vocabulary) logits go and
 * where its (dim) floats of the hidden state go, which the head is multiplied with. Each of the two may be NULL. */
struct tare_wanted {
    const int32_t *rows;
    float *const *logits;
    float *const *hidden;
    int64_t n;
};
/* Run pass->tokens ids through all layers. TARE_E_CANCELLED when *pass->cancel became non-zero. */
enum tare_code tare_decoder_forward(const struct tare_decoder *decoder, struct tare_pass *pass, const int32_t *ids,
                                    const struct tare_wanted *wanted, struct tare_error *err);
/* The same by steps, for who takes all tokens of a text through one layer before the next: pass->tokens ids to what the
 * first layer takes, in pass->x; */
void tare_decoder_embed(const struct tare_decoder *decoder, struct tare_pass *pass, const int32_t *ids);
/* then each layer in two parts, its mixer (0) and its feed-forward block (1); a parallel layer has both in part 0. */
void tare_decoder_part(const struct tare_decoder *decoder, struct tare_pass *pass, int64_t layer, int part);
/* Floats of scratch that suffice for each block. */
size_t tare_decoder_scratch(const struct tare_decoder *decoder, int64_t tokens);
/* Floats of work memory a thread: at least TARE_PANEL_FLOATS, dim, and twice the positions of the longest sequence. */
size_t tare_decoder_work(const struct tare_decoder *decoder, int64_t length);

/* y (tokens, ldy) = linear(x (tokens, ldx)), bias included. */
void tare_linear_forward(const struct tare_pass *pass, const struct tare_linear *linear, const float *x, int64_t ldx,
                         float *y, int64_t ldy);
/* The same for several linears with the same x, whose products are handed out to the threads together: each time that
 * threads wait for one another costs some microseconds. Those without a weight are left out. */
#define TARE_LINEARS 3 /* at most */
struct tare_linear_to {
    const struct tare_linear *linear;
    float *y;
};
void tare_linears_forward(const struct tare_pass *pass, const struct tare_linear_to to[TARE_LINEARS], const float *x,
                          int64_t ldx, int64_t ldy);
/*
 * y = norm(x), a row of norm->dim floats; x == y is fine. Kind NONE copies.
 *   RMS           x / sqrt(mean(x^2) + eps) * w          RMS_ONE_PLUS   ... * (1 + w)
 *   RMS_BEFORE    x * w / sqrt(mean((x * w)^2) + eps)
 *   LAYER         (x - mean) / sqrt(var + eps) * w + b
 * norm->offset is added to w; without a weight, w is 1.
 */
void tare_norm_row(const struct tare_pass *pass, const struct tare_norm *norm, const float *x, float *y);
/* The same for all tokens of (tokens, dim). dim is needed for kind NONE. */
void tare_norm_forward(const struct tare_pass *pass, const struct tare_norm *norm, int64_t dim, const float *x,
                       float *y);

/* y += x, (tokens, dim) each. */
void tare_rows_add(const struct tare_pass *pass, int64_t dim, const float *x, float *y);

#endif
