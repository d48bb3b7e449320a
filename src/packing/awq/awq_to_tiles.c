/* SPDX-License-Identifier: MIT
 * awq_to_tiles.c - awq-gemm of 4 bits straight into tiles. */
#include "base/awq_order.h"
#include "packing/awq/awq.h"
#include "packing/to_tiles.h"

/* Input columns are asked for this far ahead: they lie too far apart for the processor to foresee them. */
#define AHEAD 64

/* Transposes 16 blocks of 4 by 4 bytes: byte b of word j becomes byte j of word b. */
static inline void transpose_bytes(uint32_t w[4][TARE_TILE_ROWS], uint32_t to[4][TARE_TILE_ROWS])
{
    for (int i = 0; i < TARE_TILE_ROWS; i++) {
        const uint32_t even = 0x00ff00ff, odd = 0xff00ff00;
        const uint32_t a = (w[0][i] & even) | (w[1][i] & even) << 8, b = (w[0][i] & odd) >> 8 | (w[1][i] & odd);
        const uint32_t c = (w[2][i] & even) | (w[3][i] & even) << 8, d = (w[2][i] & odd) >> 8 | (w[3][i] & odd);
        to[0][i] = (a & 0xffff) | c << 16;
        to[1][i] = (b & 0xffff) | d << 16;
        to[2][i] = a >> 16 | (c & 0xffff0000);
        to[3][i] = b >> 16 | (d & 0xffff0000);
    }
}

/* Makes one step of up to 8 tiles from 8 input columns, which are 16 words each, `stride` bytes apart. Nibble n of a
 * word is output row tare_awq_column[n] of its eight. */
static void make_steps(const unsigned char *from, int64_t stride, int64_t tiles, unsigned char *to, size_t tile)
{
    uint32_t word[8][TARE_TILE_ROWS] = {{0}}, even[4][TARE_TILE_ROWS], odd[4][TARE_TILE_ROWS], made[8][TARE_TILE_ROWS];
    for (int64_t i = 0; i < 8; i++)
        if (tiles == 8)
            memcpy(word[i], from + i * stride, sizeof word[i]); /* a size that the compiler knows */
        else
            memcpy(word[i], from + i * stride, (size_t)tiles * 8);
    for (int j = 0; j < 4; j++)
        for (int i = 0; i < TARE_TILE_ROWS; i++) {
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

static void put_codes(const struct tare_stretch *s)
{
    const int64_t in = s->m->in, words = s->module->shape[0] / 8;
    const unsigned char *from = (const unsigned char *)s->part[TARE_PART_WEIGHT] + s->from / 8 * 4;
    for (int64_t t = 0; t < s->tiles; t += 8)
        for (int64_t i = 0; i < in; i += 8) {
            const unsigned char *row = from + (i * words + 2 * t) * 4;
            for (int64_t k = 0; k < 8 && i + AHEAD < in; k++)
                __builtin_prefetch(row + (AHEAD + k) * 4 * words);
            make_steps(row, 4 * words, s->tiles - t < 8 ? s->tiles - t : 8, tare_tiles_step(s, t, i / 8), s->m->stride);
        }
}

static void put_groups(const struct tare_stretch *s)
{
    const int64_t out = s->module->shape[0];
    const void *zeros = s->part[TARE_PART_ZEROS];
    uint16_t zero[16], offset[TARE_TILE_ROWS], scale[TARE_TILE_ROWS];
    tare_tiles_list_zeros(s, zero);
    for (int64_t t = 0; t < s->tiles; t++)
        for (int64_t g = 0; g < s->m->groups; g++) {
            const int64_t at = tare_tiles_group(s, g) * out + s->from + t * TARE_TILE_ROWS;
            memcpy(scale, (const unsigned char *)s->part[TARE_PART_SCALES] + 2 * at, sizeof scale);
            for (int r = 0; r < TARE_TILE_ROWS; r++) {
                const uint32_t word = zeros ? tare_word_at(zeros, (at + r) / 8) : 0x88888888;
                offset[r] = zero[word >> tare_awq_shift[r % 8] & 15];
            }
            tare_tiles_put_numbers(s, t, g, scale, offset);
        }
}

bool tare_awq_to_tiles(const struct tare_stretch *s)
{
    if (s->m->storage != TARE_STORE_T4 || s->from % 8)
        return false;
    put_codes(s);
    put_groups(s);
    return true;
}
