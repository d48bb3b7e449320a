/* SPDX-License-Identifier: MIT
 * grid_scales.h - weights of one byte a value, integers or e4m3, whose scales cut rows and columns into equal parts: one
 * for the tensor, for each row, for groups of a row, or for blocks (torchao, quanto). */
#ifndef TARE_PACKING_GRID_SCALES_H
#define TARE_PACKING_GRID_SCALES_H

#include "packing/packing.h"

/* For shape(): a weight of `bytes` dtypes (a bit set), scales of any float dtype, and zeros that are integers of the
 * scales' shape or absent. */
void tare_grid_shape(struct tare_module *module, struct tare_arena *arena, unsigned bytes);
/* The decode() of bytes with a sign: code = byte + 128, the zero 128 more than the stored one. */
void tare_grid_decode_int8(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row,
                           int64_t rows, struct tare_codes *codes);
/* The decode() of e4m3. */
void tare_grid_decode_e4m3(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row,
                           int64_t rows, struct tare_codes *codes);

#endif
