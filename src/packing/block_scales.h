/* SPDX-License-Identifier: MIT
 * block_scales.h - what weights of one byte a value with float scales share (fp8, int8): scales are by blocks of rows
 * and columns, or of any shape that broadcasts (one for the tensor, for each expert, for each row). */
#ifndef TARE_PACKING_BLOCK_SCALES_H
#define TARE_PACKING_BLOCK_SCALES_H

#include "packing/packing.h"

/* Checks that the scales fit the weight, whose shape the module has, in blocks of block[0] rows and block[1] columns or
 * by broadcasting. Fills block and group_size; returns false after recording a fault. */
bool tare_blocks_fit(struct tare_module *module, struct tare_arena *arena, const int64_t block[2]);
/* The index of the scale that a group of a row of the module has. */
int64_t tare_blocks_at(const struct tare_module *module, int64_t row, int64_t group);

#endif
