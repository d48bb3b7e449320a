/* SPDX-License-Identifier: MIT
 * laurel.h - a learned residual of low rank: y = x + norm(right(left x)) (Gemma 3n; Menghani et al. 2024). */
#ifndef TARE_BLOCKS_STREAM_LAUREL_H
#define TARE_BLOCKS_STREAM_LAUREL_H

#include "blocks/decoder.h"

/* laurel.{linear_left, linear_right, post_laurel_norm} below `at`. */
void tare_laurel(struct tare_block *block, struct tare_at at, int64_t dim, int64_t rank, double eps);

#endif
