/* SPDX-License-Identifier: MIT
 * gguf_iq3_xxs.c - GGUF's IQ3_XXS: 256 columns in 98 bytes.
 *
 *     w = d * (0.5 + sc) * 0.5 * (plus or minus the grid's 4, 12, 20, 28, 36, 44, 52 or 62)
 *
 * f16 d; 64 bytes, each an index of four columns; 8 words for 32 columns each: the scale in the highest four bits, and
 * below it four times seven signs of eight columns (tare_grid_signs). The code is 32 plus or minus half of the grid's
 * number, so the scale is d * (0.5 + sc).
 */
#include "packing/gguf/gguf_grids.h"

static const uint8_t magnitude[8] = {2, 6, 10, 14, 18, 22, 26, 31};

static void unpack(const unsigned char *block, uint8_t *code, struct tare_block_numbers *numbers)
{
    const unsigned char *index = block + 2, *words = block + 66;
    numbers->scale = tare_block_half(block) * 0.5f;
    numbers->offset = 32;
    for (int k = 0; k < 8; k++) {
        const uint32_t word = tare_word_at(words, k);
        numbers->factor[k] = (int8_t)(1 + 2 * (word >> 28));
        for (int l = 0; l < 4; l++, index += 2, code += 8) {
            const unsigned signs = tare_grid_signs(word >> 7 * l & 127);
            tare_grid_put_four(tare_grid_iq3_xxs[index[0]], magnitude, signs, 32, code);
            tare_grid_put_four(tare_grid_iq3_xxs[index[1]], magnitude, signs >> 4, 32, code + 4);
        }
    }
}

static const struct tare_code_table table = {
    .value = {1, 6, 10, 14, 18, 22, 26, 30, 34, 38, 42, 46, 50, 54, 58, 63},
    .factor = 1,
    .zero = 32,
};

static const struct tare_block_kind kind = {.bits = 6, .group_size = 32, .dtype = TARE_F32, .unpack = unpack};

const struct tare_packing tare_packing_gguf_iq3_xxs = {
    .name = "gguf-iq3_xxs",
    .suffix = {".weight"},
    .key = TARE_PART_WEIGHT,
    .rowwise = true,
    .codes = TARE_CODE_INTEGER,
    .mode = TARE_MLX_AFFINE,
    .table = &table,
    .blocks = TARE_IQ3_XXS,
    .block = &kind,
    .shape = tare_block_shape,
    .decode = tare_block_decode,
    .factoring = &tare_block_floats,
};
