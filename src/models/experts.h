/* SPDX-License-Identifier: MIT
 * experts.h - routed feed-forward networks as mlx keeps them: the experts' linears stacked. Declared only: no block
 * runs them yet. */
#ifndef TARE_MODELS_EXPERTS_H
#define TARE_MODELS_EXPERTS_H

#include "names/rewrite.h"
#include "tree/tree.h"

/* <name>.{gate_proj, up_proj, down_proj} of n experts, each (hidden, dim), (hidden, dim), (dim, hidden). */
void tare_switch_glu(struct tare_at at, const char *name, int64_t n, int64_t dim, int64_t hidden);

/* The same three as linears of one dense network, in a model whose block has no ops yet. */
void tare_dense_glu(struct tare_at at, const char *name, int64_t dim, int64_t hidden);

#endif
