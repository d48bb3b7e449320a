/* SPDX-License-Identifier: MIT
 * published_experts.h - the spellings in which checkpoints publish the experts of routed feed-forward networks, and the
 * one spelling that declared parameters have: a matrix of all experts, stacked along a first axis. */
#ifndef TARE_MODELS_FAMILY_PUBLISHED_EXPERTS_H
#define TARE_MODELS_FAMILY_PUBLISHED_EXPERTS_H

#include "names/rewrite.h"
#include "tree/tree.h"

/*
 * Rewrites published experts to stacked ones, <to>.{gate_proj, up_proj, down_proj}.weight of shape (n, out, in). It
 * takes each of these spellings where it is present:
 *
 *   <from>.0.{gate_proj, up_proj, down_proj}.weight     one by one
 *   <from>.0.{w1, w3, w2}.weight                        one by one, as Mixtral names gate, up and down
 *   <from>.gate_up_proj, <from>.down_proj               (n, 2 hidden, dim) with the rows of the gate first, and
 *                                                       (n, dim, hidden); or both transposed; packed ones end in
 *                                                       ".weight". transformers 5 writes most models so.
 *
 * from and to are patterns for the beginning of a name: "model.layers.*.mlp.experts", "model.layers.*.mlp.switch_mlp".
 */
struct tare_experts_desc {
    const char *from, *to;
    int64_t n;
    /* The model's width, which tells whether fused experts are transposed; 0 when it is not known. */
    int64_t dim;
    /* What to assume of fused experts when their shape does not tell: (n, dim, 2 hidden) and (n, hidden, dim). */
    bool transposed;
};
void tare_experts_rewrite(struct tare_weights *w, const struct tare_experts_desc *desc);

/* The same for a block of every layer ("mlp"): model.layers.*.mlp.experts -> model.layers.*.mlp.switch_mlp. */
void tare_layer_experts_rewrite(struct tare_weights *w, const char *block, int64_t n, int64_t dim);

/* The same below a pattern of a block ("model.layers.*.mlp"): <block>.experts -> <block>.<to>. Biases that are
 * published one by one are stacked too. */
void tare_routed_rewrite(struct tare_weights *w, const char *block, const char *to, int64_t n, int64_t dim);

#endif
