/* SPDX-License-Identifier: MIT
 * fused.c - AWQ, GPTQ and MLX of 4 bits, and GGUF's Q4_0 and Q8_0, into tiles.
 *
 * 32 bits of a step hold eight columns of a row, as those of GPTQ and MLX do, in another order: byte j has column j and
 * column 4 + j (kernels/tiles.h). So GPTQ's words only change order inside, MLX's are transposed too, and AWQ's, which
 * hold a column of eight rows, are transposed as bytes. Loops are over 16 neighbours: compilers make vectors of them.
 */
#include "run/weights/fused.h"

#include "base/awq_order.h"
#include "base/half.h"
#include "base/number.h"
#include "packing/gguf/gguf_block.h"
#include "packing/gptq/gptq.h"

#define LANES TARE_TILE_ROWS
#define AHEAD 64 /* rows of AWQ, which lie apart: too far for the processor to foresee them */

static uint16_t half_at(const void *halves, int64_t at)
{
    uint16_t half;
    memcpy(&half, (const unsigned char *)halves + 2 * at, sizeof half);
    return half;
}

/* Nibbles 0 1 2 3 4 5 6 7 of a word, from the lowest bits, become 0 4 1 5 2 6 3 7. */
static inline uint32_t interleave(uint32_t word)
{
    const uint32_t bytes = (word ^ word >> 8) & 0x0000ff00;
    word ^= bytes ^ bytes << 8;
    const uint32_t nibbles = (word ^ word >> 4) & 0x00f000f0;
    return word ^ nibbles ^ nibbles << 4;
}

/* The codes of step k of tile t. */
static unsigned char *step_at(const struct tare_stretch *s, int64_t t, int64_t k)
{
    const int64_t steps = s->m->group / tare_step_columns(s->m), g = k / steps;
    return s->to + (size_t)t * s->m->stride + (size_t)g * tare_tile_group(s->m) + 2 * tare_tile_scales(s->m) +
           (size_t)(k - g * steps) * TARE_STEP_BYTES;
}

/* ---- scales and offsets ---------------------------------------------------------------------------------------- */

/* What a 16-bit float is after a way through float32: itself, but that a NaN becomes quiet. */
static inline uint16_t quiet(uint16_t half, bool bfloat16)
{
    const uint16_t infinity = bfloat16 ? 0x7f80 : 0x7c00, bit = bfloat16 ? 0x40 : 0x200;
    return (uint16_t)(half | ((half & 0x7fff) > infinity ? bit : 0));
}

/* The numbers of group g of tile t, which are 16 bits wide. */
static void put_numbers(const struct tare_stretch *s, int64_t t, int64_t g, const uint16_t scale[LANES],
                        const uint16_t offset[LANES])
{
    const bool bfloat16 = s->m->scales == TARE_SCALES_BF16;
    uint16_t numbers[2][LANES];
    for (int r = 0; r < LANES; r++)
        numbers[0][r] = quiet(scale[r], bfloat16);
    for (int r = 0; r < LANES; r++)
        numbers[1][r] = quiet(offset[r], bfloat16);
    memcpy(s->to + (size_t)t * s->m->stride + (size_t)g * tare_tile_group(s->m), numbers, sizeof numbers);
}

/* Zero points as 16-bit floats. */
static void list_zeros(const struct tare_stretch *s, uint16_t zero[16])
{
    for (int z = 0; z < 16; z++)
        zero[z] = s->m->scales == TARE_SCALES_F16 ? tare_to_float16((float)z) : tare_to_bfloat16((float)z);
}

/* The module's group that group g of the matrix, which may have smaller ones, is part of. */
static int64_t group_of(const struct tare_stretch *s, int64_t g)
{
    return g / (s->m->groups / tare_module_groups(s->module));
}

/* ---- AWQ ------------------------------------------------------------------------------------------------------- */

/* Bytes of four words: byte b of word j becomes byte j of word b. */
static inline void transpose_bytes(uint32_t w[4][LANES], uint32_t to[4][LANES])
{
    for (int i = 0; i < LANES; i++) {
        const uint32_t even = 0x00ff00ff, odd = 0xff00ff00;
        const uint32_t a = (w[0][i] & even) | (w[1][i] & even) << 8, b = (w[0][i] & odd) >> 8 | (w[1][i] & odd);
        const uint32_t c = (w[2][i] & even) | (w[3][i] & even) << 8, d = (w[2][i] & odd) >> 8 | (w[3][i] & odd);
        to[0][i] = (a & 0xffff) | c << 16;
        to[1][i] = (b & 0xffff) | d << 16;
        to[2][i] = a >> 16 | (c & 0xffff0000);
        to[3][i] = b >> 16 | (d & 0xffff0000);
    }
}

/* One step of up to 8 tiles: 8 rows of 16 words. Nibble n of a word is output row tare_awq_column[n] of its eight. */
static void awq_step(const unsigned char *from, int64_t stride, int64_t tiles, unsigned char *to, size_t tile)
{
    uint32_t word[8][LANES] = {{0}}, even[4][LANES], odd[4][LANES], made[8][LANES];
    for (int64_t i = 0; i < 8; i++)
        if (tiles == 8)
            memcpy(word[i], from + i * stride, sizeof word[i]); /* of a size that the compiler knows */
        else
            memcpy(word[i], from + i * stride, (size_t)tiles * 8);
    for (int j = 0; j < 4; j++)
        for (int i = 0; i < LANES; i++) {
            const uint32_t low = word[j][i], high = word[j + 4][i], nibbles = 0x0f0f0f0f;
            even[j][i] = (low & nibbles) | (high & nibbles) << 4;
            odd[j][i] = (low >> 4 & nibbles) | (high & ~nibbles);
        }
    transpose_bytes(even, made); /* output rows 0, 4, 1, 5 */
    transpose_bytes(odd, made + 4);
    for (int64_t i = 0; i < 2 * tiles; i++) {
        const uint32_t lanes[8] = {made[0][i], made[2][i], made[4][i], made[6][i],
                                   made[1][i], made[3][i], made[5][i], made[7][i]};
        memcpy(to + (size_t)(i / 2) * tile + (size_t)(i % 2) * sizeof lanes, lanes, sizeof lanes);
    }
}

static void awq_codes(const struct tare_stretch *s)
{
    const int64_t in = s->m->in, words = s->module->shape[0] / 8;
    const unsigned char *from = (const unsigned char *)s->part[TARE_PART_WEIGHT] + s->from / 8 * 4;
    for (int64_t t = 0; t < s->tiles; t += 8)
        for (int64_t i = 0; i < in; i += 8) {
            const unsigned char *row = from + (i * words + 2 * t) * 4;
            for (int64_t k = 0; k < 8 && i + AHEAD < in; k++)
                __builtin_prefetch(row + (AHEAD + k) * 4 * words);
            awq_step(row, 4 * words, s->tiles - t < 8 ? s->tiles - t : 8, step_at(s, t, i / 8), s->m->stride);
        }
}

static void awq_numbers(const struct tare_stretch *s)
{
    const int64_t out = s->module->shape[0];
    const void *zeros = s->part[TARE_PART_ZEROS];
    uint16_t zero[16], offset[LANES], scale[LANES];
    list_zeros(s, zero);
    for (int64_t t = 0; t < s->tiles; t++)
        for (int64_t g = 0; g < s->m->groups; g++) {
            const int64_t at = group_of(s, g) * out + s->from + t * LANES;
            memcpy(scale, (const unsigned char *)s->part[TARE_PART_SCALES] + 2 * at, sizeof scale);
            for (int r = 0; r < LANES; r++) {
                const uint32_t word = zeros ? tare_word_at(zeros, (at + r) / 8) : 0x88888888;
                offset[r] = zero[word >> tare_awq_shift[r % 8] & 15];
            }
            put_numbers(s, t, g, scale, offset);
        }
}

static bool awq(const struct tare_stretch *s)
{
    if (s->module->packing != &tare_packing_awq_gemm || s->module->bits != 4 || s->from % 8 || !s->m->zeros)
        return false;
    awq_codes(s);
    awq_numbers(s);
    return true;
}

/* ---- GPTQ ------------------------------------------------------------------------------------------------------ */

static void gptq_codes(const struct tare_stretch *s)
{
    const int64_t out = s->module->shape[0];
    for (int64_t k = 0; k < s->m->in / 8; k++)
        for (int64_t t = 0; t < s->tiles; t++) {
            uint32_t word[LANES];
            memcpy(word, (const unsigned char *)s->part[TARE_PART_WEIGHT] + 4 * (k * out + s->from + t * LANES),
                   sizeof word);
            for (int r = 0; r < LANES; r++)
                word[r] = interleave(word[r]);
            memcpy(step_at(s, t, k), word, sizeof word);
        }
}

/* v1 stores zero - 1 in each field; as words, from which 0x11111111 was taken, borrows run on. */
static void gptq_numbers(const struct tare_stretch *s)
{
    const int64_t out = s->module->shape[0], words = tare_gptq_zero_words(s->module);
    const uint32_t carried = s->module->packing == &tare_packing_gptq_words ? 0x11111111 : 0;
    const uint32_t one = s->module->packing == &tare_packing_gptq_v1 ? 1 : 0;
    uint16_t zero[16], offset[LANES], scale[LANES];
    list_zeros(s, zero);
    for (int64_t t = 0; t < s->tiles; t++)
        for (int64_t g = 0; g < s->m->groups; g++) {
            const int64_t row = s->from + t * LANES, stored = group_of(s, g);
            memcpy(scale, (const unsigned char *)s->part[TARE_PART_SCALES] + 2 * (stored * out + row), sizeof scale);
            for (int r = 0; r < LANES; r++) {
                const uint32_t word = tare_word_at(s->part[TARE_PART_ZEROS], stored * words + (row + r) / 8) + carried;
                offset[r] = zero[((word >> (row + r) % 8 * 4) + one) & 15];
            }
            put_numbers(s, t, g, scale, offset);
        }
}

static bool gptq(const struct tare_stretch *s)
{
    const struct tare_module *module = s->module;
    const bool known = module->packing == &tare_packing_gptq_v1 || module->packing == &tare_packing_gptq_words ||
                       module->packing == &tare_packing_gptq_v2;
    if (!known || module->bits != 4 || module->act_order || module->place || module->rows || module->by_rows ||
        !s->m->zeros)
        return false;
    gptq_codes(s);
    gptq_numbers(s);
    return true;
}

/* ---- MLX ------------------------------------------------------------------------------------------------------- */

static void mlx_codes(const struct tare_stretch *s)
{
    const int64_t words = s->m->in / 8;
    for (int64_t t = 0; t < s->tiles; t++)
        for (int64_t k = 0, n; k < words; k += n) {
            n = words - k < LANES ? words - k : LANES;
            for (int r = 0; r < LANES; r++) {
                uint32_t word[LANES] = {0};
                memcpy(word,
                       (const unsigned char *)s->part[TARE_PART_WEIGHT] + 4 * ((s->from + t * LANES + r) * words + k),
                       (size_t)n * 4);
                for (int i = 0; i < LANES; i++)
                    word[i] = interleave(word[i]);
                for (int64_t i = 0; i < n; i++)
                    memcpy(step_at(s, t, k + i) + (ptrdiff_t)4 * r, &word[i], 4);
            }
        }
}

static bool mlx(const struct tare_stretch *s)
{
    if (s->module->packing != &tare_packing_mlx_affine || s->module->bits != 4 || s->m->zeros)
        return false;
    mlx_codes(s);
    const int64_t groups = tare_module_groups(s->module);
    uint16_t scale[LANES], offset[LANES];
    for (int64_t t = 0; t < s->tiles; t++)
        for (int64_t g = 0; g < s->m->groups; g++) {
            for (int64_t r = 0; r < LANES; r++) {
                const int64_t at = (s->from + t * LANES + r) * groups + group_of(s, g);
                scale[r] = half_at(s->part[TARE_PART_SCALES], at);
                offset[r] = half_at(s->part[TARE_PART_ZEROS], at);
            }
            put_numbers(s, t, g, scale, offset);
        }
    return true;
}

/* ---- GGUF ------------------------------------------------------------------------------------------------------ */

/* 32 columns of a row into four steps; byte j of the nibbles has columns j and 16 + j. */
static inline void q4_0_block(const unsigned char *nibbles, unsigned char *to)
{
    const uint32_t mask = 0x0f0f0f0f;
    for (int k = 0; k < 2; k++, nibbles += 8, to += TARE_STEP_BYTES) {
        const uint32_t a = tare_word_at(nibbles, 0), b = tare_word_at(nibbles, 1);
        const uint32_t low = (a & mask) | (b & mask) << 4, high = (a >> 4 & mask) | (b & ~mask);
        memcpy(to, &low, sizeof low);
        memcpy(to + (ptrdiff_t)2 * TARE_STEP_BYTES, &high, sizeof high);
    }
}

static inline void q8_0_block(const unsigned char *bytes, unsigned char *to)
{
    for (int k = 0; k < 8; k++, to += TARE_STEP_BYTES) {
        const uint32_t word = tare_word_at(bytes, k) ^ 0x80808080;
        memcpy(to, &word, sizeof word);
    }
}

/* Blocks of a float16 and 32 codes whose zero is in the middle. */
static bool gguf(const struct tare_stretch *s)
{
    const bool q4 = s->module->packing == &tare_packing_gguf_q4_0, q8 = s->module->packing == &tare_packing_gguf_q8_0;
    if (!(q4 && s->m->storage == TARE_STORE_T4) && !(q8 && s->m->storage == TARE_STORE_T8))
        return false;
    if (s->m->group != 32 || !s->m->zeros)
        return false;
    const int64_t bytes = q4 ? 18 : 34;
    const unsigned char *block[LANES];
    uint16_t scale[LANES], offset[LANES];
    for (int r = 0; r < LANES; r++)
        offset[r] = tare_to_float16(q4 ? 8 : 128);
    for (int64_t t = 0; t < s->tiles; t++) {
        for (int r = 0; r < LANES; r++)
            block[r] = (const unsigned char *)s->part[TARE_PART_WEIGHT] +
                       tare_block_row(s->module, s->from + t * LANES + r) * s->m->groups * bytes;
        for (int64_t g = 0; g < s->m->groups; g++) {
            unsigned char *to = step_at(s, t, g * (q4 ? 4 : 8));
            for (int r = 0; r < LANES; r++, to += 4) {
                scale[r] = half_at(block[r], 0);
                (q4 ? q4_0_block : q8_0_block)(block[r] + 2, to);
                block[r] += bytes;
            }
            put_numbers(s, t, g, scale, offset);
        }
    }
    return true;
}

bool tare_fused(const struct tare_stretch *s)
{
    const enum tare_dtype dtype = s->m->scales == TARE_SCALES_F16    ? TARE_F16
                                  : s->m->scales == TARE_SCALES_BF16 ? TARE_BF16
                                                                     : TARE_DTYPE_COUNT;
    if (s->module->dtype != dtype || s->m->groups % tare_module_groups(s->module))
        return false;
    if (s->m->storage == TARE_STORE_T8)
        return gguf(s);
    return s->m->storage == TARE_STORE_T4 && (awq(s) || gptq(s) || mlx(s) || gguf(s));
}
