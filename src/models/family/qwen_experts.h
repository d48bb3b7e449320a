/* SPDX-License-Identifier: MIT
 * qwen_experts.h - Qwen's routed feed-forward networks: which layers have one, and its experts beside a shared one. */
#ifndef TARE_MODELS_FAMILY_QWEN_EXPERTS_H
#define TARE_MODELS_FAMILY_QWEN_EXPERTS_H

#include "models/model.h"

/* Tells whether a layer has routed experts: every step-th layer has, unless mlp_only_layers (may be NULL) names it. */
bool tare_sparse_layer(const json_t *mlp_only_layers, int64_t step, int64_t layer);
/* Fails with TARE_E_CONFIG unless mlp_only_layers is absent or a list of integers, and step is at least 1. */
enum tare_code tare_sparse_check(const json_t *mlp_only_layers, int64_t step, const char *place,
                                 struct tare_error *err);

/* Declares gate, switch_mlp, shared_expert and shared_expert_gate below "mlp" of the layer at `at`. Each token goes to
 * the best `top` of n experts, weighted by a softmax. */
struct tare_shared_experts {
    int64_t dim, n, top, hidden, shared_hidden;
    bool normalize;         /* the weights of the chosen experts are made to add up to 1 */
    const char *hidden_act; /* NULL: silu */
};
void tare_shared_experts(struct tare_layer *l, struct tare_at at, const struct tare_shared_experts *experts);

#endif
