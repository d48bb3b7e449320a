/* SPDX-License-Identifier: MIT
 * projection.c - what stands in a block's place: one linear, or nothing. */
#include <string.h>

#include "run/pass.h"

static void forward(const void *block, struct tare_pass *pass, const float *x, float *y)
{
    const struct tare_linear *linear = block;
    tare_linear_forward(pass, linear, x, linear->in, y, linear->out);
}

static const struct tare_block_ops ops = {.name = "projection", .forward = forward};

static void place(struct tare_block *block, struct tare_at at, const struct tare_block_ops *o,
                  struct tare_linear linear)
{
    struct tare_linear *b = tare_arena_alloc(at.tree->arena, sizeof *b);
    if (!b && !at.tree->error.code)
        tare_fail_memory(&at.tree->error);
    if (!b)
        return;
    *b = linear;
    *block = (struct tare_block){o, b};
}

void tare_projection(struct tare_block *block, struct tare_at at, const char *name, int64_t dim, bool bias)
{
    place(block, at, &ops, tare_linear(at, name, dim, dim, bias));
}

static void forward_nothing(const void *block, struct tare_pass *pass, const float *x, float *y)
{
    (void)x;
    const struct tare_linear *b = block; /* without a weight */
    memset(y, 0, (size_t)(pass->tokens * b->out) * sizeof *y);
}

static const struct tare_block_ops nothing = {.name = "nothing", .forward = forward_nothing};

void tare_nothing(struct tare_block *block, struct tare_at at, int64_t dim)
{
    place(block, at, &nothing, (struct tare_linear){.in = dim, .out = dim});
}
