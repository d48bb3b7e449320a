/* SPDX-License-Identifier: MIT
 * delta.h - one step of a delta rule, in plain C that each set of kernels compiles for its own CPU family. Fused
 * multiply-adds are used where the family has them.
 */
#ifndef TARE_KERNELS_DELTA_H
#define TARE_KERNELS_DELTA_H

#include "kernels/kernels.h"

#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
#define TARE_DELTA_MADD(a, b, c) __builtin_fmaf(a, b, c)
#else
#define TARE_DELTA_MADD(a, b, c) ((a) * (b) + (c))
#endif

static inline __attribute__((always_inline)) void tare_delta_tile(const struct tare_delta_step *s, int64_t at,
                                                                  int64_t n)
{
    float x[TARE_DELTA_TILE], said[TARE_DELTA_TILE] = {0}, sum[TARE_DELTA_TILE] = {0};
    for (int64_t i = 0; i < n; i++)
        x[i] = s->x[at + i];
    for (int64_t k = 0; k < s->states; k++) {
        const float *from = s->from + at * s->states + k * n;
        const float ask = s->ask[k];
        for (int64_t i = 0; i < n; i++)
            said[i] = TARE_DELTA_MADD(ask, from[i], said[i]);
    }
    for (int64_t k = 0; k < s->states; k++) {
        const float *from = s->from + at * s->states + k * n;
        float *h = s->h + at * s->states + k * n;
        const float decay = s->decay[k], key = s->key[k], back = s->back[k], query = s->query[k];
#if defined(__clang__)
#pragma clang loop vectorize(assume_safety)
#else
#pragma GCC ivdep
#endif
        for (int64_t i = 0; i < n; i++) { /* h is from, or apart from it */
            const float next = TARE_DELTA_MADD(decay, from[i], TARE_DELTA_MADD(key, x[i], back * said[i]));
            sum[i] = TARE_DELTA_MADD(query, next, sum[i]);
            h[i] = next;
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
