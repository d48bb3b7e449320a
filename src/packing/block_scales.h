/* SPDX-License-Identifier: MIT
 * block_scales.h - what weights of bytes with float scales share (fp8, int8): scales by blocks of rows and columns, or
 * of any shape that broadcasts (one a tensor, one an expert, one a row). */
#ifndef TARE_PACKING_BLOCK_SCALES_H
#define TARE_PACKING_BLOCK_SCALES_H

#include "packing/packing.h"

/* Do the scales fit the weight, whose shape the module has, in such blocks? Fills block and group_size, or a fault:
 * false. */
bool tare_blocks_fit(struct tare_module *module, struct tare_arena *arena, const int64_t block[2]);
/* Which of the scales a row and a group of the module have. */
int64_t tare_blocks_at(const struct tare_module *module, int64_t row, int64_t group);

#endif
