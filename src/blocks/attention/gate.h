/* SPDX-License-Identifier: MIT
 * gate.h - what the heads of an attention give, times gates, before the output projection. */
#ifndef TARE_BLOCKS_ATTENTION_GATE_H
#define TARE_BLOCKS_ATTENTION_GATE_H

#include "blocks/pass.h"

/* In place, for y (tokens, heads, width):
 *
 *     y[t][h][d] *= opening(gate[t * ld + h * step + d])
 *
 * A head has n gates: `width` of them, or one that serves all its elements. Where step is 0, it is n. */
struct tare_gate {
    const float *gate;
    int64_t ld, step, n;
    float *y;
    int64_t heads, width;
    bool softplus; /* opening(x) is log(1 + e^x), not 1 / (1 + e^-x) */
};
void tare_gate_forward(const struct tare_pass *pass, const struct tare_gate *gate);

#endif
