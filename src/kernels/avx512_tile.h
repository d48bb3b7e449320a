/* SPDX-License-Identifier: MIT
 * avx512_tile.h - what kernels of tiles need of a tile in registers of 512 bits, each of them 16 rows: for avx512_tiles.c
 * and amx_tiles.c, which are compiled for such processors alone. */
#ifndef TARE_KERNELS_AVX512_TILE_H
#define TARE_KERNELS_AVX512_TILE_H

#include "kernels/tiles.h"

#if defined(__AVX512VNNI__)
#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))

/* Sixteen scales or offsets. */
INLINE __m512 numbers_at(const struct tare_matrix *m, const unsigned char *at)
{
    if (m->scales == TARE_SCALES_F32)
        return _mm512_loadu_ps(at);
    const __m256i half = _mm256_loadu_si256((const __m256i *)(const void *)at);
    return m->scales == TARE_SCALES_F16 ? _mm512_cvtph_ps(half)
                                        : _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

/* Returns a mask of the tile's rows that the matrix has; only its last tile may have fewer than 16. */
INLINE __mmask16 rows_of(const struct tare_matrix *m, int64_t tile)
{
    const int64_t left = m->rows - tile * TARE_TILE_ROWS;
    return (__mmask16)(left >= TARE_TILE_ROWS ? 0xffffu : (1u << left) - 1);
}

/* Four activations for each row. */
INLINE __m512i four(const int8_t *q)
{
    int32_t word;
    memcpy(&word, q, sizeof word);
    return _mm512_set1_epi32(word);
}

#endif
#endif
