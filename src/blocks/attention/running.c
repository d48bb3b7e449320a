/* SPDX-License-Identifier: MIT
 * running.c - attention by blocks of keys. */
#include "blocks/attention/running.h"

#include <math.h>
#include <string.h>

void tare_running_begin(struct tare_running *r, const float *sink, float *y, int64_t width)
{
    *r = (struct tare_running){sink ? *sink : -INFINITY, sink ? 1 : 0};
    memset(y, 0, (size_t)width * sizeof *y);
}

void tare_running_add(const struct tare_kernels *kernels, struct tare_running *r, float *scores, int64_t n, float *y,
                      int64_t width)
{
    float most = r->most;
    for (int64_t i = 0; i < n; i++)
        most = scores[i] > most ? scores[i] : most;
    const float fade = r->most < most ? expf(r->most - most) : 1; /* at first e^-inf = 0, times a sum and a y of 0 */
    for (int64_t d = 0; fade != 1 && d < width; d++)
        y[d] *= fade;
    r->most = most;
    r->sum = r->sum * fade + kernels->exponents(scores, n, most);
}

void tare_running_end(const struct tare_running *r, float *y, int64_t width)
{
    for (int64_t d = 0; d < width; d++)
        y[d] /= r->sum;
}

/* Counts the rows from number i on, at most n, that follow one another in the state; *row becomes the first of them. */
static int64_t seen_together(const struct tare_seen *s, int64_t i, int64_t n, int64_t *row)
{
    *row = s->chosen ? s->chosen[i] : s->first + i;
    int64_t k = s->chosen ? 1 : n;
    while (k < n && s->chosen[i + k] == *row + k)
        k++;
    return k;
}

void tare_seen_scores(const struct tare_kernels *kernels, const struct tare_seen *s, int part, const float *q,
                      int64_t from, int64_t n, float scale, float *scores)
{
    for (int64_t i = 0, k, row; i < n; i += k) {
        k = seen_together(s, from + i, n - i, &row);
        tare_state_scores(kernels, s->state, part, 0, q, row, k, scale, scores + i);
    }
}

void tare_seen_mix(const struct tare_kernels *kernels, const struct tare_seen *s, int part, const float *weights,
                   int64_t from, int64_t n, float *y)
{
    for (int64_t i = 0, k, row; i < n; i += k) {
        k = seen_together(s, from + i, n - i, &row);
        tare_state_mix(kernels, s->state, part, 0, weights + i, row, k, y);
    }
}
