/* SPDX-License-Identifier: MIT
 * experts.h - the spellings in which the experts of routed feed-forward networks are published. */
#ifndef TARE_MODELS_FAMILY_EXPERTS_H
#define TARE_MODELS_FAMILY_EXPERTS_H

#include "names/rewrite.h"
#include "tree/tree.h"

/*
 * Published experts -> stacked ones, <to>.{gate_proj, up_proj, down_proj}.weight (n, out, in). All spellings are taken,
 * where present: <from>.0.{gate_proj, up_proj, down_proj}.weight   one by one <from>.0.{w1, w3, w2}.weight one by one,
 * as Mixtral names gate, up, down <from>.gate_up_proj, <from>.down_proj             (n, 2 hidden, dim) gate rows first,
 * (n, dim, hidden); with
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
