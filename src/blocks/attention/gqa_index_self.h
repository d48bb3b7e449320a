/* SPDX-License-Identifier: MIT
 * gqa_index_self.h - what the attention of gqa.c calls of an index; models use gqa_index.h.
 */
#ifndef TARE_BLOCKS_ATTENTION_GQA_INDEX_SELF_H
#define TARE_BLOCKS_ATTENTION_GQA_INDEX_SELF_H

#include "blocks/attention/gqa_self.h"

struct tare_gqa_index {
    struct tare_linear q, k;
    struct tare_norm q_norm, k_norm;
    int64_t heads, dim, size, top, local;
    struct tare_rope rope;
};

/* Takes the parts of job->index. */
void tare_gqa_index_lay_out(const struct tare_gqa_index *index, int64_t tokens, struct tare_scratch *scratch,
                            struct tare_gqa_index_parts *parts);
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
