/* SPDX-License-Identifier: MIT
 * experts.c - routed feed-forward networks as mlx keeps them. */
#include "models/experts.h"

void tare_switch_glu(struct tare_at at, const char *name, int64_t n, int64_t dim, int64_t hidden)
{
    const struct tare_at glu = tare_at(at, "%s", name);
    tare_experts(glu, "gate_proj", n, dim, hidden, NO_BIAS);
    tare_experts(glu, "up_proj", n, dim, hidden, NO_BIAS);
    tare_experts(glu, "down_proj", n, hidden, dim, NO_BIAS);
}

void tare_dense_glu(struct tare_at at, const char *name, int64_t dim, int64_t hidden)
{
    const struct tare_at glu = tare_at(at, "%s", name);
    tare_linear(glu, "gate_proj", dim, hidden, NO_BIAS);
    tare_linear(glu, "up_proj", dim, hidden, NO_BIAS);
    tare_linear(glu, "down_proj", hidden, dim, NO_BIAS);
}
