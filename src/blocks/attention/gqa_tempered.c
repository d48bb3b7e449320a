/* SPDX-License-Identifier: MIT
 * gqa_tempered.c - queries that grow with their position. */
#include "blocks/attention/gqa_tempered.h"

#include <math.h>

#include "blocks/attention/gqa_self.h"

static float query_factor(const struct tare_gqa_job *j, const void *self, int64_t h, int64_t position)
{
    const struct tare_gqa_tempered *t = self;
    (void)j;
    (void)h;
    return (float)(1 + t->beta * log(1 + floor(((double)position + t->from) / t->length)));
}

void tare_gqa_tempered(struct tare_layer *layer, struct tare_at at, const struct tare_gqa_tempered *tempered)
{
    if (tempered->beta == 0)
        return;
    if (tempered->length > 0)
        tare_gqa_extend(layer, at, &(struct tare_gqa_hooks){.query_factor = query_factor}, tempered, sizeof *tempered);
    else
        layer->mixer = (struct tare_block){0};
}
