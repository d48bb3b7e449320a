/* SPDX-License-Identifier: MIT
 * state.h - what a block remembers of a sequence from one pass to the next. A block only says of which parts its state
 * is made; keeping, growing, forking, rewinding and saving them is written here and in session.c, once for all blocks.
 *
 *   ROWS   a row of numbers for every position and plane: keys and values. Later rows never change earlier ones, so a
 *          state is rewound by forgetting its end. Stored by chunks of positions, which forks share until one writes.
 *   SUM    numbers that stand for everything so far: a recurrence, the last inputs of a convolution. A pass reads what
 *          the one before left (from) and leaves what comes out elsewhere (to), so that a pass which fails changes
 *          nothing. Zero before the first token.
 */
#ifndef TARE_BLOCKS_STATE_H
#define TARE_BLOCKS_STATE_H

#include "base/error.h"
#include "kernels/kernels.h"

enum { TARE_STATE_PARTS = 8 }; /* the most parts that one block has */

struct tare_state_part {
    enum { TARE_STATE_ROWS, TARE_STATE_SUM } kind;
    int64_t planes; /* ROWS: rows of each position. SUM: planes * width numbers in all */
    int64_t width;  /* ROWS: numbers of a row */
    /* ROWS: that many positions share a row, and functions below count rows, not positions. 0 stands for 1. */
    int64_t stride;
};

struct tare_state;

/* Opens a state of parts[0 .. n) for up to `context` positions, without memory for ROWS yet. The caller owns it. */
enum tare_code tare_state_open(struct tare_state **state, const struct tare_state_part *parts, int n, int64_t context,
                               struct tare_error *err);
/* Chooses how the numbers of ROWS are stored, before the first tare_state_reserve(). They are float32 otherwise. */
void tare_state_keep(struct tare_state *state, enum tare_cache cache);
void tare_state_free(struct tare_state *state); /* NULL is fine */
/* Makes room for positions [0, n), of which [length, n) will be written. A failure leaves the state as it was. */
enum tare_code tare_state_reserve(struct tare_state *state, int64_t length, int64_t n, struct tare_error *err);
/* Makes a second state with the contents of the first `length` positions. The two share chunks of rows until one of them
 * writes there. */
enum tare_code tare_state_fork(struct tare_state **fork, const struct tare_state *state, int64_t length,
                               struct tare_error *err);
/* Forgets the rows past the first `length` positions. Their memory is kept for what comes, but for chunks that others
 * share: to write there takes a copy in any case. */
void tare_state_rewind(struct tare_state *state, int64_t length);
bool tare_state_sums(const struct tare_state *state);      /* whether it has parts of kind SUM */
void tare_state_clear(struct tare_state *state, int turn); /* sets what tare_state_from() gives to zero */

/*
 * A state as bytes, after `length` positions, for saving and loading: visit gets the memory of one piece after another,
 * reads or writes it, and returns false to end. ROWS come by chunks, plane by plane, (rows, width) each; SUM is what
 * `from` gives. To load, a state of the same parts is reserved for `length` first.
 */
typedef bool tare_state_visit(void *user, void *bytes, size_t n);
bool tare_state_bytes(struct tare_state *state, int64_t length, int turn, tare_state_visit *visit, void *user);
/* Of all pieces together; UINT64_MAX: too many to count. */
uint64_t tare_state_size(const struct tare_state *state, int64_t length);

/* For ROWS. `row` is position / stride. Threads may write and read different rows at the same time. */
void tare_state_put(const struct tare_kernels *kernels, struct tare_state *state, int part, int64_t row, int64_t plane,
                    const float *values);
void tare_state_get(const struct tare_kernels *kernels, const struct tare_state *state, int part, int64_t row,
                    int64_t plane, float *values);
/* Rows [first, first + n) as they are stored. They may not cross a multiple of TARE_STATE_TOGETHER. */
#define TARE_STATE_TOGETHER 128
struct tare_rows tare_state_rows(const struct tare_state *state, int part, int64_t plane, int64_t first, int64_t n);
/* scores[i] = scale * q . row[first + i], i in [0, n) */
void tare_state_scores(const struct tare_kernels *kernels, const struct tare_state *state, int part, int64_t plane,
                       const float *q, int64_t first, int64_t n, float scale, float *scores);
/* y += sum_i p[i] row[first + i] */
void tare_state_mix(const struct tare_kernels *kernels, const struct tare_state *state, int part, int64_t plane,
                    const float *p, int64_t first, int64_t n, float *y);

/* For SUM: planes * width floats each, which do not overlap. `turn` is the span's, see blocks/pass.h. */
const float *tare_state_from(const struct tare_state *state, int part, int turn);
float *tare_state_to(struct tare_state *state, int part, int turn);

#endif
