/* SPDX-License-Identifier: MIT
 * gqa_gain.h - queries that are multiplied by a trained number of their head, after norm and rotation (talkie). */
#ifndef TARE_BLOCKS_ATTENTION_GQA_GAIN_H
#define TARE_BLOCKS_ATTENTION_GQA_GAIN_H

#include "blocks/decoder.h"

/* Declares the numbers, (heads), at `at`, the place of the attention, and changes the layer's tare_gqa(). */
void tare_gqa_gain(struct tare_layer *layer, struct tare_at at, const char *name, int64_t heads);

#endif
