/* SPDX-License-Identifier: MIT
 * linear.c - a declared linear, run on what was loaded for it. */
#include "run/pass.h"

void tare_linear_forward(const struct tare_pass *pass, const struct tare_linear *linear, const float *x, int64_t ldx,
                         float *y, int64_t ldy)
{
    tare_matmul(&pass->kernels, pass->pool, tare_loaded_matrix(pass->loaded, linear->weight),
                linear->bias ? tare_loaded_vector(pass->loaded, linear->bias) : NULL, x, ldx, pass->tokens, y, ldy,
                pass->work);
}
