/* SPDX-License-Identifier: MIT
 * gguf_block.c - what GGUF's packings share. Source: docs/layouts.md, "GGUF blocks"; ggml-common.h. */
#include "packing/gguf/gguf_block.h"

#include "packing/to_tiles.h"

void tare_block_shape(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT];
    const struct tare_block_kind *kind = module->packing->block;
    (void)quant;
    (void)arena;
    module->rank = weight->rank;
    module->shape = weight->shape; /* in whole blocks: open/gguf/gguf.c refuses others */
    module->bits = kind->bits;
    module->group_size = kind->group_size;
    module->dtype = kind->dtype;
}

int64_t tare_block_row(const struct tare_module *module, int64_t row)
{
    const int64_t heads = module->part[TARE_PART_WEIGHT]->heads;
    if (!heads)
        return row;
    const int64_t size = module->shape[0] / heads, half = size / 2, at = row % size;
    return row - at + at % half * 2 + at / half;
}

/* Unpacks block k of some rows, counted through all of them. */
static void unpack_block(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t k,
                         uint8_t *code, struct tare_block_numbers *numbers)
{
    const struct tare_block_size block = tare_dtype_block(module->packing->blocks);
    const int64_t blocks = tare_module_columns(module) / block.columns;
    const int64_t from = tare_block_row(module, row + k / blocks) * blocks + k % blocks;
    module->packing->block->unpack((const unsigned char *)part[TARE_PART_WEIGHT] + from * block.bytes,
                                   code + k * block.columns, numbers);
}

void tare_block_decode(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                       struct tare_codes *codes)
{
    const struct tare_block_size block = tare_dtype_block(module->packing->blocks);
    const int64_t blocks = tare_module_columns(module) / block.columns, groups = block.columns / module->group_size;
    const bool biases = module->packing->biases;
    float *scale = codes->scale, *offset = codes->offset;
    for (int64_t k = 0; k < rows * blocks; k++, scale += groups, offset += groups) {
        struct tare_block_numbers n = {0};
        unpack_block(module, part, row, k, codes->code, &n);
        for (int64_t g = 0; g < groups; g++) {
            scale[g] = groups > 1 ? n.scale * (float)n.factor[g] : n.scale;
            offset[g] = groups > 1 && biases ? n.offset * (float)n.least[g] : n.offset;
        }
    }
}

static void factored_rows(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row,
                          int64_t rows, struct tare_factored *to)
{
    const struct tare_block_size block = tare_dtype_block(module->packing->blocks);
    const int64_t blocks = tare_module_columns(module) / block.columns, groups = block.columns / module->group_size;
    for (int64_t k = 0; k < rows * blocks; k++) {
        struct tare_block_numbers n = {0};
        unpack_block(module, part, row, k, to->code, &n);
        to->scale[k] = n.scale;
        to->offset[k] = n.offset;
        memcpy(to->factor + k * groups, n.factor, (size_t)groups);
        memcpy(to->least + k * groups, n.least, (size_t)groups);
    }
}

const struct tare_factoring tare_block_halves = {TARE_FACTORS_I8, 256, TARE_F16, factored_rows};
const struct tare_factoring tare_block_floats = {TARE_FACTORS_I8, 256, TARE_F32, factored_rows};

void tare_block_nibbles(const unsigned char bytes[16], uint8_t code[32])
{
    for (int j = 0; j < 16; j++) {
        code[j] = bytes[j] & 15;
        code[j + 16] = bytes[j] >> 4;
    }
}

/* -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113 */
const struct tare_code_table tare_block_nonlinear = {
    .value = {1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241},
    .factor = 1,
    .zero = 128,
};

void tare_block_look_up(int n, uint8_t *code)
{
    for (int i = 0; i < n; i++)
        code[i] = tare_block_nonlinear.value[code[i]];
}

void tare_block_fifth_bit(const unsigned char bits[4], uint8_t code[32])
{
    for (int j = 0; j < 32; j++)
        code[j] = (uint8_t)(code[j] | (bits[j / 8] >> j % 8 & 1) << 4);
}

/* Inner loops of 32 neighbours: compilers make vectors of them. */
void tare_block_nibble_runs(const unsigned char *bytes, uint8_t code[256])
{
    for (int k = 0; k < 4; k++, bytes += 32, code += 64)
        for (int l = 0; l < 32; l++) {
            code[l] = bytes[l] & 15;
            code[l + 32] = bytes[l] >> 4;
        }
}

void tare_block_add_pairs(const unsigned char *bytes, int shift, uint8_t code[256])
{
    for (int half = 0; half < 2; half++, bytes += 32)
        for (int k = 0; k < 4; k++, code += 32)
            for (int l = 0; l < 32; l++)
                code[l] = (uint8_t)(code[l] | (bytes[l] >> 2 * k & 3) << shift);
}

void tare_block_add_bits(const unsigned char *bytes, int shift, uint8_t code[256])
{
    for (int k = 0; k < 8; k++, code += 32)
        for (int l = 0; l < 32; l++)
            code[l] = (uint8_t)(code[l] | (bytes[l] >> k & 1) << shift);
}

void tare_block_six_bits(const unsigned char bytes[12], int k, int8_t *scale, uint8_t *minimum)
{
    const unsigned char *low = bytes + k % 4, *middle = low + 4, *high = low + 8;
    if (k < 4) {
        *scale = (int8_t)(*low & 63);
        *minimum = *middle & 63;
    } else { /* four bits each in one byte, the two above them over those of k - 4 */
        *scale = (int8_t)((*high & 15) | *low >> 6 << 4);
        *minimum = (uint8_t)(*high >> 4 | *middle >> 6 << 4);
    }
}
