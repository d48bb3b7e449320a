/* SPDX-License-Identifier: MIT
 * gqa_chunked.c - attention within chunks of the text. */
#include "blocks/attention/gqa_chunked.h"

#include "blocks/attention/gqa_self.h"

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
