/* SPDX-License-Identifier: MIT
 * ngram.h - embeddings of runs of tokens beside that of the token itself (LongCat-Flash-Lite): of each length n from 2
 * to `longest`, in `splits` tables of their own sizes.
 *
 *     x = (embedding[id[t]] + sum_{n, k} post_proj(table[n][k][hash])) / (1 + splits * (longest - 1))
 *     hash = (sum_{i < n} id[t - i] * vocabulary^i) mod rows of that table      ids before the first token are 0
 */
#ifndef TARE_BLOCKS_STREAM_NGRAM_H
#define TARE_BLOCKS_STREAM_NGRAM_H

#include "blocks/decoder.h"

struct tare_ngram_desc {
    int64_t dim, width; /* of the model; of a row of a table */
    int64_t vocabulary;
    int64_t longest, splits;
    int64_t rows; /* table i has rows + 2 i + 1 */
};
/* Declares embedders.0 ..., post_projs.0 ... below at. The last ids are kept in the state of the first layer's
 * feed-forward block, which has none itself. Called when the decoder has its layers. */
void tare_ngram(struct tare_decoder *decoder, struct tare_at at, const struct tare_ngram_desc *desc);

#endif
