/* SPDX-License-Identifier: MIT
 * gguf_iq1_m.c - GGUF's IQ1_M: 256 columns in 56 bytes.
 *
 *     w = d * (2 * sc + 1) * (grid - 1/8 or grid + 1/8)
 *
 * 32 bytes of indices of eight columns; 16 bytes, a half for each index, the low half first: three high bits of it, and
 * one that is set where 1/8 is subtracted; four times 16 bits, each four scales of three bits for 16 columns, and above
 * them four bits of d, a float16 whose lowest bits come first. The code is 16 plus eight times the value, so the scale is
 * an eighth.
 */
#include "packing/gguf/gguf_grids.h"

static void unpack(const unsigned char *block, uint8_t *code, struct tare_block_numbers *numbers)
{
    const unsigned char *high = block + 32, *scales = block + 48;
    unsigned half = 0;
    for (int k = 0; k < 4; k++)
        half |= (unsigned)(tare_half_at(scales, k) >> 12) << 4 * k;
    numbers->scale = tare_from_float16((uint16_t)half) * 0.125f;
    numbers->offset = 16;
    for (int k = 0; k < 16; k++)
        numbers->factor[k] = (int8_t)(2 * (tare_half_at(scales, k / 4) >> 3 * (k % 4) & 7) + 1);
    for (int l = 0; l < 32; l++, code += 8) {
        const unsigned more = high[l / 2] >> 4 * (l % 2) & 15U;
        tare_grid_put_ternary(tare_grid_iq1[block[l] | (more & 7) << 8], more >> 3, code);
    }
}

static const struct tare_block_kind kind = {.bits = 5, .group_size = 16, .dtype = TARE_F32, .unpack = unpack};

const struct tare_packing tare_packing_gguf_iq1_m = {
    .name = "gguf-iq1_m",
    .suffix = {".weight"},
    .key = TARE_PART_WEIGHT,
    .rowwise = true,
    .codes = TARE_CODE_INTEGER,
    .mode = TARE_MLX_AFFINE,
    .table = &tare_grid_ternary_table,
    .blocks = TARE_IQ1_M,
    .block = &kind,
    .shape = tare_block_shape,
    .decode = tare_block_decode,
    .factoring = &tare_block_floats,
};
