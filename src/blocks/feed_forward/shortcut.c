/* SPDX-License-Identifier: MIT
 * shortcut.c - a second feed-forward block whose result is added a layer later. */
#include "blocks/feed_forward/shortcut.h"

#include <string.h>

#include "blocks/after.h"
#include "blocks/pass.h"

struct pair {
    struct tare_block now, later;
    int64_t dim;
};

static size_t need(const struct tare_block *block, int64_t tokens)
{
    return block->ops->scratch ? block->ops->scratch(block->self, tokens) : 0;
}

static size_t scratch(const void *block, int64_t tokens)
{
    const struct pair *b = block;
    const size_t now = need(&b->now, tokens), later = need(&b->later, tokens);
    return now > later ? now : later;
}

static void forward(const void *block, struct tare_pass *pass, const float *x, float *y)
{
    const struct pair *b = block;
    b->later.ops->forward(b->later.self, pass, x, pass->slice[TARE_SLICE_LATER]);
    b->now.ops->forward(b->now.self, pass, x, y);
}

static void deliver(const void *block, struct tare_pass *pass, const float *x, float *y)
{
    const struct pair *b = block;
    (void)x;
    memcpy(y, pass->slice[TARE_SLICE_LATER], (size_t)(pass->tokens * b->dim) * sizeof *y);
}

static const struct tare_block_ops ops = {.name = "shortcut", .scratch = scratch, .forward = forward};
static const struct tare_block_ops delivering = {.name = "shortcut", .forward = deliver};

void tare_shortcut(struct tare_layer *from, struct tare_block beside, struct tare_layer *to, struct tare_arena *arena)
{
    struct pair *b = tare_arena_alloc(arena, sizeof *b);
    if (b)
        *b = (struct pair){from->ffn, beside, from->pre[1].dim};
    const bool runs = b && b->now.ops && b->later.ops && !b->now.ops->state && !b->later.ops->state;
    from->ffn = (struct tare_block){runs ? &ops : NULL, b};
    struct tare_after *after = tare_after_of(to, arena);
    if (after)
        after->block = (struct tare_block){runs ? &delivering : NULL, b};
}
