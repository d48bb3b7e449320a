/* SPDX-License-Identifier: MIT
 * gqa_values.h - values that are changed before they are kept.
 * Each call extends the tare_gqa() of the layer, declares nothing, and takes the place of the attention as `at`.
 */
#ifndef TARE_BLOCKS_ATTENTION_GQA_VALUES_H
#define TARE_BLOCKS_ATTENTION_GQA_VALUES_H

#include "blocks/decoder.h"

/* Values are multiplied by a factor of the config (mimo_v2_flash). A factor of 1 changes nothing. */
void tare_gqa_scaled_values(struct tare_layer *layer, struct tare_at at, double factor);
/* The value of each head is divided by its root mean square, without weights (gemma3n, gemma4). */
void tare_gqa_normed_values(struct tare_layer *layer, struct tare_at at, int64_t head_dim, double eps);

#endif
