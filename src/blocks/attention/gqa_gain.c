/* SPDX-License-Identifier: MIT
 * gqa_gain.c - queries that are multiplied by a trained number of their head. */
#include "blocks/attention/gqa_gain.h"

#include "blocks/attention/gqa_self.h"

struct gain {
    const struct tare_parameter *of_heads; /* (heads) */
};

static float query_factor(const struct tare_gqa_job *j, const void *self, int64_t h, int64_t position)
{
    (void)position;
    const struct gain *g = self;
    return tare_loaded_vector(j->pass->loaded, g->of_heads)[h];
}

void tare_gqa_gain(struct tare_layer *layer, struct tare_at at, const char *name, int64_t heads)
{
    const struct gain g = {tare_plain(at, name, 1, heads)};
    tare_gqa_extend(layer, at, &(struct tare_gqa_hooks){.query_factor = query_factor}, &g, sizeof g);
}
