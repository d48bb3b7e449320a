/* SPDX-License-Identifier: MIT
 * gguf_iq2_s.c - GGUF's IQ2_S: 256 columns in 82 bytes.
 *
 *     w = d * (0.5 + sc) * 0.25 * (plus or minus the grid's 8, 25 or 43)
 *
 * f16 d; 32 bytes of indices of eight columns; 32 bytes of signs, bit j for column j; 8 bytes of the indices' high bits,
 * two for each of four; 8 bytes of scales of 16 columns, the low half first. The code is 128 plus or minus the grid's
 * number.
 */
#include "packing/gguf/gguf_grids.h"

static void unpack(const unsigned char *block, uint8_t *code, struct tare_block_numbers *numbers)
{
    const unsigned char *index = block + 2, *signs = block + 34, *high = block + 66, *scales = block + 74;
    numbers->scale = tare_block_half(block) * 0.125f;
    numbers->offset = 128;
    for (int k = 0; k < 8; k++)
        tare_grid_put_nibble_factors(scales[k], numbers->factor + 2 * (ptrdiff_t)k);
    for (int l = 0; l < 32; l++, code += 8)
        tare_grid_put_eight(tare_grid_iq2_s[index[l] | (high[l / 4] >> 2 * (l % 4) & 3U) << 8], signs[l], code);
}

static const struct tare_block_kind kind = {.bits = 8, .group_size = 16, .dtype = TARE_F32, .unpack = unpack};

const struct tare_packing tare_packing_gguf_iq2_s = {
    .name = "gguf-iq2_s",
    .suffix = {".weight"},
    .key = TARE_PART_WEIGHT,
    .rowwise = true,
    .codes = TARE_CODE_INTEGER,
    .mode = TARE_MLX_AFFINE,
    .table = &tare_grid_lattice_table,
    .blocks = TARE_IQ2_S,
    .block = &kind,
    .shape = tare_block_shape,
    .decode = tare_block_decode,
    .factoring = &tare_block_floats,
};
