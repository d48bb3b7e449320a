/* SPDX-License-Identifier: MIT
 * microscaled.h - what mxfp4, mxfp8 and nvfp4 share, whichever program stored them: rows of small floats, and one byte
 * of scale for 32 (nvfp4: 16) of them. The files of these packings say only how their shapes differ. */
#ifndef TARE_PACKING_MICROSCALED_H
#define TARE_PACKING_MICROSCALED_H

#include "packing/packing.h"

/*
 * Fills the module for a weight of `rank` axes, (leading[0 .. rank - 2], columns). Its scales are (leading.., columns /
 * group) or, in tiles, one for each tile_rows rows and tile_columns columns. Bits and group come from the packing's
 * mode. The bytes of all parts lie one row after another in each of these packings. Returns false after recording a
 * fault.
 */
bool tare_micro_fit(struct tare_module *module, struct tare_arena *arena, int rank, const int64_t *leading,
                    int64_t columns, int64_t tile_rows, int64_t tile_columns);
/* The same for a weight part (.., columns * bits / 8 / size of its dtype), with one scale for each group of a row. */
bool tare_micro_fit_rows(struct tare_module *module, struct tare_arena *arena);
/* Checks that there is one global scale for each matrix of the module, or for each of at most `most` equal ranges of
 * its rows. Returns false after recording a fault. */
bool tare_micro_fit_global(struct tare_module *module, struct tare_arena *arena, int64_t most);

void tare_micro_decode(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                       struct tare_codes *codes);
void tare_micro_to_mlx(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                       const struct tare_mlx_rows *to);

/* Whole numbers for e2m1 codes. */
extern const struct tare_code_table tare_micro_table;
/* The bytes of e8m0 scales, or those of e4m3 times a number of the row, as the kernels' factors. */
extern const struct tare_factoring tare_micro_powers, tare_micro_floats;

#define TARE_BYTE_DTYPES (1u << TARE_U8 | 1u << TARE_I8)
#define TARE_E4M3_DTYPES (1u << TARE_U8 | 1u << TARE_F8_E4M3) /* mlx reads and writes e4m3 as U8 */
#define TARE_E8M0_DTYPES (1u << TARE_U8 | 1u << TARE_F8_E8M0)

#endif
