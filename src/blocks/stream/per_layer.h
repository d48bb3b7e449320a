/* SPDX-License-Identifier: MIT
 * per_layer.h - inputs of each layer's own, beside the residual stream (Gemma 3n and 4).
 *
 * For a token with the embedded x, layer i takes
 *     input[i] = (norm(projection(x) / sqrt(dim))[i] + embedding[id][i] * sqrt(width)) / sqrt(2)
 * and after its feed-forward block it adds
 *     x += norm(projection(gelu(gate x) * input[i]))
 */
#ifndef TARE_BLOCKS_STREAM_PER_LAYER_H
#define TARE_BLOCKS_STREAM_PER_LAYER_H

#include "blocks/decoder.h"

struct tare_per_layer_desc {
    int64_t dim;
    int64_t width; /* of a layer's input */
    int64_t layers;
    int64_t vocabulary;
    double eps; /* of all norms */
};
/* Declares the second embedding, its projection and norm at `model`, and computes the inputs of all layers once a
 * pass. */
void tare_per_layer_inputs(struct tare_decoder *decoder, struct tare_at model, const struct tare_per_layer_desc *desc);
void tare_per_layer(struct tare_layer *layer, struct tare_at at, int64_t i, const struct tare_per_layer_desc *desc);

#endif
