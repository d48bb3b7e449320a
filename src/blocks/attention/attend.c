/* SPDX-License-Identifier: MIT
 * attend.c - one query over kept rows. Vaswani et al. 2017; the sink: gpt-oss, 2025. */
#include "blocks/attention/attend.h"

#include <math.h>
#include <string.h>

#define UNSEEN 200.0f /* a score this far below the largest one adds nothing in float32 */

static bool seen(const struct tare_attend *a, int64_t i)
{
    return !a->sees || a->sees(a->user, a->first + i);
}

/* Caps the scores, and lowers those of keys that are not seen until their weight is 0. Returns the largest score, or the
 * sink where that is larger. */
static float finish_scores(const struct tare_attend *a, float *score, int64_t n)
{
    float most = a->sink ? *a->sink : -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        if (a->soft_cap > 0)
            score[i] = a->soft_cap * tanhf(score[i] / a->soft_cap);
        most = score[i] > most && seen(a, i) ? score[i] : most;
    }
    for (int64_t i = 0; i < n && a->sees; i++)
        if (!seen(a, i))
            score[i] = most - UNSEEN;
    return most;
}

void tare_attend(const struct tare_kernels *kernels, const struct tare_attend *a, const float *q, float *score,
                 float *y)
{
    const int64_t n = a->last - a->first + 1;
    tare_state_scores(kernels, a->state, a->keys, a->plane, q, a->first, n, a->scale, score);
    const float most = finish_scores(a, score, n);
    const float sum = kernels->exponents(score, n, most) + (a->sink ? expf(*a->sink - most) : 0);
    memset(y, 0, (size_t)a->width * sizeof *y);
    tare_state_mix(kernels, a->state, a->values, a->plane, score, a->first, n, y);
    for (int64_t d = 0; d < a->width; d++)
        y[d] /= sum;
}
