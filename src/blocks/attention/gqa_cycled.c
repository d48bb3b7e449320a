/* SPDX-License-Identifier: MIT
 * gqa_cycled.c - query heads that take their key heads by turns. */
#include "blocks/attention/gqa_cycled.h"

#include "blocks/attention/gqa_self.h"

static int64_t query_head(const struct tare_gqa_self *b, int64_t kv, int64_t k)
{
    return k * b->kv_heads + kv;
}

void tare_gqa_cycled(struct tare_layer *layer, struct tare_at at)
{
    const char none = 0;
    tare_gqa_extend(layer, at, &(struct tare_gqa_hooks){.query_head = query_head}, &none, sizeof none);
}
