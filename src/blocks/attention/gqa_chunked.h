/* SPDX-License-Identifier: MIT
 * gqa_chunked.h - attention within chunks: the text is cut into chunks of `size` tokens, and a query sees the keys of its
 * own chunk up to itself (llama4).
 */
#ifndef TARE_BLOCKS_ATTENTION_GQA_CHUNKED_H
#define TARE_BLOCKS_ATTENTION_GQA_CHUNKED_H

#include "blocks/decoder.h"

/* Extends the layer's tare_gqa(), whose place is `at`; declares nothing. Below 1 a size changes nothing. */
void tare_gqa_chunked(struct tare_layer *layer, struct tare_at at, int64_t size);

#endif
