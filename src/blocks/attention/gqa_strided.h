/* SPDX-License-Identifier: MIT
 * gqa_strided.h - block-sparse attention by a fixed pattern (phi3small): of blocks of `size` keys, query head h sees
 * the last `near` ones and every block b with (b + h + 1) % stride == 0.
 */
#ifndef TARE_BLOCKS_ATTENTION_GQA_STRIDED_H
#define TARE_BLOCKS_ATTENTION_GQA_STRIDED_H

#include "blocks/decoder.h"

struct tare_gqa_strided {
    int64_t size;   /* keys of a block; below 1: every key is seen */
    int64_t near;   /* blocks, the query's own included */
    int64_t stride; /* below 1: 1 */
};
/* Changes the layer's tare_gqa(); declares nothing. */
void tare_gqa_strided(struct tare_layer *layer, struct tare_at at, const struct tare_gqa_strided *pattern);

#endif
