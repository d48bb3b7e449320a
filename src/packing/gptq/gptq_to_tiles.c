/* SPDX-License-Identifier: MIT
 * gptq_to_tiles.c - GPTQ of 4 bits straight into tiles: v1, v2 and gptq-words, in the order of the columns. */
#include "packing/gptq/gptq.h"
#include "packing/to_tiles.h"

static void put_codes(const struct tare_stretch *s)
{
    const int64_t out = s->module->shape[0];
    for (int64_t k = 0; k < s->m->in / 8; k++)
        for (int64_t t = 0; t < s->tiles; t++) {
            uint32_t word[TARE_TILE_ROWS];
            memcpy(word,
                   (const unsigned char *)s->part[TARE_PART_WEIGHT] + 4 * (k * out + s->from + t * TARE_TILE_ROWS),
                   sizeof word);
            for (int r = 0; r < TARE_TILE_ROWS; r++)
                word[r] = tare_tiles_interleave(word[r]);
            memcpy(tare_tiles_step(s, t, k), word, sizeof word);
        }
}

/* v1 stores zero - 1 in each field. Where whole words were reduced by 0x11111111 (gptq-words), a borrow crosses fields,
 * so the addition has to be one of words as well. */
static void put_groups(const struct tare_stretch *s)
{
    const int64_t out = s->module->shape[0], words = tare_gptq_zero_words(s->module);
    const uint32_t carried = s->module->packing == &tare_packing_gptq_words ? 0x11111111 : 0;
    const uint32_t one = s->module->packing == &tare_packing_gptq_v1 ? 1 : 0;
    uint16_t zero[16], offset[TARE_TILE_ROWS], scale[TARE_TILE_ROWS];
    tare_tiles_list_zeros(s, zero);
    for (int64_t t = 0; t < s->tiles; t++)
        for (int64_t g = 0; g < s->m->groups; g++) {
            const int64_t row = s->from + t * TARE_TILE_ROWS, stored = tare_tiles_group(s, g);
            memcpy(scale, (const unsigned char *)s->part[TARE_PART_SCALES] + 2 * (stored * out + row), sizeof scale);
            for (int r = 0; r < TARE_TILE_ROWS; r++) {
                const uint32_t word = tare_word_at(s->part[TARE_PART_ZEROS], stored * words + (row + r) / 8) + carried;
                offset[r] = zero[((word >> (row + r) % 8 * 4) + one) & 15];
            }
            tare_tiles_put_numbers(s, t, g, scale, offset);
        }
}

bool tare_gptq_to_tiles(const struct tare_stretch *s)
{
    const struct tare_module *module = s->module;
    const bool moved = module->act_order || module->place || module->rows || module->by_rows;
    if (s->m->storage != TARE_STORE_T4 || module->bits != 4 || moved)
        return false;
    put_codes(s);
    put_groups(s);
    return true;
}
