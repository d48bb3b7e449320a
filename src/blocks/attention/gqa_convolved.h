/* SPDX-License-Identifier: MIT
 * gqa_convolved.h - keys and values that take in those of the token before (baichuan_m1):
 *
 *     k[t] = conv_k[h][0] * k[t - 1] + conv_k[h][1] * k[t]         before norms and rotation, and v with conv_v
 */
#ifndef TARE_BLOCKS_ATTENTION_GQA_CONVOLVED_H
#define TARE_BLOCKS_ATTENTION_GQA_CONVOLVED_H

#include "blocks/decoder.h"

/* Declares conv_k and conv_v at `at`, the place of the attention, and changes the layer's tare_gqa(). */
void tare_gqa_convolved(struct tare_layer *layer, struct tare_at at, int64_t kv_heads);

#endif
