/* SPDX-License-Identifier: MIT
 * levels.c - rounds 16 floats to multiples of the largest one's 32767th part. */
#include "run/weights/levels.h"

#include <math.h>
#include <string.h>

#define MOST 32767 /* units that the largest level is */

void tare_levels_fit(const float level[16], struct tare_levels *levels)
{
    float most = 0;
    for (int k = 0; k < 16; k++)
        most = isfinite(level[k]) && fabsf(level[k]) > most ? fabsf(level[k]) : most;
    levels->unit = most > 0 ? most / MOST : 1;
    memcpy(levels->level, level, sizeof levels->level);
    for (int k = 0; k < 16; k++) {
        const double units = isfinite(level[k]) ? rint((double)level[k] / (double)most * MOST) : 0;
        const unsigned whole = (unsigned)(TARE_LEVELS_ZERO + (int)(most > 0 ? units : 0));
        levels->table[k] = (uint8_t)(whole >> 8);
        levels->low[k] = (uint8_t)(whole & 255);
    }
}
