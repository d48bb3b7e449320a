/* SPDX-License-Identifier: MIT
 * mlx_to_tiles.c - MLX's affine layout of 4 bits straight into tiles: up to 16 words of each of 16 rows, transposed. */
#include "packing/mlx/to_mlx.h"
#include "packing/to_tiles.h"

static void put_codes(const struct tare_stretch *s)
{
    const int64_t words = s->m->in / 8;
    for (int64_t t = 0; t < s->tiles; t++)
        for (int64_t k = 0, n; k < words; k += n) {
            n = words - k < TARE_TILE_ROWS ? words - k : TARE_TILE_ROWS;
            for (int r = 0; r < TARE_TILE_ROWS; r++) {
                uint32_t word[TARE_TILE_ROWS] = {0};
                memcpy(word,
                       (const unsigned char *)s->part[TARE_PART_WEIGHT] +
                           4 * ((s->from + t * TARE_TILE_ROWS + r) * words + k),
                       (size_t)n * 4);
                for (int i = 0; i < TARE_TILE_ROWS; i++)
                    word[i] = tare_tiles_interleave(word[i]);
                for (int64_t i = 0; i < n; i++)
                    memcpy(tare_tiles_step(s, t, k + i) + (ptrdiff_t)4 * r, &word[i], 4);
            }
        }
}

bool tare_mlx_to_tiles(const struct tare_stretch *s)
{
    if (s->m->storage != TARE_STORE_T4 || s->module->bits != 4)
        return false;
    put_codes(s);
    const int64_t groups = tare_module_groups(s->module);
    uint16_t scale[TARE_TILE_ROWS], offset[TARE_TILE_ROWS];
    for (int64_t t = 0; t < s->tiles; t++)
        for (int64_t g = 0; g < s->m->groups; g++) {
            for (int64_t r = 0; r < TARE_TILE_ROWS; r++) {
                const int64_t at = (s->from + t * TARE_TILE_ROWS + r) * groups + tare_tiles_group(s, g);
                scale[r] = tare_half_at(s->part[TARE_PART_SCALES], at);
                offset[r] = tare_half_at(s->part[TARE_PART_ZEROS], at);
            }
            tare_tiles_put_numbers(s, t, g, scale, offset);
        }
    return true;
}
