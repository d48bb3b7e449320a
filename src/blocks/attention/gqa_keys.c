/* SPDX-License-Identifier: MIT
 * gqa_keys.c - which keys a query sees, where that is not a window. */
#include "blocks/attention/gqa_keys.h"

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

static int64_t first_key(const void *self, int64_t last)
{
    const int64_t size = *(const int64_t *)self;
    return last - last % size;
}

void tare_gqa_chunked(struct tare_layer *layer, struct tare_at at, int64_t size)
{
    if (size > 0)
        tare_gqa_extend(layer, at, &(struct tare_gqa_hooks){.first_key = first_key}, &size, sizeof size);
}

static int64_t query_head(const struct tare_gqa_self *b, int64_t kv, int64_t k)
{
    return k * b->kv_heads + kv;
}

void tare_gqa_cycled(struct tare_layer *layer, struct tare_at at)
{
    const char none = 0;
    tare_gqa_extend(layer, at, &(struct tare_gqa_hooks){.query_head = query_head}, &none, sizeof none);
}
