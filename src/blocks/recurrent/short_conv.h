/* SPDX-License-Identifier: MIT
 * short_conv.h - a causal convolution of a few taps, each channel by itself: what stands before most recurrences.
 *
 *     y[t][c] = bias[c] + sum_k w[c * width + k] * x[t - width + 1 + k][c]        x before the first token is 0
 *
 * The last width - 1 rows are kept in a state part of kind SUM: planes = width - 1, width = channels.
 */
#ifndef TARE_BLOCKS_RECURRENT_SHORT_CONV_H
#define TARE_BLOCKS_RECURRENT_SHORT_CONV_H

#include "blocks/pass.h"

struct tare_short_conv {
    const float *weight, *bias; /* (channels, width); (channels), NULL: none */
    int64_t channels, width;
    bool silu; /* of the result */
};

/*
 * The tokens of one span: x (tokens, ldx), of which the first `channels` of a row count, -> y (tokens, ldy). x and y
 * do not overlap. part: of the running block's state.
 */
void tare_short_conv_forward(const struct tare_pass *pass, const struct tare_span *span,
                             const struct tare_short_conv *conv, int part, const float *x, int64_t ldx, float *y,
                             int64_t ldy);

/* The same as parameters of a block: <name>.weight (channels, width, 1), <name>.bias (channels). */
struct tare_conv {
    const struct tare_parameter *weight, *bias; /* bias NULL: none */
    int64_t channels, width;
};
struct tare_conv tare_conv(struct tare_at at, const char *name, int64_t channels, int64_t width, bool bias);
struct tare_state_part tare_conv_state(const struct tare_conv *conv); /* what a state keeps for it */
struct tare_short_conv tare_conv_loaded(const struct tare_pass *pass, const struct tare_conv *conv, bool silu);

#endif
