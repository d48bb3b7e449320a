/* SPDX-License-Identifier: MIT
 * gguf_iq2_xs.c - GGUF's IQ2_XS: 256 columns in 74 bytes.
 *
 *     w = d * (0.5 + sc) * 0.25 * (plus or minus the grid's 8, 25 or 43)
 *
 * f16 d; 32 times 16 bits for eight columns each, nine of index and seven of signs above them (tare_grid_signs); 8 bytes
 * of scales of 16 columns, the low half first. The code is 128 plus or minus the grid's number.
 */
#include "packing/gguf/gguf_grids.h"

static void unpack(const unsigned char *block, uint8_t *code, float *scale, float *offset)
{
    const float d = tare_block_half(block);
    for (int k = 0; k < 8; k++) {
        tare_grid_put_nibble_scales(d, block[66 + k], scale + 2 * (ptrdiff_t)k);
        offset[2 * k] = offset[2 * k + 1] = 128;
    }
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
    .blocks = TARE_IQ2_XS,
    .block = &kind,
    .shape = tare_block_shape,
    .decode = tare_block_decode,
};
