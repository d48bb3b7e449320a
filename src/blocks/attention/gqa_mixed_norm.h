/* SPDX-License-Identifier: MIT
 * gqa_mixed_norm.h - an RMS norm of what all heads give together, before the output projection (bitnet). */
#ifndef TARE_BLOCKS_ATTENTION_GQA_MIXED_NORM_H
#define TARE_BLOCKS_ATTENTION_GQA_MIXED_NORM_H

#include "blocks/decoder.h"

/* Declares the norm, `width` = heads * head_dim wide, at `at`, the place of the attention, and changes tare_gqa(). */
void tare_gqa_mixed_norm(struct tare_layer *layer, struct tare_at at, const char *name, int64_t width, double eps);

#endif
