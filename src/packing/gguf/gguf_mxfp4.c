/* SPDX-License-Identifier: MIT
 * gguf_mxfp4.c - GGUF's MXFP4: 32 columns in 17 bytes.
 *
 *     w = 2^(e - 127) * q
 *
 * One byte of scale, e8m0; 16 bytes of nibbles, e2m1. e 255 is NaN here, as in the OCP specification; ggml computes
 * with 2^128.
 */
#include "base/small_float.h"
#include "packing/gguf/gguf_block.h"
#include "packing/microscaled.h"
#include "packing/to_tiles.h"

static void unpack(const unsigned char *block, uint8_t *code, struct tare_block_numbers *numbers)
{
    numbers->scale = tare_from_e8m0(block[0]);
    tare_block_nibbles(block + 1, code);
}

static void factored_rows(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row,
                          int64_t rows, struct tare_factored *to)
{
    const int64_t blocks = tare_module_columns(module) / 32;
    for (int64_t k = 0; k < rows * blocks; k++) {
        const unsigned char *block = (const unsigned char *)part[TARE_PART_WEIGHT] +
                                     (tare_block_row(module, row + k / blocks) * blocks + k % blocks) * 17;
        to->factor[k] = block[0];
        tare_block_nibbles(block + 1, to->code + 32 * k);
    }
    for (int64_t r = 0; r < rows; r++)
        to->scale[r] = 1;
}

static const struct tare_factoring factoring = {TARE_FACTORS_E8M0, 0, TARE_BF16, factored_rows};

static const struct tare_block_kind kind = {.bits = 4, .group_size = 32, .dtype = TARE_BF16, .unpack = unpack};

const struct tare_packing tare_packing_gguf_mxfp4 = {
    .name = "gguf-mxfp4",
    .suffix = {".weight"},
    .key = TARE_PART_WEIGHT,
    .rowwise = true,
    .codes = TARE_CODE_E2M1,
    .mode = TARE_MLX_MXFP4,
    .table = &tare_micro_table,
    .blocks = TARE_MXFP4,
    .block = &kind,
    .shape = tare_block_shape,
    .decode = tare_block_decode,
    .factoring = &factoring,
};
