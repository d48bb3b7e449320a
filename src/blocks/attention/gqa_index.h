/* SPDX-License-Identifier: MIT
 * gqa_index.h - block-sparse attention with an index (minimax_m3_vl). Keys are cut into blocks, and small index heads
 * score all keys. A query at position p sees the `top` best blocks, each judged by its best key, and always the last
 * `local` ones:
 *
 *     best[b] = max over keys j of block b, j <= p, of q_index[h] . k_index[j]
 */
#ifndef TARE_BLOCKS_ATTENTION_GQA_INDEX_H
#define TARE_BLOCKS_ATTENTION_GQA_INDEX_H

#include "blocks/attention/gqa.h"

struct tare_gqa_index_desc {
    int64_t heads; /* index queries of a token, each serves (query heads / heads) query heads */
    int64_t dim;   /* of an index query and of an index key */
    int64_t size;  /* keys of a block */
    int64_t top;   /* blocks that a query sees */
    int64_t local; /* the last blocks, which are always among them */
    bool one_plus; /* the norms of index queries and keys multiply by 1 + weight */
    struct tare_rope rope;
};

/* Declares index_{q,k}_{proj,norm} at `at`, the place of the attention, and extends the layer's tare_gqa(), which was
 * made from `attention`. Attention that borrows or lends keys cannot have an index. */
void tare_gqa_index(struct tare_layer *layer, struct tare_at at, const struct tare_gqa_desc *attention,
                    const struct tare_gqa_index_desc *desc);

#endif
