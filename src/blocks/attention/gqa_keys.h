/* SPDX-License-Identifier: MIT
 * gqa_keys.h - which keys a query sees, where that is not a window. Each call extends the tare_gqa() of the layer, whose
 * place is `at`, and declares nothing.
 */
#ifndef TARE_BLOCKS_ATTENTION_GQA_KEYS_H
#define TARE_BLOCKS_ATTENTION_GQA_KEYS_H

#include "blocks/decoder.h"

/* A fixed pattern (phi3small): of blocks of `size` keys, query head h sees the last `near` ones and every block b with
 * (b + h + 1) % stride == 0. */
struct tare_gqa_strided {
    int64_t size;   /* keys of a block; below 1: every key is seen */
    int64_t near;   /* blocks, the query's own included */
    int64_t stride; /* below 1: 1 */
};
void tare_gqa_strided(struct tare_layer *layer, struct tare_at at, const struct tare_gqa_strided *pattern);

/* The text is cut into chunks of `size` tokens, and a query sees the keys of its own chunk up to itself (llama4). A size
 * below 1 changes nothing. */
void tare_gqa_chunked(struct tare_layer *layer, struct tare_at at, int64_t size);

/* Query head h reads key head h % kv_heads, where other models say h / (heads / kv_heads) (plamo). */
void tare_gqa_cycled(struct tare_layer *layer, struct tare_at at);

#endif
