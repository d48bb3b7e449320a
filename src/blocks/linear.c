/* SPDX-License-Identifier: MIT
 * linear.c - declared linears, run on what was loaded for them. */
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

/* Shows the observer what goes in; true: it has no use for the product, and zeros stand in its place. */
static bool is_left_out(const struct tare_pass *pass, const struct tare_linear *linear, const float *x, int64_t ldx,
                        float *y, int64_t ldy)
{
    if (!pass->observer || pass->observer->see(pass->observer->user, pass, linear, x, ldx))
        return false;
    for (int64_t t = 0; t < pass->tokens; t++)
        memset(y + t * ldy, 0, (size_t)linear->out * sizeof *y);
    return true;
}

void tare_linear_forward(const struct tare_pass *pass, const struct tare_linear *linear, const float *x, int64_t ldx,
                         float *y, int64_t ldy)
{
    const float *bias = linear->bias ? tare_loaded_vector(pass->loaded, linear->bias) : NULL;
    if (is_left_out(pass, linear, x, ldx, y, ldy))
        return;
    x = tare_hadamard_rows(pass, linear->weight, x, &ldx, pass->tokens);
    tare_matmul(&pass->kernels, pass->pool, tare_loaded_matrix(pass->loaded, linear->weight),
                linear->scale ? NULL : bias, x, ldx, pass->tokens, y, ldy, pass->work);
    if (linear->scale)
        tare_pool_run(pass->pool, (size_t)pass->tokens, scale_token,
                      &(struct job){y, ldy, linear->out, *tare_loaded_vector(pass->loaded, linear->scale), bias});
}

void tare_linears_forward(const struct tare_pass *pass, const struct tare_linear_to to[TARE_LINEARS], const float *x,
                          int64_t ldx, int64_t ldy)
{
    struct tare_product products[TARE_LINEARS];
    size_t n = 0;
    for (int i = 0; i < TARE_LINEARS; i++) {
        const struct tare_linear *linear = to[i].linear;
        if (!linear || !linear->weight)
            continue;
        if (linear->scale || linear->weight->signs) { /* needs more than a product */
            tare_linear_forward(pass, linear, x, ldx, to[i].y, ldy);
            continue;
        }
        if (is_left_out(pass, linear, x, ldx, to[i].y, ldy))
            continue;
        products[n++] = (struct tare_product){
            .matrix = *tare_loaded_matrix(pass->loaded, linear->weight),
            .bias = linear->bias ? tare_loaded_vector(pass->loaded, linear->bias) : NULL,
            .x = x,
            .ldx = ldx,
            .tokens = pass->tokens,
            .y = to[i].y,
            .ldy = ldy,
        };
    }
    tare_matmul_each(&pass->kernels, pass->pool, products, n, pass->work);
}
