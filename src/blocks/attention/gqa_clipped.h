/* SPDX-License-Identifier: MIT
 * gqa_clipped.h - queries, keys and values that are clamped to -most .. most (dbrx, olmoe). In olmoe the norms over
 * all heads come first, and the clamp follows them.
 */
#ifndef TARE_BLOCKS_ATTENTION_GQA_CLIPPED_H
#define TARE_BLOCKS_ATTENTION_GQA_CLIPPED_H

#include "blocks/decoder.h"

/* Extends the layer's tare_gqa(), whose place is `at`; declares nothing. A most of 0 or less changes nothing. */
void tare_gqa_clipped(struct tare_layer *layer, struct tare_at at, double most);

#endif
