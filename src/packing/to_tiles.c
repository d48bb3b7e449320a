/* SPDX-License-Identifier: MIT
 * to_tiles.c - the conditions that every packing's way into tiles needs, and the numbers of a group. */
#include "packing/to_tiles.h"

bool tare_to_tiles(const struct tare_stretch *s)
{
    const struct tare_packing *packing = s->module->packing;
    const enum tare_dtype dtype = s->m->scales == TARE_SCALES_F16    ? TARE_F16
                                  : s->m->scales == TARE_SCALES_BF16 ? TARE_BF16
                                                                     : TARE_DTYPE_COUNT;
    /* The scales are copied as they are stored, so both sides must agree on their dtype. */
    if (!packing->to_tiles || s->module->dtype != dtype || s->m->zeros == packing->biases)
        return false;
    return s->m->groups % tare_module_groups(s->module) == 0 && packing->to_tiles(s);
}

/* What a 16-bit float becomes on its way through float32: itself, except that a NaN becomes quiet. */
static inline uint16_t quiet(uint16_t half, bool bfloat16)
{
    const uint16_t infinity = bfloat16 ? 0x7f80 : 0x7c00, bit = bfloat16 ? 0x40 : 0x200;
    return (uint16_t)(half | ((half & 0x7fff) > infinity ? bit : 0));
}

void tare_tiles_put_numbers(const struct tare_stretch *s, int64_t t, int64_t g, const uint16_t scale[TARE_TILE_ROWS],
                            const uint16_t offset[TARE_TILE_ROWS])
{
    const bool bfloat16 = s->m->scales == TARE_SCALES_BF16;
    uint16_t numbers[2][TARE_TILE_ROWS];
    for (int r = 0; r < TARE_TILE_ROWS; r++)
        numbers[0][r] = quiet(scale[r], bfloat16);
    for (int r = 0; r < TARE_TILE_ROWS; r++)
        numbers[1][r] = quiet(offset[r], bfloat16);
    memcpy(s->to + (size_t)t * s->m->stride + (size_t)g * tare_tile_group(s->m), numbers, sizeof numbers);
}

void tare_tiles_list_zeros(const struct tare_stretch *s, uint16_t zero[16])
{
    for (int z = 0; z < 16; z++)
        zero[z] = s->m->scales == TARE_SCALES_F16 ? tare_to_float16((float)z) : tare_to_bfloat16((float)z);
}
