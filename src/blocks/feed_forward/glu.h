/* SPDX-License-Identifier: MIT
 * glu.h - the gated feed-forward block: down(act(gate x) * up x).
 */
#ifndef TARE_BLOCKS_FEED_FORWARD_GLU_H
#define TARE_BLOCKS_FEED_FORWARD_GLU_H

#include "blocks/decoder.h"
#include "blocks/feed_forward/activation.h"

struct tare_glu_desc {
    const char *name;                            /* "mlp" */
    const char *gate_name, *up_name, *down_name; /* gate_proj up_proj down_proj */
    const char *gate_up_name;                    /* one fused projection: rows gate then up (phi3) */
    bool up_first;                               /* rows of gate_up_name the other way round (olmo) */
    int64_t dim, hidden;
    bool bias;
    enum tare_activation activation;
    struct tare_limit limit;
    bool ternary;            /* all three are tare_ternary (bitnet) */
    const char *hidden_norm; /* an RMS norm of what goes into down; NULL: none */
    double eps;              /* of hidden_norm */
    double sparsity;         /* about this share of the gates is cut off before the activation (gemma3n); 0: none */
    double gegelu_limit;     /* rows of gate_up_name take turns, and both are clamped: gegelu (phi3small); 0: not */
};
void tare_glu(struct tare_layer *layer, struct tare_at at, const struct tare_glu_desc *desc);

#endif
