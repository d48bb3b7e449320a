/* SPDX-License-Identifier: MIT
 * tiles.h - how packed weights lie in tiles of 16 rows.
 *
 * A tile is its groups one after another; a group is 16 scales, 16 offsets, then its codes by steps:
 *   T4  a step is 8 columns in 64 bytes: byte 4r + j has column j of row r in its low half and column 4 + j in its high
 *   T8  a step is 4 columns in 64 bytes: byte 4r + j is column j of row r
 * So 32 bits hold four neighbouring columns of one row, which is what the dot products of bytes sum (vpdpbusd,
 * vpmaddubsw, sdot); each of the 16 lanes of a register sums one row, and no sum ever crosses lanes.
 */
#ifndef TARE_KERNELS_TILES_H
#define TARE_KERNELS_TILES_H

#include <float.h>
#include <string.h>

#include "base/half.h"
#include "kernels/kernels.h"

#define TARE_STEP_BYTES 64
#define TARE_TILE_AHEAD 8192 /* bytes between what is used and what is prefetched */

static inline size_t tare_tile_scales(const struct tare_matrix *m) /* bytes of 16 scales */
{
    return TARE_TILE_ROWS * (m->scales == TARE_SCALES_F32 ? 4u : 2u);
}
static inline int64_t tare_step_columns(const struct tare_matrix *m)
{
    return m->storage == TARE_STORE_T4 ? 8 : 4;
}
static inline size_t tare_tile_group(const struct tare_matrix *m) /* bytes of a group */
{
    return 2 * tare_tile_scales(m) + (size_t)(m->group / tare_step_columns(m)) * TARE_STEP_BYTES;
}
/* Bytes of a tile; a multiple of 64. */
static inline size_t tare_tile_stride(const struct tare_matrix *m)
{
    return (size_t)m->groups * tare_tile_group(m);
}
static inline int64_t tare_tile_count(const struct tare_matrix *m)
{
    return (m->rows + TARE_TILE_ROWS - 1) / TARE_TILE_ROWS;
}

static inline float tare_tile_number(const struct tare_matrix *m, const unsigned char *numbers, int64_t i)
{
    float number;
    uint16_t half;
    if (m->scales == TARE_SCALES_F32) {
        memcpy(&number, numbers + 4 * i, sizeof number);
        return number;
    }
    memcpy(&half, numbers + 2 * i, sizeof half);
    return m->scales == TARE_SCALES_F16 ? tare_from_float16(half) : tare_from_bfloat16(half);
}

/* Writes one row into the tiles that m describes: codes (in), below 16 or 256, and its scale and offset (groups). */
void tare_tile_put(const struct tare_matrix *m, unsigned char *data, int64_t row, const uint8_t *codes,
                   const float *scale, const float *offset);

/* Returns the factor that turns a block's activations into codes, given their largest absolute value. It is 0, and so
 * are all codes, where it would be infinite and where most is 0. */
static inline float tare_activation_inverse(float most)
{
    const float inverse = most > 0 ? 127 / most : 0;
    return inverse <= FLT_MAX ? inverse : 0;
}

/* The same for the codes of struct tare_wide. */
static inline float tare_wide_inverse(float most)
{
    const float inverse = most > 0 ? TARE_WIDE_MOST / most : 0;
    return inverse <= FLT_MAX ? inverse : 0;
}

/* Some neighbouring tokens of struct tare_activations. */
struct tare_tokens {
    const int8_t *q;
    const float *scale, *sum;
    int64_t in, blocks;
};

/* The scalar kernels of tiles; see struct tare_kernels. */
void tare_scalar_dot_tile(const struct tare_matrix *m, int64_t row, int64_t rows, const float *x, float *y);
void tare_scalar_unpack_tile(const struct tare_matrix *m, int64_t row, int64_t start, int64_t n, float *dst);
void tare_scalar_quantize(const float *x, const int32_t *order, int64_t n, const struct tare_activations *to,
                          int64_t token);
void tare_scalar_tiles(const struct tare_matrix *m, int64_t tile, int64_t n, const struct tare_activations *x,
                       int64_t first, int tokens, float *y, int64_t ldy);
void tare_scalar_tiles_exact(const struct tare_matrix *m, int64_t tile, int64_t n, const float *x, int64_t ldx,
                             int tokens, float *y, int64_t ldy);

#endif
