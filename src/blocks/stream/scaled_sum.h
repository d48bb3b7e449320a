/* SPDX-License-Identifier: MIT
 * scaled_sum.h - residual sums with trained factors:
 *
 *     x = keep * x + take * block(..)     element by element (muse_spark)
 *     x += gain * block(..)               and after each layer x += skip * e, with e the embedded tokens (talkie)
 */
#ifndef TARE_BLOCKS_STREAM_SCALED_SUM_H
#define TARE_BLOCKS_STREAM_SCALED_SUM_H

#include "blocks/decoder.h"

/* Of one layer; [0] for the mixer, [1] for the feed-forward block. NULL stands for 1, and for no skip. */
struct tare_scaled_sum {
    const struct tare_parameter *keep[2]; /* (dim), given together with take */
    const struct tare_parameter *take[2]; /* (dim) */
    const struct tare_parameter *gain[2]; /* (1) */
    const struct tare_parameter *skip;    /* (1) */
};

/* Sums of n layers, zeroed, for the model to fill in as it declares them. NULL: the tree has an error. */
struct tare_scaled_sum *tare_scaled_sum_open(struct tare_at at, int64_t n);
/* Let the decoder, which has its layers, sum by them. */
void tare_scaled_sum_close(struct tare_scaled_sum *sums, struct tare_at at, struct tare_decoder *decoder);

#endif
