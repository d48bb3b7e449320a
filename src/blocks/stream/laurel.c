/* SPDX-License-Identifier: MIT
 * laurel.c - a learned residual of low rank. */
#include "blocks/stream/laurel.h"

#include "blocks/pass.h"

struct laurel {
    struct tare_linear left, right;
    struct tare_norm norm;
};

static size_t scratch(const void *block, int64_t tokens)
{
    const struct laurel *b = block;
    return (size_t)tokens * (size_t)b->left.out;
}

static void forward(const void *block, struct tare_pass *pass, const float *x, float *y)
{
    const struct laurel *b = block;
    const int64_t rank = b->left.out, dim = b->right.out;
    tare_linear_forward(pass, &b->left, x, dim, pass->scratch, rank);
    tare_linear_forward(pass, &b->right, pass->scratch, rank, y, dim);
    tare_norm_forward(pass, &b->norm, dim, y, y);
    tare_rows_add(pass, dim, x, y);
}

static const struct tare_block_ops ops = {.name = "laurel", .scratch = scratch, .forward = forward};

void tare_laurel(struct tare_block *block, struct tare_at parent, int64_t dim, int64_t rank, double eps)
{
    const struct tare_at at = tare_at(parent, "laurel");
    const struct laurel laurel = {.left = tare_linear(at, "linear_left", dim, rank, NO_BIAS),
                                  .right = tare_linear(at, "linear_right", rank, dim, NO_BIAS),
                                  .norm = tare_rms_norm(at, "post_laurel_norm", dim, eps)};
    tare_block_set(block, at, &ops, &laurel, sizeof laurel);
}
