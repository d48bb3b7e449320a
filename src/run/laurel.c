/* SPDX-License-Identifier: MIT
 * laurel.c - a learned residual of low rank. */
#include "run/laurel.h"

#include "run/pass.h"

struct laurel {
    struct tare_linear left, right;
    struct tare_norm norm;
};

static size_t scratch(const void *block, int64_t tokens)
{
    const struct laurel *b = block;
    return (size_t)tokens * (size_t)b->left.out;
}

struct job {
    const float *x;
    float *y;
    int64_t dim;
};

static void add_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    for (int64_t d = (int64_t)i * j->dim; d < ((int64_t)i + 1) * j->dim; d++)
        j->y[d] += j->x[d];
}

static void forward(const void *block, struct tare_pass *pass, const float *x, float *y)
{
    const struct laurel *b = block;
    const int64_t rank = b->left.out, dim = b->right.out;
    tare_linear_forward(pass, &b->left, x, dim, pass->scratch, rank);
    tare_linear_forward(pass, &b->right, pass->scratch, rank, y, dim);
    tare_norm_forward(pass, &b->norm, dim, y, y);
    tare_pool_run(pass->pool, (size_t)pass->tokens, add_token, &(struct job){x, y, dim});
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
