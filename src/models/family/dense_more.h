/* SPDX-License-Identifier: MIT
 * dense_more.h - what some members of dense.h have in common beyond it. */
#ifndef TARE_MODELS_FAMILY_DENSE_MORE_H
#define TARE_MODELS_FAMILY_DENSE_MORE_H

#include "models/family/dense.h"

/* What Llama's heirs add: a head's size of its own, biases. */
#define TARE_DENSE_BIASED(a)                                                                                           \
    .attention.head_dim = (a)->head_dim, .attention.bias = (a)->attention_bias,                                        \
    .attention.o_bias = (a)->attention_bias, .ffn.bias = (a)->mlp_bias

/* Decoders whose feed-forward block has no gate. dense: without ffn and vary; mlp: without dim and activation, its
 * hidden is that of dense->ffn. */
void tare_dense_mlp(struct tare_at root, struct tare_decoder *d, const struct tare_dense *dense,
                    const struct tare_mlp_desc *mlp);

#endif
