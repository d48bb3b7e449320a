/* SPDX-License-Identifier: MIT
 * altup.h - alternating updates (Gemma 3n; Baykal et al. 2023): several residual streams, of which a layer computes one
 * and guesses the others. With h[k] the streams of a token, a the active one, m(x) = tanh(router(norm(x)) / dim):
 *
 *     g[k] = h[k] + sum_j P(m(h[a]))[k][j] h[j]                    guessed before the layer
 *     u    = (g[a] + mixer(g[a])) / sqrt(2)                        the mixer gives attention and laurel together
 *     v    = u + ffn(u)
 *     h[k] = g[k] + (1 + C(m(v))[k]) (v - g[a])                    corrected after it
 *     h[k] += per_layer(scale * h[a])     k > 0                    see tare_per_layer()
 *
 * At first h[0] is the embedding, and the others are projections of it of the same size; at last the mean of h[0] and
 * projections of the others, again of its size, goes into the last norm.
 */
#ifndef TARE_BLOCKS_STREAM_ALTUP_H
#define TARE_BLOCKS_STREAM_ALTUP_H

#include "blocks/decoder.h"
#include "blocks/stream/per_layer.h"

struct tare_altup_desc {
    int64_t dim, streams, active, layers; /* 0 <= active < streams */
    bool scaled;                          /* what goes into per_layer is scaled */
    double eps;
    struct tare_per_layer_desc per_layer;
};
struct tare_altup; /* in the arena of the tree */

/* For tare_altup_layer() of layers 0 .. desc->layers - 1; NULL: the tree has an error. */
struct tare_altup *tare_altup_open(struct tare_at at, const struct tare_altup_desc *desc);
/* Declare altup.* and the per-layer input of layer i at `at`. */
void tare_altup_layer(struct tare_altup *altup, struct tare_at at, int64_t i);
/* Declare the projections at `at`, and tie decoder->stream to them; after tare_per_layer_inputs(). */
void tare_altup_close(struct tare_altup *altup, struct tare_at at, struct tare_decoder *decoder);

#endif
