/* SPDX-License-Identifier: MIT
 * running.h - attention that takes its keys by blocks, for many heads that read the same ones: the softmax is kept
 * running from block to block (Milakov and Gimelshein 2018). */
#ifndef TARE_BLOCKS_ATTENTION_RUNNING_H
#define TARE_BLOCKS_ATTENTION_RUNNING_H

#include "blocks/state.h"

enum { TARE_RUNNING_BLOCK = 64 }; /* most keys at once */

/* The softmax of the scores that were added so far. */
struct tare_running {
    float most; /* the largest score */
    float sum;  /* of e^(score - most) */
};
/* Begins without any score: y (width) becomes 0. The sink is a logit that takes its share and has no value; NULL: none.
 */
void tare_running_begin(struct tare_running *running, const float *sink, float *y, int64_t width);
/* Turns n scores into weights, in place, and scales y to fit them. The caller then adds each value times its weight. */
void tare_running_add(const struct tare_kernels *kernels, struct tare_running *running, float *scores, int64_t n,
                      float *y, int64_t width);
/* Divides y by the sum of all weights. */
void tare_running_end(const struct tare_running *running, float *y, int64_t width);

/* The rows of a state that a query looks at: those that are chosen, in ascending order, or n rows from `first` on. */
struct tare_seen {
    const struct tare_state *state;
    const int32_t *chosen; /* n positions; NULL: the rows from `first` on */
    int64_t first;
    int64_t n;
};
/* scores[k] = scale * q . row[from + k] for k in [0, n), over a part of the state that has one plane. */
void tare_seen_scores(const struct tare_kernels *kernels, const struct tare_seen *seen, int part, const float *q,
                      int64_t from, int64_t n, float scale, float *scores);
/* y += sum_k weights[k] * row[from + k] */
void tare_seen_mix(const struct tare_kernels *kernels, const struct tare_seen *seen, int part, const float *weights,
                   int64_t from, int64_t n, float *y);

#endif
