/* SPDX-License-Identifier: MIT
 * gguf_block.c - what GGUF's packings share. Source: formats.md, "GGUF blocks"; ggml-common.h. */
#include "packing/gguf_block.h"

void tare_block_shape(struct tare_module *module, int bits, int64_t group_size, enum tare_dtype dtype)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT]; /* open/gguf.c saw that rows are whole blocks */
    module->rank = weight->rank;
    module->shape = weight->shape;
    module->bits = bits;
    module->group_size = group_size;
    module->dtype = dtype;
}

int64_t tare_block_row(const struct tare_module *module, int64_t row)
{
    const int64_t heads = module->part[TARE_PART_WEIGHT]->heads;
    if (!heads)
        return row;
    const int64_t size = module->shape[0] / heads, half = size / 2, at = row % size;
    return row - at + at % half * 2 + at / half;
}

void tare_block_decode(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                       struct tare_codes *codes, tare_block_unpack *unpack)
{
    const struct tare_block_size block = tare_dtype_block(module->packing->blocks);
    const int64_t blocks = tare_module_columns(module) / block.columns, groups = block.columns / module->group_size;
    for (int64_t k = 0; k < rows * blocks; k++) {
        const int64_t from = tare_block_row(module, row + k / blocks) * blocks + k % blocks;
        unpack((const unsigned char *)part[TARE_PART_WEIGHT] + from * block.bytes, codes->code + k * block.columns,
               codes->scale + k * groups, codes->offset + k * groups);
    }
}

void tare_block_nibbles(const unsigned char bytes[16], uint8_t code[32])
{
    for (int j = 0; j < 16; j++) {
        code[j] = bytes[j] & 15;
        code[j + 16] = bytes[j] >> 4;
    }
}

void tare_block_fifth_bit(const unsigned char bits[4], uint8_t code[32])
{
    for (int j = 0; j < 32; j++)
        code[j] = (uint8_t)(code[j] | (bits[j / 8] >> j % 8 & 1) << 4);
}

void tare_block_six_bits(const unsigned char bytes[12], int k, int *scale, int *minimum)
{
    if (k < 4) {
        *scale = bytes[k] & 63;
        *minimum = bytes[k + 4] & 63;
    } else {
        *scale = (bytes[k + 4] & 15) | bytes[k - 4] >> 6 << 4;
        *minimum = bytes[k + 4] >> 4 | bytes[k] >> 6 << 4;
    }
}
