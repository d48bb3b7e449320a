/* SPDX-License-Identifier: MIT
 * gqa_cycled.h - query head h reads key head h % kv_heads, where other models say h / (heads / kv_heads) (plamo).
 */
#ifndef TARE_BLOCKS_ATTENTION_GQA_CYCLED_H
#define TARE_BLOCKS_ATTENTION_GQA_CYCLED_H

#include "blocks/decoder.h"

/* Extends the layer's tare_gqa(), whose place is `at`; declares nothing. */
void tare_gqa_cycled(struct tare_layer *layer, struct tare_at at);

#endif
