/* SPDX-License-Identifier: MIT
 * glu_unit.h - other ways than act(gate) * up to make one row of the two rows that a gated feed-forward block projects.
 * Each is one model's.
 */
#ifndef TARE_BLOCKS_FEED_FORWARD_GLU_UNIT_H
#define TARE_BLOCKS_FEED_FORWARD_GLU_UNIT_H

#include "blocks/activation.h"

struct tare_pass;

struct tare_glu_unit {
    /* halves: (2, hidden), the projected rows of one token; the first `hidden` numbers receive the result. NULL: the
     * usual unit. */
    void (*apply)(const struct tare_glu_unit *unit, const struct tare_pass *pass, float *halves, int64_t hidden);
    enum tare_activation activation;
    float number;          /* of gegelu and sparse gates */
    struct tare_norm norm; /* of the normed unit */
};

/* Gates and the numbers that they gate take turns in the row, (hidden, 2), and both are clamped:
 * g / (1 + e^(-1.702 g)) * (u + 1) with g = min(gate, limit) and u = clamp(up, -limit, limit) (phi3small). */
struct tare_glu_unit tare_unit_gegelu(double limit);
/* A share of the gates, below 1, is cut off before the activation: as many as lie below a normal distribution's
 * quantile (gemma3n). A share of 0 gives the usual unit. */
struct tare_glu_unit tare_unit_sparse(enum tare_activation activation, double share);
/* The rows of up come before those of the gate (olmo). */
struct tare_glu_unit tare_unit_up_first(enum tare_activation activation);
/* A norm follows act(gate) * up (bitnet). */
struct tare_glu_unit tare_unit_normed(enum tare_activation activation, struct tare_norm norm);

#endif
