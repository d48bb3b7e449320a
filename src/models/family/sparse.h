/* SPDX-License-Identifier: MIT
 * sparse.h - what decoders with routed experts share: which layers are routed, Qwen's experts beside a shared one,
 * the size of a head. */
#ifndef TARE_MODELS_FAMILY_SPARSE_H
#define TARE_MODELS_FAMILY_SPARSE_H

#include "models/family/skeleton.h"

/* Qwen's rule: every step-th layer, but for those that the list names (may be NULL). */
bool tare_sparse_layer(const json_t *mlp_only_layers, int64_t step, int64_t layer);
/* TARE_E_CONFIG unless mlp_only_layers is absent or a list of integers and step is at least 1. */
enum tare_code tare_sparse_check(const json_t *mlp_only_layers, int64_t step, const char *place,
                                 struct tare_error *err);

/* A list of at least n integers, as hybrid_layer_pattern; key names it in the refusal. */
enum tare_code tare_layer_numbers_check(const json_t *list, int64_t n, const char *key, const char *place,
                                        struct tare_error *err);

/* gate, switch_mlp, shared_expert and shared_expert_gate below "mlp" of the layer at `at`; the best `top` of n, by
 * softmax. */
struct tare_shared_experts {
    int64_t dim, n, top, hidden, shared_hidden;
    bool normalize;
    const char *hidden_act; /* NULL: silu */
};
void tare_shared_experts(struct tare_layer *l, struct tare_at at, const struct tare_shared_experts *experts);

/* Published experts of a block ("mlp"), in all spellings of experts.h: model.layers.*.mlp.experts -> .mlp.switch_mlp.
 */
void tare_sparse_rewrite(struct tare_weights *w, const char *block, int64_t n, int64_t dim);

/* head_dim as the config gives it; below 1: dim / heads, which must be whole. */
int64_t tare_head_dim(struct tare_at at, int64_t given, int64_t dim, int64_t heads);

#endif
