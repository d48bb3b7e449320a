/* SPDX-License-Identifier: MIT
 * gqa_rounded.h - keys and values that are kept in 8 bits (afm7): each is rounded to -128 .. 127 times a trained step.
 */
#ifndef TARE_BLOCKS_ATTENTION_GQA_ROUNDED_H
#define TARE_BLOCKS_ATTENTION_GQA_ROUNDED_H

#include "blocks/decoder.h"

/* Declares both steps, single numbers, at `at`, the place of the attention, and changes the layer's tare_gqa(). */
void tare_gqa_rounded(struct tare_layer *layer, struct tare_at at, const char *key_step, const char *value_step);

#endif
