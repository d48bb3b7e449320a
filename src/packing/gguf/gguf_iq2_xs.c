/* SPDX-License-Identifier: MIT
 * gguf_iq2_xs.c - GGUF's IQ2_XS: 256 columns in 74 bytes.
 *
 *     w = d * (0.5 + sc) * 0.25 * (plus or minus the grid's 8, 25 or 43)
 *
 * f16 d; 32 times 16 bits for eight columns each, nine of index and seven of signs above them (tare_grid_signs); 8 bytes
 * of scales of 16 columns, the low half first. The code is 128 plus or minus the grid's number.
 */
#include "packing/gguf/gguf_grids.h"

static void unpack(const unsigned char *block, uint8_t *code, struct tare_block_numbers *numbers)
{
    numbers->scale = tare_block_half(block) * 0.125f;
    numbers->offset = 128;
    for (int k = 0; k < 8; k++)
        tare_grid_put_nibble_factors(block[66 + k], numbers->factor + 2 * (ptrdiff_t)k);
    for (int l = 0; l < 32; l++, code += 8) {
        const unsigned both = tare_half_at(block + 2, l);
        tare_grid_put_eight(tare_grid_iq2_xs[both & 511], tare_grid_signs(both >> 9), code);
    }
}

static const struct tare_block_kind kind = {.bits = 8, .group_size = 16, .dtype = TARE_F32, .unpack = unpack};

const struct tare_packing tare_packing_gguf_iq2_xs = {
    .name = "gguf-iq2_xs",
    .suffix = {".weight"},
    .key = TARE_PART_WEIGHT,
    .rowwise = true,
    .codes = TARE_CODE_INTEGER,
    .mode = TARE_MLX_AFFINE,
    .table = &tare_grid_lattice_table,
    .blocks = TARE_IQ2_XS,
    .block = &kind,
    .shape = tare_block_shape,
    .decode = tare_block_decode,
    .factoring = &tare_block_floats,
};
