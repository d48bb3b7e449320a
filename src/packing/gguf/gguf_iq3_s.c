/* SPDX-License-Identifier: MIT
 * gguf_iq3_s.c - GGUF's IQ3_S: 256 columns in 110 bytes.
 *
 *     w = d * (1 + 2 * sc) * (plus or minus the grid's 1, 3, 5, .. 15)
 *
 * f16 d; 64 bytes of indices of four columns; 8 bytes of their ninth bits, bit j for index j of eight; 32 bytes of signs,
 * bit j for column j of eight; 4 bytes of scales of 32 columns, the low half first. The code is 16 plus or minus the
 * grid's number.
 */
#include "packing/gguf/gguf_grids.h"

static const uint8_t magnitude[8] = {1, 3, 5, 7, 9, 11, 13, 15};

static void unpack(const unsigned char *block, uint8_t *code, struct tare_block_numbers *numbers)
{
    const unsigned char *index = block + 2, *ninth = block + 66, *signs = block + 74, *scales = block + 106;
    numbers->scale = tare_block_half(block);
    numbers->offset = 16;
    for (int k = 0; k < 8; k++) {
        numbers->factor[k] = (int8_t)(1 + 2 * (scales[k / 2] >> 4 * (k % 2) & 15));
        for (int j = 0; j < 8; j++, index++, code += 4) {
            const unsigned at = *index | (ninth[k] >> j & 1U) << 8, minus = signs[4 * k + j / 2] >> 4 * (j % 2);
            tare_grid_put_four(tare_grid_iq3_s[at], magnitude, minus, 16, code);
        }
    }
}

static const struct tare_code_table table = {
    .value = {1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31},
    .factor = 1,
    .zero = 16,
};

static const struct tare_block_kind kind = {.bits = 5, .group_size = 32, .dtype = TARE_F32, .unpack = unpack};

const struct tare_packing tare_packing_gguf_iq3_s = {
    .name = "gguf-iq3_s",
    .suffix = {".weight"},
    .key = TARE_PART_WEIGHT,
    .rowwise = true,
    .codes = TARE_CODE_INTEGER,
    .mode = TARE_MLX_AFFINE,
    .table = &table,
    .blocks = TARE_IQ3_S,
    .block = &kind,
    .shape = tare_block_shape,
    .decode = tare_block_decode,
    .factoring = &tare_block_halves,
};
