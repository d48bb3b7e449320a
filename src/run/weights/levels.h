/* SPDX-License-Identifier: MIT
 * levels.h - whole numbers of 16 bits for codes that stand for any 16 floats (nf4, fp4), so that the kernels of integers
 * can compute with them. Bytes alone would not do: docs/performance.md has what they cost. */
#ifndef TARE_RUN_WEIGHTS_LEVELS_H
#define TARE_RUN_WEIGHTS_LEVELS_H

#include "kernels/kernels.h"

#define TARE_LEVELS_ZERO 32768 /* what stands for 0 */

/* Levels, and the whole numbers that come close: levels[c] ~ unit * (256 * table[c] + low[c] - TARE_LEVELS_ZERO). */
struct tare_levels {
    float level[16], unit;
    uint8_t table[16], low[16];
};

void tare_levels_fit(const float level[16], struct tare_levels *levels);
/* Makes them those of the matrix, which points at them. */
static inline void tare_levels_use(const struct tare_levels *levels, struct tare_matrix *m)
{
    m->levels = levels->level;
    m->unit = levels->unit;
    m->table = levels->table;
    m->low = levels->low;
}

#endif
