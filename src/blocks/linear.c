/* SPDX-License-Identifier: MIT
 * linear.c - a declared linear, run on what was loaded for it. */
#include <string.h>

#include "blocks/hadamard.h"

struct job {
    float *y;
    int64_t ldy, out;
    float scale;
    const float *bias;
};

static void scale_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    float *y = j->y + (int64_t)i * j->ldy;
    for (int64_t k = 0; k < j->out; k++)
        y[k] = y[k] * j->scale + (j->bias ? j->bias[k] : 0);
}

void tare_linear_forward(const struct tare_pass *pass, const struct tare_linear *linear, const float *x, int64_t ldx,
                         float *y, int64_t ldy)
{
    const float *bias = linear->bias ? tare_loaded_vector(pass->loaded, linear->bias) : NULL;
    if (pass->observer && !pass->observer->see(pass->observer->user, pass, linear, x, ldx)) {
        for (int64_t t = 0; t < pass->tokens; t++)
            memset(y + t * ldy, 0, (size_t)linear->out * sizeof *y);
        return;
    }
    x = tare_hadamard_rows(pass, linear->weight, x, &ldx, pass->tokens);
    tare_matmul(&pass->kernels, pass->pool, tare_loaded_matrix(pass->loaded, linear->weight),
                linear->scale ? NULL : bias, x, ldx, pass->tokens, y, ldy, pass->work);
    if (linear->scale)
        tare_pool_run(pass->pool, (size_t)pass->tokens, scale_token,
                      &(struct job){y, ldy, linear->out, *tare_loaded_vector(pass->loaded, linear->scale), bias});
}
