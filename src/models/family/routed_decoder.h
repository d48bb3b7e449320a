/* SPDX-License-Identifier: MIT
 * routed_decoder.h - decoders like Llama in which some layers have routed experts in place of the feed-forward block: a
 * gate, the experts, and often an expert that all tokens share.
 *
 *     tare_routed_dense(root, d, &(struct tare_routed_dense){
 *         .dense = {TARE_DENSE_LLAMA(a)},
 *         .routed = {.router = {.n = a->num_experts, .top = 2}, .hidden = a->moe_intermediate_size}});
 */
#ifndef TARE_MODELS_FAMILY_ROUTED_DECODER_H
#define TARE_MODELS_FAMILY_ROUTED_DECODER_H

#include "models/family/dense_decoder.h"

struct tare_routed_dense {
    struct tare_dense dense;        /* without no_ffn, which follows from the two fields below */
    struct tare_routed_desc routed; /* without dim and activation */
    int64_t first;                  /* layers from this one on are routed */
    /* MAY: tells which layers are routed, instead of `first`. args are those of `dense`. */
    bool (*is_routed)(const void *args, int64_t layer);
};
void tare_routed_dense(struct tare_at root, struct tare_decoder *d, const struct tare_routed_dense *model);

#endif
