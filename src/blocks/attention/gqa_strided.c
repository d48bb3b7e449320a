/* SPDX-License-Identifier: MIT
 * gqa_strided.c - block-sparse attention by a fixed pattern. */
#include "blocks/attention/gqa_strided.h"

#include "blocks/attention/gqa_self.h"

static bool sees(const void *self, int64_t h, int64_t query, int64_t key)
{
    const struct tare_gqa_strided *p = self;
    const int64_t block = key / p->size;
    return query / p->size - block < p->near || (block + h + 1) % p->stride == 0;
}

void tare_gqa_strided(struct tare_layer *layer, struct tare_at at, const struct tare_gqa_strided *pattern)
{
    struct tare_gqa_strided p = *pattern;
    if (p.size < 1)
        return;
    if (p.stride < 1)
        p.stride = 1;
    tare_gqa_extend(layer, at, &(struct tare_gqa_hooks){.sees = sees}, &p, sizeof p);
}
