/* SPDX-License-Identifier: MIT
 * gate.c - what attention gives, times its gates. */
#include "blocks/attention/gate.h"

static float opening(const struct tare_gate *g, float x)
{
    return g->softplus ? tare_softplus(x) : tare_sigmoid(x);
}

static void gate_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct tare_gate *g = user;
    const int64_t t = (int64_t)i, step = g->step > 0 ? g->step : g->n;
    for (int64_t h = 0; h < g->heads; h++) {
        const float *gate = g->gate + t * g->ld + h * step;
        float *y = g->y + (t * g->heads + h) * g->width;
        const float all = opening(g, gate[0]);
        for (int64_t d = 0; d < g->width; d++)
            y[d] *= g->n == 1 ? all : opening(g, gate[d]);
    }
}

void tare_gate_forward(const struct tare_pass *pass, const struct tare_gate *gate)
{
    tare_pool_run(pass->pool, (size_t)pass->tokens, gate_token, (void *)gate);
}
