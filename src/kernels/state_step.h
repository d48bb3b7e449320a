/* SPDX-License-Identifier: MIT
 * state_step.h - one step of a selective state space, in plain C that each set of kernels compiles for its own CPU
 * family. No sum goes across lanes and nothing is contracted, so all sets give the same bits.
 */
#ifndef TARE_KERNELS_STATE_STEP_H
#define TARE_KERNELS_STATE_STEP_H

#include "kernels/kernels.h"

#define TARE_SCAN_TILE 32 /* channels whose sums stay in registers while the states go by */

static inline __attribute__((always_inline)) void tare_scan_tile(const struct tare_scan *s, int64_t at, int64_t n)
{
    float sum[TARE_SCAN_TILE] = {0};
    const float *restrict x = s->x + at;
    for (int64_t k = 0; k < s->states; k++) {
        float *restrict h = s->h + k * s->ldh + at;
        const float *restrict decay = s->decay + k * s->ldd + at;
        const float b = s->b[k], c = s->c[k];
        for (int64_t i = 0; i < n; i++) {
            h[i] = decay[i] * h[i] + b * x[i];
            sum[i] += c * h[i];
        }
    }
    for (int64_t i = 0; i < n; i++)
        s->y[at + i] = sum[i];
}

static void scan(const struct tare_scan *s)
{
    int64_t at = 0;
    for (; at + TARE_SCAN_TILE <= s->channels; at += TARE_SCAN_TILE)
        tare_scan_tile(s, at, TARE_SCAN_TILE);
    if (at < s->channels)
        tare_scan_tile(s, at, s->channels - at);
}

#endif
