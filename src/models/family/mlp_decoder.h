/* SPDX-License-Identifier: MIT
 * mlp_decoder.h - decoders like Llama whose feed-forward block has no gate: up, activation, down. */
#ifndef TARE_MODELS_FAMILY_MLP_DECODER_H
#define TARE_MODELS_FAMILY_MLP_DECODER_H

#include "models/family/dense_decoder.h"

/* Declares the decoder. dense is given without ffn and vary, but for ffn.hidden; mlp without dim, hidden and
 * activation. */
void tare_dense_mlp(struct tare_at root, struct tare_decoder *d, const struct tare_dense *dense,
                    const struct tare_mlp_desc *mlp);

#endif
