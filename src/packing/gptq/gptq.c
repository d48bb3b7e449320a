/* SPDX-License-Identifier: MIT
 * gptq.c - GPTQ: qweight I32 (in * bits / 32, out), scales (groups, out), qzeros I32 (groups, out * bits / 32), g_idx
 * I32 (in) or none.
 *
 * qweight packs codes along the input, qzeros the zeros along the output, each as one stream of bits, the lowest first,
 * padded to whole words:
 *     weight[out][in] = scale[group][out] * (code[in][out] - zero[group][out])     group = g_idx[in] or in / group_size
 *
 * A field of qzeros means: v2 the zero itself; v1 the zero - 1, where GPTQModel subtracts 0x55555555,
 * 0x11111111 or 0x01010101 from whole words of 2, 4 or 8 bits, so that a borrow crosses into the next field
 * (gptq-words). Planar (gptq-p): 32 codes have as many words as bits, one plane of bits after another; v2 zeros.
 * Source: docs/layouts.md, "GPTQ".
 *
 * MLX's affine layout has the same stream along the input for each output: its words are those of qweight, transposed.
 */
#include <string.h>

#include "base/number.h"
#include "packing/fault.h"
#include "packing/gptq/gptq.h"
#include "packing/mlx/to_mlx.h"
#include "packing/nibbles.h"
#include "packing/suspect.h"

#define BLOCK TARE_GPTQ_BLOCK

/* Loads the words of one block of a stream of n words, which begin at `first` and lie `stride` apart. Words past the
 * end of the stream are 0. */
static void load(const void *words, int64_t first, int64_t stride, int64_t n, int64_t block, int bits, uint32_t *to)
{
    for (int64_t k = 0; k < bits; k++)
        to[k] = block * bits + k < n ? tare_word_at(words, first + (block * bits + k) * stride) : 0;
}

/* The codes follow one another in the words, the lowest bits first. */
static void unpack_stream(const uint32_t *words, int bits, uint8_t code[BLOCK])
{
    uint64_t held = 0;
    int have = 0, next = 0;
    for (int i = 0; i < BLOCK; i++) {
        if (have < bits) {
            held |= (uint64_t)words[next++] << have;
            have += 32;
        }
        code[i] = (uint8_t)(held & ((1u << bits) - 1));
        held >>= bits;
        have -= bits;
    }
}

/* Bits of the codes lie in planes of 8, 4, 2 or 1 bits, the lowest bits first: 5 bits are a plane of 4 and one of 1. */
static void unpack_planes(const uint32_t *words, int bits, uint8_t code[BLOCK])
{
    memset(code, 0, BLOCK);
    for (int low = 0; low < bits;) {
        const int left = bits - low, width = left == 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
        for (int i = 0; i < BLOCK; i++) {
            const uint32_t field = words[low + i * width / 32] >> (i * width % 32) & ((1u << width) - 1);
            code[i] |= (uint8_t)(field << low);
        }
        low += width;
    }
}

static void unpack(const struct tare_packing *packing, const uint32_t *words, int bits, uint8_t code[BLOCK])
{
    if (packing == &tare_packing_gptq_p)
        unpack_planes(words, bits, code);
    else
        unpack_stream(words, bits, code);
}

int64_t tare_gptq_zero_words(const struct tare_module *module)
{
    return module->part[TARE_PART_ZEROS]->shape[1];
}

void tare_gptq_fields(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t group,
                      int64_t block, uint8_t field[BLOCK])
{
    uint32_t words[8] = {0};
    const int64_t n = tare_gptq_zero_words(module);
    load(part[TARE_PART_ZEROS], group * n, 1, n, block, module->bits, words);
    unpack(module->packing, words, module->bits, field);
}

/* The zeros of 32 outputs of a group. v1 stores zero - 1: the 1 is added to whole words where it was subtracted from
 * whole words, else to each field, where it wraps. */
static void zeros_of(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t group, int64_t block,
                     uint8_t zero[BLOCK])
{
    uint32_t words[8] = {0};
    const int bits = module->bits;
    const int64_t n = tare_gptq_zero_words(module);
    const bool v1 = module->packing == &tare_packing_gptq_v1 || module->packing == &tare_packing_gptq_words;
    const bool whole = module->packing == &tare_packing_gptq_words && (bits == 2 || bits == 4 || bits == 8);
    const uint32_t one = bits == 2 ? 0x55555555u : bits == 4 ? 0x11111111u : 0x01010101u;
    load(part[TARE_PART_ZEROS], group * n, 1, n, block, bits, words);
    for (int k = 0; whole && k < bits; k++)
        words[k] += one;
    unpack(module->packing, words, bits, zero);
    for (int i = 0; v1 && !whole && i < BLOCK; i++)
        zero[i] = (uint8_t)((zero[i] + 1) & ((1 << bits) - 1));
}

static int64_t stored_row(const struct tare_module *module, int64_t row)
{
    return module->rows ? module->rows[row] : row;
}

/* Decodes the scales and zeros of some rows, (rows, groups). */
static void decode_groups(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row,
                          int64_t rows, float *scale, float *offset)
{
    const int64_t out = module->shape[0], groups = tare_module_groups(module);
    uint8_t zero[BLOCK];
    for (int64_t g = 0; g < groups; g++) {
        int64_t block = -1;
        for (int64_t r = 0; r < rows; r++) {
            const int64_t stored = stored_row(module, row + r);
            if (stored / BLOCK != block)
                zeros_of(module, part, g, block = stored / BLOCK, zero);
            scale[r * groups + g] = tare_float_at(part[TARE_PART_SCALES], module->dtype, g * out + stored);
            offset[r * groups + g] = (float)zero[stored % BLOCK];
        }
    }
}

/* Decodes an embedding as GPTQModel writes it: qweight (tokens * bits / 32, features) is packed along the tokens, and a
 * group is a run of tokens. In neutral form each column is a group of its own. */
static void decode_by_rows(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row,
                           int64_t rows, struct tare_codes *codes)
{
    const int64_t in = module->shape[1], n = module->part[TARE_PART_WEIGHT]->shape[0];
    uint32_t words[8] = {0};
    uint8_t code[BLOCK], zero[BLOCK];
    for (int64_t block = row / BLOCK; block * BLOCK < row + rows; block++)
        for (int64_t i = 0; i < in; i++) {
            load(part[TARE_PART_WEIGHT], i, in, n, block, module->bits, words);
            unpack(module->packing, words, module->bits, code);
            for (int64_t k = 0; k < BLOCK; k++)
                if (block * BLOCK + k >= row && block * BLOCK + k < row + rows)
                    codes->code[(block * BLOCK + k - row) * in + i] = code[k];
        }
    for (int64_t r = 0; r < rows; r++) {
        const int64_t g = part[TARE_PART_G_IDX] ? (int32_t)tare_word_at(part[TARE_PART_G_IDX], row + r)
                                                : (row + r) / module->block[0];
        for (int64_t i = 0; i < in; i++) {
            if (i % BLOCK == 0)
                zeros_of(module, part, g, i / BLOCK, zero);
            codes->scale[r * in + i] = tare_float_at(part[TARE_PART_SCALES], module->dtype, g * in + i);
            codes->offset[r * in + i] = (float)zero[i % BLOCK];
        }
    }
}

#define TILE 16 /* words a side of a block that is transposed; they are one cache line */

/* Writes rows [row, row + rows) of the transpose of qweight, each of n words, which lie `out` apart in the file. */
static void transpose_words(const struct tare_module *module, const void *words, int64_t row, int64_t rows,
                            unsigned char *to)
{
    const int64_t out = module->shape[0], n = module->part[TARE_PART_WEIGHT]->shape[0];
    for (int64_t r = 0; r < rows; r += TILE)
        for (int64_t k = 0; k < n; k += TILE) {
            const int64_t r_end = r + TILE < rows ? r + TILE : rows, k_end = k + TILE < n ? k + TILE : n;
            for (int64_t i = r; i < r_end; i++) {
                const unsigned char *from = (const unsigned char *)words + 4 * stored_row(module, row + i);
                for (int64_t j = k; j < k_end; j++)
                    memcpy(to + 4 * (i * n + j), from + 4 * j * out, 4);
            }
        }
}

/* Codes of 4 and 8 bits in their order are the transposed words themselves, as nibbles or bytes. False: they are not. */
static bool decode_whole_words(const struct tare_module *module, const void *qweight, int64_t row, int64_t rows,
                               uint8_t *code)
{
    const int64_t in = module->shape[1], n = module->part[TARE_PART_WEIGHT]->shape[0];
    const int bits = module->bits;
    if (module->place || module->packing == &tare_packing_gptq_p || (bits != 4 && bits != 8) || n * 32 != in * bits)
        return false;
    transpose_words(module, qweight, row, rows, bits == 4 ? code + rows * in / 2 : code);
    if (bits == 4)
        tare_spread_nibbles(code, rows * in);
    return true;
}

static void decode(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                   struct tare_codes *codes)
{
    const int64_t out = module->shape[0], in = module->shape[1], n = module->part[TARE_PART_WEIGHT]->shape[0];
    uint32_t words[8] = {0};
    uint8_t code[BLOCK];
    if (module->by_rows) {
        decode_by_rows(module, part, row, rows, codes);
        return;
    }
    const bool whole = decode_whole_words(module, part[TARE_PART_WEIGHT], row, rows, codes->code);
    for (int64_t i = 0; i < in && !whole; i += BLOCK)
        for (int64_t r = 0; r < rows; r++) {
            const int64_t size = in - i < BLOCK ? in - i : BLOCK;
            load(part[TARE_PART_WEIGHT], stored_row(module, row + r), out, n, i / BLOCK, module->bits, words);
            unpack(module->packing, words, module->bits, code);
            if (!module->place)
                memcpy(codes->code + r * in + i, code, (size_t)size);
            for (int64_t k = 0; module->place && k < size; k++)
                codes->code[r * in + module->place[i + k]] = code[k];
        }
    decode_groups(module, part, row, rows, codes->scale, codes->offset);
}

/* The same where columns were sorted: each code goes to its new place in the row's stream. */
static void place_codes(const struct tare_module *module, const void *qweight, int64_t row, int64_t rows,
                        unsigned char *to)
{
    const int64_t out = module->shape[0], in = module->shape[1], n = module->part[TARE_PART_WEIGHT]->shape[0];
    const int bits = module->bits;
    uint32_t words[8] = {0};
    uint8_t code[BLOCK];
    memset(to, 0, (size_t)(rows * n * 4));
    for (int64_t i = 0; i < in; i += BLOCK)
        for (int64_t r = 0; r < rows; r++) {
            load(qweight, stored_row(module, row + r), out, n, i / BLOCK, bits, words);
            unpack(module->packing, words, bits, code);
            for (int64_t k = 0; k < BLOCK && i + k < in; k++) {
                const int64_t bit = (int64_t)module->place[i + k] * bits;
                unsigned char *at = to + r * n * 4 + bit / 8;
                const unsigned value = (unsigned)code[k] << bit % 8;
                at[0] |= (unsigned char)value;
                if (value >> 8) /* else there may be no next byte */
                    at[1] |= (unsigned char)(value >> 8);
            }
        }
}

static void to_mlx(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                   const struct tare_mlx_rows *to)
{
    const int64_t out = module->shape[0], groups = tare_module_groups(module);
    uint8_t zero[BLOCK];
    if (module->place)
        place_codes(module, part[TARE_PART_WEIGHT], row, rows, to->weight);
    else
        transpose_words(module, part[TARE_PART_WEIGHT], row, rows, to->weight);
    for (int64_t g = 0; g < groups; g++) {
        int64_t block = -1;
        for (int64_t r = 0; r < rows; r++) {
            const int64_t stored = stored_row(module, row + r);
            if (stored / BLOCK != block)
                zeros_of(module, part, g, block = stored / BLOCK, zero);
            const float scale = tare_float_at(part[TARE_PART_SCALES], module->dtype, g * out + stored);
            tare_float_put(to->scales, module->dtype, r * groups + g, scale);
            tare_float_put(to->biases, module->dtype, r * groups + g, -(float)zero[stored % BLOCK] * scale);
        }
    }
}

static enum tare_code check(const struct tare_module *module, const void *const part[TARE_PARTS],
                            struct tare_error *err)
{
    const int64_t groups = module->part[TARE_PART_SCALES]->shape[0];
    const struct tare_tensor *order = module->part[TARE_PART_G_IDX];
    for (int64_t i = 0; order && i < order->shape[0]; i++) {
        const int32_t group = (int32_t)tare_word_at(part[TARE_PART_G_IDX], i);
        if (group < 0 || group >= groups)
            return tare_fail(err, TARE_E_FORMAT, order->name, "g_idx[%lld] is %ld, and there are %lld groups",
                             (long long)i, (long)group, (long long)groups);
        if (!module->act_order && !module->by_rows &&
            group != (module->place ? module->place[i] : i) / module->group_size)
            return tare_fail(err, TARE_E_FORMAT, order->name,
                             "g_idx[%lld] is %ld: act-order, which config.json (desc_act) does not announce; without "
                             "--no-data it is read from g_idx",
                             (long long)i, (long)group);
    }
    return TARE_OK;
}

static bool announced_v1(const struct tare_quant *quant)
{
    return quant->method == TARE_METHOD_GPTQ && quant->gptq.format == TARE_GPTQ_V1 && !quant->gptq.words;
}

static bool announced_words(const struct tare_quant *quant)
{
    return quant->method == TARE_METHOD_GPTQ && quant->gptq.format == TARE_GPTQ_V1 && quant->gptq.words;
}

static bool announced_v2(const struct tare_quant *quant)
{
    return quant->method == TARE_METHOD_GPTQ && quant->gptq.format == TARE_GPTQ_V2;
}

static bool announced_p(const struct tare_quant *quant)
{
    return quant->method == TARE_METHOD_GPTQ && quant->gptq.format == TARE_GPTQ_PLANAR;
}

#define GPTQ(word, say, mlx, tiles)                                                                                    \
    {                                                                                                                  \
        .name = word, .suffix = {".qweight", ".scales", ".qzeros", ".g_idx"}, .key = TARE_PART_WEIGHT, .casts = true,  \
        .reorders = true, .announced = say, .shape = tare_gptq_shape, .decode = decode, .to_mlx = mlx,                 \
        .to_tiles = tiles, .check = check, .suspect = &tare_suspect_gptq                                               \
    }
const struct tare_packing tare_packing_gptq_v1 = GPTQ("gptq", announced_v1, to_mlx, tare_gptq_to_tiles);
const struct tare_packing tare_packing_gptq_words = GPTQ("gptq", announced_words, to_mlx, tare_gptq_to_tiles);
const struct tare_packing tare_packing_gptq_v2 = GPTQ("gptq-v2", announced_v2, to_mlx, tare_gptq_to_tiles);
const struct tare_packing tare_packing_gptq_p = GPTQ("gptq-p", announced_p, NULL, NULL);

bool tare_packing_is_gptq(const struct tare_packing *packing)
{
    return packing->shape == tare_gptq_shape;
}
