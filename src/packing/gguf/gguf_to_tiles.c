/* SPDX-License-Identifier: MIT
 * gguf_to_tiles.c - GGUF's Q4_0 and Q8_0 straight into tiles. */
#include "packing/gguf/gguf_block.h"
#include "packing/to_tiles.h"

/* Puts 32 columns of a row into four steps. Byte j of the nibbles holds columns j and 16 + j. */
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

/* Puts 32 columns of a row into eight steps. Codes are signed in the file and unsigned in tiles: q + 128. */
static inline void q8_0_block(const unsigned char *bytes, unsigned char *to)
{
    for (int k = 0; k < 8; k++, to += TARE_STEP_BYTES) {
        const uint32_t word = tare_word_at(bytes, k) ^ 0x80808080;
        memcpy(to, &word, sizeof word);
    }
}

/* Blocks of a float16 scale and 32 codes whose zero is in the middle: q4 says which of the two kinds. */
static inline bool put_blocks(const struct tare_stretch *s, bool q4)
{
    if (s->m->storage != (q4 ? TARE_STORE_T4 : TARE_STORE_T8) || s->m->group != 32)
        return false;
    const int64_t bytes = q4 ? 18 : 34;
    const unsigned char *block[TARE_TILE_ROWS];
    uint16_t scale[TARE_TILE_ROWS], offset[TARE_TILE_ROWS];
    for (int r = 0; r < TARE_TILE_ROWS; r++)
        offset[r] = tare_to_float16(q4 ? 8 : 128);
    for (int64_t t = 0; t < s->tiles; t++) {
        for (int r = 0; r < TARE_TILE_ROWS; r++)
            block[r] = (const unsigned char *)s->part[TARE_PART_WEIGHT] +
                       tare_block_row(s->module, s->from + t * TARE_TILE_ROWS + r) * s->m->groups * bytes;
        for (int64_t g = 0; g < s->m->groups; g++) {
            unsigned char *to = tare_tiles_step(s, t, g * (q4 ? 4 : 8));
            for (int r = 0; r < TARE_TILE_ROWS; r++, to += 4) {
                scale[r] = tare_half_at(block[r], 0);
                (q4 ? q4_0_block : q8_0_block)(block[r] + 2, to);
                block[r] += bytes;
            }
            tare_tiles_put_numbers(s, t, g, scale, offset);
        }
    }
    return true;
}

bool tare_q4_0_to_tiles(const struct tare_stretch *s)
{
    return put_blocks(s, true);
}

bool tare_q8_0_to_tiles(const struct tare_stretch *s)
{
    return put_blocks(s, false);
}
