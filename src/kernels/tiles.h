/* SPDX-License-Identifier: MIT
 * tiles.h - how packed weights lie in tiles of 16 rows.
 *
 * A tile is its groups one after another; a group is 16 scales, 16 offsets, then its codes by steps:
 *   T4  a step is 8 columns in 64 bytes: byte 4r + j has column j of row r in its low half and column 4 + j in its high
 *   T8  a step is 4 columns in 64 bytes: byte 4r + j is column j of row r
 * So 32 bits hold four neighbouring columns of one row, which is what the dot products of bytes sum (vpdpbusd,
 * vpmaddubsw, sdot); each of the 16 lanes of a register sums one row, and no sum ever crosses lanes.
 *
 * The other kinds go by blocks of 16 columns, whose codes are four registers of 64 bytes as those of T8: register k has
 * columns 4k to 4k + 3. A block is made of one or two planes:
 *   nibbles  128 bytes: two steps of T4, the lowest four bits of each code           (T5, T6)
 *   pairs     64 bytes: bits 2k and 2k + 1 of byte b are two bits of byte b of register k, the next ones (T6), or the
 *             lowest (T2, T3)
 *   bits      32 bytes: bit b of the 64-bit word k is the highest bit of byte b of register k             (T3, T5)
 *
 * With supergroups, the tile is these one after another: 16 scales, 16 offsets, then for each group 16 factors (and 16
 * factors of offsets, unless the matrix has zeros), all filled up to 64 bytes, then the codes of all groups. Groups of
 * an odd number of blocks of T3 and T5, and supergroups, are filled up to 64 bytes.
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
static inline int64_t tare_step_columns(const struct tare_matrix *m) /* T4 and T8 */
{
    return m->storage == TARE_STORE_T4 ? 8 : 4;
}
static inline int tare_tile_bits(enum tare_storage storage)
{
    static const unsigned char bits[TARE_STORES] = {
        [TARE_STORE_T2] = 2, [TARE_STORE_T3] = 3, [TARE_STORE_T4] = 4,
        [TARE_STORE_T5] = 5, [TARE_STORE_T6] = 6, [TARE_STORE_T8] = 8,
    };
    return bits[storage];
}
/* Bytes of a block: 16 columns of 16 rows. */
static inline size_t tare_tile_block(enum tare_storage storage)
{
    return TARE_TILE_ROWS * TARE_ACTIVATION_BLOCK / 8 * (size_t)tare_tile_bits(storage);
}
/* Columns that share a header: those of a supergroup, or of a group. */
static inline int64_t tare_tile_columns(const struct tare_matrix *m)
{
    return m->factors ? m->super : m->group;
}
/* Bytes of the factors of one group. */
static inline size_t tare_tile_factors(const struct tare_matrix *m)
{
    return m->zeros ? TARE_TILE_ROWS : 2 * TARE_TILE_ROWS;
}
/* Bytes before the codes of a group, or of a supergroup. */
static inline size_t tare_tile_header(const struct tare_matrix *m)
{
    const size_t factors = m->factors ? (size_t)(m->super / m->group) * tare_tile_factors(m) : 0;
    return (2 * tare_tile_scales(m) + factors + 63) / 64 * 64;
}
static inline size_t tare_tile_group(const struct tare_matrix *m) /* bytes of a group, or of a supergroup */
{
    const int64_t blocks = tare_tile_columns(m) / TARE_ACTIVATION_BLOCK;
    return tare_tile_header(m) + ((size_t)blocks * tare_tile_block(m->storage) + 63) / 64 * 64;
}
/* Bytes of a tile; a multiple of 64. */
static inline size_t tare_tile_stride(const struct tare_matrix *m)
{
    return (size_t)(m->in / tare_tile_columns(m)) * tare_tile_group(m);
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

/* Writes one row into the tiles that m describes: codes (in), below 2^bits, and its scale and offset (groups). With
 * supergroups, these are theirs, and the rest comes by tare_tile_put_factors(). */
void tare_tile_put(const struct tare_matrix *m, unsigned char *data, int64_t row, const uint8_t *codes,
                   const float *scale, const float *offset);
/* Writes the factors (groups) of a row, and those of its offsets, which are not read with zeros. */
void tare_tile_put_factors(const struct tare_matrix *m, unsigned char *data, int64_t row, const uint8_t *factor,
                           const uint8_t *least);
/* What a factor stands for. */
float tare_tile_factor(enum tare_factors factors, uint8_t byte);

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
