/* SPDX-License-Identifier: MIT
 * routed.h - decoders like Llama in which some layers have routed experts in place of the feed-forward block: a gate,
 * the experts, and often an expert that all tokens share.
 *
 *     tare_routed_dense(root, d, &(struct tare_routed_dense){
 *         .dense = {TARE_DENSE_LLAMA(a)},
 *         .routed = {.router = {.n = a->num_experts, .top = 2}, .hidden = a->moe_intermediate_size}});
 */
#ifndef TARE_MODELS_FAMILY_ROUTED_H
#define TARE_MODELS_FAMILY_ROUTED_H

#include "models/family/dense.h"

struct tare_routed_dense {
    struct tare_dense dense;                            /* without no_ffn */
    struct tare_routed_desc routed;                     /* without dim and activation */
    int64_t first;                                      /* layers from this one on are routed */
    bool (*is_routed)(const void *args, int64_t layer); /* MAY: instead of first; args are the dense ones */
};
void tare_routed_dense(struct tare_at root, struct tare_decoder *d, const struct tare_routed_dense *model);

/* noaux_tc alone is known. */
enum tare_code tare_topk_method_check(const char *topk_method, const char *place, struct tare_error *err);

/* Published experts below `block`, a pattern ("model.layers.*.mlp"), one by one or fused, and their biases ->
 * <block>.<to>: experts.h tells the spellings. */
void tare_routed_rewrite(struct tare_weights *w, const char *block, const char *to, int64_t n, int64_t dim);

#endif
