/* SPDX-License-Identifier: MIT
 * gqa_index.h - block-sparse attention with an index (MiniMax M3): small heads of their own score all keys, and of
 * blocks of so many keys a query sees the best `top`, by their best key, the last `local` ones among them:
 *
 *     best[b] = max over keys j of block b, j <= p, of q_index[h] . k_index[j]
 */
#ifndef TARE_BLOCKS_ATTENTION_GQA_INDEX_H
#define TARE_BLOCKS_ATTENTION_GQA_INDEX_H

#include "blocks/attention/gqa.h"
#include "blocks/attention/gqa_self.h"

struct tare_gqa_index {
    struct tare_linear q, k;
    struct tare_norm q_norm, k_norm;
    int64_t heads, dim, size, top, local;
    struct tare_rope rope;
};

/* Declare index_{q,k}_{proj,norm} at `at`; NULL without memory. */
const struct tare_gqa_index *tare_gqa_index(struct tare_at at, const struct tare_gqa_desc *desc);
bool tare_gqa_index_runs(const struct tare_gqa_index *index, const struct tare_gqa_desc *desc);

size_t tare_gqa_index_scratch(const struct tare_gqa_index *index, int64_t tokens); /* floats of job->index */
/* Queries of all tokens into job->index, and their keys into the state (TARE_GQA_INDEX). */
void tare_gqa_index_prepare(const struct tare_gqa_job *job, const float *x);

/* The blocks that query head h of a token sees; work: twice as many floats as the token has positions before it, itself
 * included. The second half then says of each block whether it is seen: for tare_gqa_index_sees. */
struct tare_gqa_seen {
    const float *blocks;
    int64_t size;
};
struct tare_gqa_seen tare_gqa_index_choose(const struct tare_gqa_job *job, int64_t token, int64_t h, float *work);
bool tare_gqa_index_sees(const void *seen, int64_t position); /* struct tare_gqa_seen */

#endif
