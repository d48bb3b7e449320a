/* SPDX-License-Identifier: MIT
 * gate.c - what attention gives, times the sigmoid of gates. */
#include "run/gate.h"

#include <math.h>

static void gate_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct tare_gate *g = user;
    const int64_t each = g->width / g->n;
    const float *gate = g->gate + (int64_t)i * g->ld;
    float *y = g->y + (int64_t)i * g->width;
    for (int64_t k = 0; k < g->n; k++) {
        const float factor = 1 / (1 + expf(-gate[k]));
        for (int64_t d = k * each; d < (k + 1) * each; d++)
            y[d] *= factor;
    }
}

void tare_gate_forward(const struct tare_pass *pass, const struct tare_gate *gate)
{
    tare_pool_run(pass->pool, (size_t)pass->tokens, gate_token, (void *)gate);
}
