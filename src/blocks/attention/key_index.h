/* SPDX-License-Identifier: MIT
 * key_index.h - which keys a query attends to: the best `top` by a small attention of its own (DeepSeek-V3.2's
 * lightning indexer, DeepSeek-AI 2025).
 *
 *     score[j] = sum_h w[h] * max(0, q[h] . k[j])         j: all positions so far; w = weights_proj x, up to a factor
 *     q = rope(wq_b r), k = rope(layer norm(wk x))        r: what the attention's own q_b_proj takes
 *
 * The choice stands in TARE_SLICE_CHOSEN until another index writes there, so that later layers without an index can
 * share it. For each token these are int32 numbers: how many keys are chosen, -1 for all, and then their positions in
 * ascending order.
 */
#ifndef TARE_BLOCKS_ATTENTION_KEY_INDEX_H
#define TARE_BLOCKS_ATTENTION_KEY_INDEX_H

#include "blocks/pass.h"
#include "blocks/rope.h"

struct tare_index_desc {
    int64_t heads; /* below 1: there is no index */
    int64_t width; /* of an index query and of an index key */
    int64_t top;   /* keys that are chosen */
    bool halves;   /* rotates halves, not pairs */
    bool shared;   /* it has no parameters, and uses what an earlier layer chose */
};
struct tare_index {
    struct tare_linear q, k, weights;
    struct tare_norm k_norm;
    struct tare_rope rotary;
    int64_t heads, width, top;
};
struct tare_index_sizes {
    int64_t dim, q_rank;
    struct tare_rope rotary; /* of the attention */
};
/* Declares the parameters below at ("self_attn.indexer"). */
struct tare_index tare_index_declare(struct tare_at at, const struct tare_index_desc *desc,
                                     const struct tare_index_sizes *sizes);
/* Floats a token of TARE_SLICE_CHOSEN. */
int64_t tare_index_side(int64_t top);
/* Floats of scratch for that many tokens. */
size_t tare_index_scratch(const struct tare_index *index, int64_t tokens);

/* What the index reads in one pass. */
struct tare_index_pass {
    const float *x, *r; /* (tokens, dim), (tokens, q_rank) */
    const float *table; /* (tokens, rotary.dims): cosines and sines */
    float *scratch;
    int part; /* of the state: ROWS of one plane, `width` wide */
};
/* Keeps the index keys of the pass's tokens, and chooses keys for each token. */
void tare_index_forward(const struct tare_index *index, struct tare_pass *pass, const struct tare_index_pass *in);

/* The chosen keys of a token; *n: how many. NULL: all. */
const int32_t *tare_index_chosen(const struct tare_pass *pass, int64_t top, int64_t token, int64_t *n);

#endif
