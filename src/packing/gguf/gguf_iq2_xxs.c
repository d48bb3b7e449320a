/* SPDX-License-Identifier: MIT
 * gguf_iq2_xxs.c - GGUF's IQ2_XXS: 256 columns in 66 bytes.
 *
 *     w = d * (0.5 + sc) * 0.25 * (plus or minus the grid's 8, 25 or 43)
 *
 * f16 d; for each 32 columns 4 bytes of indices of eight columns, and a word: the scale in its highest four bits, and
 * below it four times seven signs (tare_grid_signs). The code is 128 plus or minus the grid's number.
 */
#include "packing/gguf/gguf_grids.h"

static void unpack(const unsigned char *block, uint8_t *code, struct tare_block_numbers *numbers)
{
    const unsigned char *index = block + 2;
    numbers->scale = tare_block_half(block) * 0.125f;
    numbers->offset = 128;
    for (int k = 0; k < 8; k++, index += 8) {
        const uint32_t word = tare_word_at(index, 1);
        numbers->factor[k] = (int8_t)(1 + 2 * (word >> 28));
        for (int l = 0; l < 4; l++, code += 8)
            tare_grid_put_eight(tare_grid_iq2_xxs[index[l]], tare_grid_signs(word >> 7 * l & 127), code);
    }
}

static const struct tare_block_kind kind = {.bits = 8, .group_size = 32, .dtype = TARE_F32, .unpack = unpack};

const struct tare_packing tare_packing_gguf_iq2_xxs = {
    .name = "gguf-iq2_xxs",
    .suffix = {".weight"},
    .key = TARE_PART_WEIGHT,
    .rowwise = true,
    .codes = TARE_CODE_INTEGER,
    .mode = TARE_MLX_AFFINE,
    .table = &tare_grid_lattice_table,
    .blocks = TARE_IQ2_XXS,
    .block = &kind,
    .shape = tare_block_shape,
    .decode = tare_block_decode,
    .factoring = &tare_block_floats,
};
