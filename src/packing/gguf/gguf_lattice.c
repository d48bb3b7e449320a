/* SPDX-License-Identifier: MIT
 * gguf_lattice.c - entries of the grids of GGUF's IQ types, with their signs, as codes. */
#include "packing/gguf/gguf_grids.h"

const struct tare_code_table tare_grid_lattice_table = {
    .value = {85, 103, 120, 136, 153, 171, 171, 171, 171, 171, 171, 171, 171, 171, 171, 171},
    .factor = 1,
    .zero = 128,
};
const struct tare_code_table tare_grid_ternary_table = {
    .value = {7, 9, 15, 17, 23, 25, 25, 25, 25, 25, 25, 25, 25, 25, 25, 25},
    .factor = 1,
    .zero = 16,
};

void tare_grid_put_eight(uint16_t entry, unsigned signs, uint8_t code[8])
{
    static const uint8_t magnitude[4] = {8, 25, 43, 0}; /* no entry has level 3 */
    for (int j = 0; j < 8; j++) {
        const int m = magnitude[entry >> 2 * j & 3];
        code[j] = (uint8_t)(128 + (signs >> j & 1 ? -m : m));
    }
}

void tare_grid_put_four(uint16_t entry, const uint8_t magnitude[8], unsigned signs, uint8_t zero, uint8_t code[4])
{
    for (int j = 0; j < 4; j++) {
        const int m = magnitude[entry >> 3 * j & 7];
        code[j] = (uint8_t)(zero + (signs >> j & 1 ? -m : m));
    }
}

void tare_grid_put_ternary(uint16_t entry, bool minus, uint8_t code[8])
{
    for (int j = 0; j < 8; j++)
        code[j] = (uint8_t)(8 + 8 * (entry >> 2 * j & 3) + (minus ? -1 : 1));
}
