/* SPDX-License-Identifier: MIT
 * gqa_values.c - values that are scaled or normed before they are kept. */
#include "blocks/attention/gqa_values.h"

#include "blocks/attention/gqa_self.h"

static void scale(const struct tare_gqa_job *j, const void *self, float *key, float *value)
{
    const float factor = *(const float *)self;
    (void)key;
    for (int64_t d = 0; d < j->b->v_dim; d++)
        value[d] *= factor;
}

void tare_gqa_scaled_values(struct tare_layer *layer, struct tare_at at, double factor)
{
    const float f = (float)factor;
    if (f != 1)
        tare_gqa_extend(layer, at, &(struct tare_gqa_hooks){.keep = scale}, &f, sizeof f);
}

static void norm_value(const struct tare_gqa_job *j, const void *self, float *key, float *value)
{
    (void)key;
    tare_norm_row(j->pass, self, value, value);
}

void tare_gqa_normed_values(struct tare_layer *layer, struct tare_at at, int64_t head_dim, double eps)
{
    const struct tare_norm norm = {.kind = TARE_NORM_RMS, .dim = head_dim, .eps = eps};
    tare_gqa_extend(layer, at, &(struct tare_gqa_hooks){.keep = norm_value}, &norm, sizeof norm);
}
