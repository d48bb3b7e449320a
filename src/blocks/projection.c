/* SPDX-License-Identifier: MIT
 * projection.c - what stands in the place of a block: one linear, or nothing. */
#include "blocks/projection.h"

#include <string.h>

#include "blocks/pass.h"

static void forward(const void *block, struct tare_pass *pass, const float *x, float *y)
{
    const struct tare_linear *linear = block;
    tare_linear_forward(pass, linear, x, linear->in, y, linear->out);
}

static const struct tare_block_ops ops = {.name = "projection", .forward = forward};

void tare_projection(struct tare_block *block, struct tare_at at, const char *name, int64_t dim, bool bias)
{
    const struct tare_linear linear = tare_linear(at, name, dim, dim, bias);
    tare_block_set(block, at, &ops, &linear, sizeof linear);
}

static void forward_nothing(const void *block, struct tare_pass *pass, const float *x, float *y)
{
    (void)x;
    const struct tare_linear *b = block; /* has sizes only */
    memset(y, 0, (size_t)(pass->tokens * b->out) * sizeof *y);
}

static const struct tare_block_ops nothing = {.name = "nothing", .forward = forward_nothing};

void tare_nothing(struct tare_block *block, struct tare_at at, int64_t dim)
{
    const struct tare_linear linear = {.in = dim, .out = dim};
    tare_block_set(block, at, &nothing, &linear, sizeof linear);
}
