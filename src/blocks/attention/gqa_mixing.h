/* SPDX-License-Identifier: MIT
 * gqa_mixing.h - attention in the second round of a looped model (iquestloopcoder): it attends to a window of its own
 * keys, and to all keys that the same layer kept in the first round. A gate of each head mixes what the two give:
 *
 *     m = sigmoid(weight[h] . q + bias[h])        y = m * first_round + (1 - m) * own
 */
#ifndef TARE_BLOCKS_ATTENTION_GQA_MIXING_H
#define TARE_BLOCKS_ATTENTION_GQA_MIXING_H

#include "blocks/decoder.h"

/* Declares weight (heads, head_dim) and bias (heads) at `at`, and extends the layer's tare_gqa(); layer->borrows says
 * which layer the other keys are of. A window below 1 is none. */
void tare_gqa_mixing(struct tare_layer *layer, struct tare_at at, int64_t window);

#endif
