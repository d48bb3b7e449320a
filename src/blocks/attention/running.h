/* SPDX-License-Identifier: MIT
 * running.h - attention that takes its keys by blocks, for many heads that read the same ones: the softmax is kept
 * running from block to block (Milakov and Gimelshein 2018). */
#ifndef TARE_BLOCKS_ATTENTION_RUNNING_H
#define TARE_BLOCKS_ATTENTION_RUNNING_H

#include "blocks/state.h"

enum { TARE_RUNNING_BLOCK = 64 }; /* most keys at once */

/* Of the scores so far: the largest, and sum e^(score - most). */
struct tare_running {
    float most, sum;
};
/* Nothing yet: y (width) becomes 0. sink: a logit that takes its share and gives nothing; NULL: none. */
void tare_running_begin(struct tare_running *running, const float *sink, float *y, int64_t width);
/* Scores (n) become the weights of their values, and y is made to fit: add each value by its weight. */
void tare_running_add(const struct tare_kernels *kernels, struct tare_running *running, float *scores, int64_t n,
                      float *y, int64_t width);
void tare_running_end(const struct tare_running *running, float *y, int64_t width);

/* Rows of a state that are looked at: some, ascending, or the n from `first` on. */
struct tare_seen {
    const struct tare_state *state;
    const int32_t *chosen; /* NULL: all of them */
    int64_t first, n;
};
/* scores[k] = scale * q . row of number from + k, k in [0, n), of a part with one plane */
void tare_seen_scores(const struct tare_kernels *kernels, const struct tare_seen *seen, int part, const float *q,
                      int64_t from, int64_t n, float scale, float *scores);
/* y += sum_k weights[k] row of number from + k */
void tare_seen_mix(const struct tare_kernels *kernels, const struct tare_seen *seen, int part, const float *weights,
                   int64_t from, int64_t n, float *y);

#endif
