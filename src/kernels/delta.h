/* SPDX-License-Identifier: MIT
 * delta.h - one step of a delta rule, in plain C that each set of kernels compiles for its own CPU family. No sum goes
 * across lanes and nothing is contracted, so all sets give the same bits.
 */
#ifndef TARE_KERNELS_DELTA_H
#define TARE_KERNELS_DELTA_H

#include "kernels/kernels.h"

#define TARE_DELTA_TILE 32 /* channels whose sums stay in registers while the states go by */

static inline __attribute__((always_inline)) void tare_delta_tile(const struct tare_delta_step *s, int64_t at,
                                                                  int64_t n)
{
    float x[TARE_DELTA_TILE], said[TARE_DELTA_TILE] = {0}, sum[TARE_DELTA_TILE] = {0};
    for (int64_t i = 0; i < n; i++)
        x[i] = s->x[at + i];
    for (int64_t k = 0; k < s->states; k++) {
        const float *restrict h = s->h + k * s->channels + at;
        const float ask = s->ask[k];
        for (int64_t i = 0; i < n; i++)
            said[i] += ask * h[i];
    }
    for (int64_t k = 0; k < s->states; k++) {
        float *restrict h = s->h + k * s->channels + at;
        const float decay = s->decay[k], key = s->key[k], back = s->back[k], query = s->query[k];
        for (int64_t i = 0; i < n; i++) {
            h[i] = decay * h[i] + key * x[i] + back * said[i];
            sum[i] += query * h[i];
        }
    }
    for (int64_t i = 0; i < n; i++)
        s->y[at + i] = sum[i];
}

static void delta(const struct tare_delta_step *s)
{
    int64_t at = 0;
    for (; at + TARE_DELTA_TILE <= s->channels; at += TARE_DELTA_TILE)
        tare_delta_tile(s, at, TARE_DELTA_TILE);
    if (at < s->channels)
        tare_delta_tile(s, at, s->channels - at);
}

#endif
