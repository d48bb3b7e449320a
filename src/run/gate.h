/* SPDX-License-Identifier: MIT
 * gate.h - what attention gives, times the sigmoid of gates, before the output projection. */
#ifndef TARE_RUN_GATE_H
#define TARE_RUN_GATE_H

#include "run/pass.h"

/* y[t][d] *= 1 / (1 + e^-gate[t][d * n / width]) in place: y (tokens, width), gate (tokens, ld), of which n numbers
 * count; n divides width: one each, or one a head. */
struct tare_gate {
    const float *gate;
    int64_t ld, n;
    float *y;
    int64_t width;
};
void tare_gate_forward(const struct tare_pass *pass, const struct tare_gate *gate);

#endif
