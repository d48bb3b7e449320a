/* SPDX-License-Identifier: MIT
 * routed.h - decoders like Llama in which some layers have routed experts in place of the feed-forward block: a gate,
 * the experts, and often an expert that all tokens share. Declared only: no block runs them yet.
 *
 *     tare_routed_dense(root, d, &(struct tare_routed_dense){
 *         .dense = {TARE_DENSE_LLAMA(a)}, .routed = {.n = a->num_experts, .hidden = a->moe_intermediate_size}});
 */
#ifndef TARE_MODELS_ROUTED_H
#define TARE_MODELS_ROUTED_H

#include "models/dense.h"

struct tare_routed {
    const char *name;       /* "mlp" */
    int64_t n, hidden;      /* experts; the width of one */
    const char *gate;       /* "gate": (n, dim) */
    bool gate_bare;         /* no linear but a parameter of its own: never packed */
    const char *correction; /* of the scores by which experts are chosen: "gate.e_score_correction_bias"; NULL: none */
    const char *experts;    /* "switch_mlp" */
    bool bias;              /* of the experts */
    const char *shared;     /* "shared_experts" */
    int64_t shared_hidden;  /* below 1: no shared expert */
    bool shared_bias;
};
/* Declare one at `at` ("model.layers.3"). */
void tare_routed(struct tare_at at, int64_t dim, const struct tare_routed *routed);

struct tare_routed_dense {
    struct tare_dense dense; /* without no_ffn */
    struct tare_routed routed;
    int64_t first;                                      /* layers from this one on are routed */
    bool (*is_routed)(const void *args, int64_t layer); /* MAY: instead of first; args are the dense ones */
};
void tare_routed_dense(struct tare_at root, struct tare_decoder *d, const struct tare_routed_dense *model);

/* mlp_only_layers: layers without experts, a list of numbers. */
enum tare_code tare_mlp_only_check(const json_t *mlp_only_layers, const char *place, struct tare_error *err);
bool tare_mlp_only(const json_t *mlp_only_layers, int64_t layer);
/* noaux_tc alone is known. */
enum tare_code tare_topk_method_check(const char *topk_method, const char *place, struct tare_error *err);

/* Published experts below `block`, a pattern ("model.layers.*.mlp"), one by one or fused, and their biases ->
 * <block>.<to>: experts.h tells the spellings. */
void tare_routed_rewrite(struct tare_weights *w, const char *block, const char *to, int64_t n, int64_t dim);

#endif
