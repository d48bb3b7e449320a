/* SPDX-License-Identifier: MIT
 * after.h - what few models do to the residual stream when both blocks of a layer are through.
 */
#ifndef TARE_BLOCKS_AFTER_H
#define TARE_BLOCKS_AFTER_H

#include "blocks/decoder.h"

/* In this order, each part only where it is given. */
struct tare_after {
    struct tare_block block;            /* x += post(block(x)); it has no state (gemma4, longcat) */
    struct tare_norm post;              /* kind NONE: none */
    const struct tare_parameter *scale; /* a trained number (1): x is multiplied by it (gemma4) */
    struct tare_norm norm;              /* x = norm(x), between the rounds of a loop of layers; kind NONE: none */
};

/* The layer's record, made when it is first asked for. NULL: no memory, and the arena is marked. */
struct tare_after *tare_after_of(struct tare_layer *layer, struct tare_arena *arena);

#endif
