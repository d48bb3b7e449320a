/* SPDX-License-Identifier: MIT
 * gqa_mixed_norm.h - RMS norms of what the heads give, before gates and the output projection. */
#ifndef TARE_BLOCKS_ATTENTION_GQA_MIXED_NORM_H
#define TARE_BLOCKS_ATTENTION_GQA_MIXED_NORM_H

#include "blocks/decoder.h"

/* A norm of all heads together (bitnet). Declares it, `width` = heads * head_dim wide, at `at`, the place of the attention, and changes tare_gqa(). */
void tare_gqa_mixed_norm(struct tare_layer *layer, struct tare_at at, const char *name, int64_t width, double eps);
/* Each head is divided by its own root mean square, without weights (muse_spark). Declares nothing. */
void tare_gqa_mixed_head_norm(struct tare_layer *layer, struct tare_at at, int64_t head_dim, double eps);

#endif
