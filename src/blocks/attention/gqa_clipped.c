/* SPDX-License-Identifier: MIT
 * gqa_clipped.c - projections that are clamped. */
#include "blocks/attention/gqa_clipped.h"

#include <math.h>

#include "blocks/attention/gqa_self.h"

static void clip(const struct tare_gqa_job *j, const void *self, int64_t token, float *work)
{
    const float most = *(const float *)self;
    float *row = j->projected + token * j->b->projected;
    (void)work;
    for (int64_t i = 0; i < j->b->projected; i++)
        row[i] = fmaxf(-most, fminf(most, row[i]));
}

void tare_gqa_clipped(struct tare_layer *layer, struct tare_at at, double most)
{
    const float m = (float)most;
    if (m > 0)
        tare_gqa_extend(layer, at, &(struct tare_gqa_hooks){.project = clip}, &m, sizeof m);
}
