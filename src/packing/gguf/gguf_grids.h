/* SPDX-License-Identifier: MIT
 * gguf_grids.h - the grids of GGUF's IQ types: an index in the file stands for the magnitudes of neighbouring columns,
 * and signs lie beside it.
 *
 * An entry holds levels, not magnitudes: two bits for each of eight columns (IQ1, IQ2), three for each of four (IQ3),
 * the first column lowest. Source: docs/layouts.md, "GGUF blocks"; ggml-common.h. */
#ifndef TARE_PACKING_GGUF_GGUF_GRIDS_H
#define TARE_PACKING_GGUF_GGUF_GRIDS_H

#include "packing/gguf/gguf_block.h"

extern const uint16_t tare_grid_iq1[2048]; /* IQ1_S, IQ1_M: levels 0, 1, 2 are -1, 0, 1 */
extern const uint16_t tare_grid_iq2_xxs[256];
extern const uint16_t tare_grid_iq2_xs[512];
extern const uint16_t tare_grid_iq2_s[1024];
extern const uint16_t tare_grid_iq3_xxs[256];
extern const uint16_t tare_grid_iq3_s[512];

/* Codes of eight columns of an IQ2 type: 128 plus or minus 8, 25 or 43. Bit j of signs: column j is negative. */
void tare_grid_put_eight(uint16_t entry, unsigned signs, uint8_t code[8]);
/* Codes of four columns of an IQ3 type: zero plus or minus the magnitude of each level. */
void tare_grid_put_four(uint16_t entry, const uint8_t magnitude[8], unsigned signs, uint8_t zero, uint8_t code[4]);
/* Codes of eight columns of an IQ1 type, in eighths: 16 + 8 * grid - 1 or, unless minus, + 1. */
void tare_grid_put_ternary(uint16_t entry, bool minus, uint8_t code[8]);
/* The signs of eight columns, of which seven are stored: the number of negative columns is even. */
static inline unsigned tare_grid_signs(unsigned seven)
{
    unsigned odd = seven ^ seven >> 4;
    odd ^= odd >> 2;
    odd ^= odd >> 1;
    return seven | (odd & 1) << 7;
}
/* The factors of 32 columns of IQ2_XS and IQ2_S, in eighths of d: two groups of 16, a nibble each. */
static inline void tare_grid_put_nibble_factors(unsigned nibbles, int8_t factor[2])
{
    factor[0] = (int8_t)(1 + 2 * (nibbles & 15));
    factor[1] = (int8_t)(1 + 2 * (nibbles >> 4));
}

/* All codes of the IQ2 types, and of the IQ1 types. */
extern const struct tare_code_table tare_grid_lattice_table, tare_grid_ternary_table;

#endif
