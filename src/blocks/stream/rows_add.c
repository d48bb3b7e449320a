/* SPDX-License-Identifier: MIT
 * rows_add.c - a sum of two blocks' outputs, token by token. */
#include "blocks/pass.h"

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

void tare_rows_add(const struct tare_pass *pass, int64_t dim, const float *x, float *y)
{
    tare_pool_run(pass->pool, (size_t)pass->tokens, add_token, &(struct job){x, y, dim});
}
