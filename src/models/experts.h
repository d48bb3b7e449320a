/* SPDX-License-Identifier: MIT
 * experts.h - routed feed-forward networks as mlx keeps them: the experts' linears stacked; and the spellings they are
 * published in. Declared only: no block runs them yet. */
#ifndef TARE_MODELS_EXPERTS_H
#define TARE_MODELS_EXPERTS_H

#include "names/rewrite.h"
#include "tree/tree.h"

/* <name>.{gate_proj, up_proj, down_proj} of n experts, each (hidden, dim), (hidden, dim), (dim, hidden). */
void tare_switch_glu(struct tare_at at, const char *name, int64_t n, int64_t dim, int64_t hidden);

/* The same three as linears of one dense network, in a model whose block has no ops yet. */
void tare_dense_glu(struct tare_at at, const char *name, int64_t dim, int64_t hidden);

/*
 * Published experts -> the stacked ones of tare_switch_glu. All spellings are taken, where present:
 *   <from>.0.{gate_proj, up_proj, down_proj}.weight   one by one
 *   <from>.0.{w1, w3, w2}.weight                      one by one, as Mixtral names gate, up, down
 *   <from>.gate_up_proj, <from>.down_proj             (n, 2 hidden, dim) gate rows first, (n, dim, hidden); with
 *                                                     ".weight" too (packed). Transformers 5 writes most models so.
 * from and to are patterns of a name's beginning: "model.layers.*.mlp.experts", "model.layers.*.mlp.switch_mlp".
 */
struct tare_experts_desc {
    const char *from, *to;
    int64_t n;
    int64_t dim;     /* of the model: tells how fused ones lie. 0: as said above */
    bool transposed; /* fused ones are (n, dim, 2 hidden), (n, hidden, dim) when their shape does not tell */
};
void tare_experts_rewrite(struct tare_weights *w, const struct tare_experts_desc *desc);

#endif
