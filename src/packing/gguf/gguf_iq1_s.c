/* SPDX-License-Identifier: MIT
 * gguf_iq1_s.c - GGUF's IQ1_S: 256 columns in 50 bytes.
 *
 *     w = d * (2 * sc + 1) * (grid - 1/8 or grid + 1/8)
 *
 * f16 d; 32 bytes of indices of eight columns; for each 32 columns 16 bits: four times three high bits of an index, three
 * of the scale, and one that is set where 1/8 is subtracted. The code is 16 plus eight times the value, so the scale is an
 * eighth.
 */
#include "packing/gguf/gguf_grids.h"

static void unpack(const unsigned char *block, uint8_t *code, struct tare_block_numbers *numbers)
{
    const unsigned char *index = block + 2;
    numbers->scale = tare_block_half(block) * 0.125f;
    numbers->offset = 16;
    for (int k = 0; k < 8; k++) {
        const unsigned high = tare_half_at(block + 34, k);
        numbers->factor[k] = (int8_t)(2 * (high >> 12 & 7) + 1);
        for (int l = 0; l < 4; l++, index++, code += 8)
            tare_grid_put_ternary(tare_grid_iq1[*index | (high >> 3 * l & 7) << 8], high >> 15, code);
    }
}

static const struct tare_block_kind kind = {.bits = 5, .group_size = 32, .dtype = TARE_F32, .unpack = unpack};

const struct tare_packing tare_packing_gguf_iq1_s = {
    .name = "gguf-iq1_s",
    .suffix = {".weight"},
    .key = TARE_PART_WEIGHT,
    .rowwise = true,
    .codes = TARE_CODE_INTEGER,
    .mode = TARE_MLX_AFFINE,
    .table = &tare_grid_ternary_table,
    .blocks = TARE_IQ1_S,
    .block = &kind,
    .shape = tare_block_shape,
    .decode = tare_block_decode,
    .factoring = &tare_block_floats,
};
