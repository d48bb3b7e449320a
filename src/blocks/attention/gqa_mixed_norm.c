/* SPDX-License-Identifier: MIT
 * gqa_mixed_norm.c - an RMS norm of what all heads give together. */
#include "blocks/attention/gqa_mixed_norm.h"

#include "blocks/attention/gqa_self.h"

static void norm_mixed(const struct tare_gqa_job *j, const void *self)
{
    const struct tare_norm *norm = self;
    tare_norm_forward(j->pass, norm, norm->dim, j->mixed, j->mixed);
}

void tare_gqa_mixed_norm(struct tare_layer *layer, struct tare_at at, const char *name, int64_t width, double eps)
{
    const struct tare_norm norm = tare_rms_norm(at, name, width, eps);
    tare_gqa_extend(layer, at, &(struct tare_gqa_hooks){.mix = norm_mixed}, &norm, sizeof norm);
}
