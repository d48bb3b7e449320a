/* SPDX-License-Identifier: MIT
 * gqa_tempered.h - queries that grow with the logarithm of their position (llama4, ministral3), so that attention to
 * long texts stays sharp:
 *
 *     q *= 1 + beta * log(1 + floor((position + from) / length))
 */
#ifndef TARE_BLOCKS_ATTENTION_GQA_TEMPERED_H
#define TARE_BLOCKS_ATTENTION_GQA_TEMPERED_H

#include "blocks/decoder.h"

struct tare_gqa_tempered {
    double beta;   /* 0: queries stay as they are */
    double length; /* positions between two steps; with another beta than 0 it is positive, or the model cannot run */
    double from;   /* llama4 counts positions from 1 */
};
/* Extends the layer's tare_gqa(), whose place is `at`; declares nothing. */
void tare_gqa_tempered(struct tare_layer *layer, struct tare_at at, const struct tare_gqa_tempered *tempered);

#endif
