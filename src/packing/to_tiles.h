/* SPDX-License-Identifier: MIT
 * to_tiles.h - what the packings share that go straight into the kernels' tiles (kernels/tiles.h), without the neutral
 * form in between.
 *
 * 32 bits of a step of T4 hold eight columns of one row, as the words of GPTQ and MLX do, but in another order: byte j
 * holds column j in its low half and column 4 + j in its high half. So GPTQ's words only change their order inside,
 * MLX's are transposed as well, and AWQ's, which hold one column of eight rows, are transposed as bytes. The loops run
 * over 16 neighbours, so that compilers make vector code of them.
 */
#ifndef TARE_PACKING_TO_TILES_H
#define TARE_PACKING_TO_TILES_H

#include "base/half.h"
#include "kernels/tiles.h"
#include "packing/packing.h"

/* Whole tiles made of neighbouring rows of one module. */
struct tare_stretch {
    const struct tare_module *module;
    const void *const *part; /* the bytes of the module's parts */
    int64_t from;            /* the module's row that becomes the first row of the tiles */
    const struct tare_matrix *m;
    unsigned char *to; /* the first tile, of m->stride bytes */
    int64_t tiles;
};

/* Rows of one module in neutral form, but for scales and offsets: those of supergroups, and the bytes of each group, as
 * struct tare_matrix has them. The arrays are the caller's. */
struct tare_factored {
    uint8_t *code;           /* (rows, in) */
    float *scale, *offset;   /* (rows, supergroups); offsets are not written where codes are floats */
    uint8_t *factor, *least; /* (rows, groups); least need not be written without biases */
};

/* How scales are made of factors. */
struct tare_factoring {
    enum tare_factors factors;
    int64_t columns;        /* of a supergroup; 0: all of a row */
    enum tare_dtype scales; /* F16, BF16 or F32: what holds the scales and offsets of supergroups */
    void (*rows)(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                 struct tare_factored *to);
};

/*
 * Makes the tiles by the packing's own way: the same bytes that decode() and tare_tile_put() give. Returns false, and
 * writes nothing, when this module or this matrix must go through the neutral form.
 */
bool tare_to_tiles(const struct tare_stretch *stretch);

/* Stores the scales and offsets of group g of tile t, all of 16 bits. */
void tare_tiles_put_numbers(const struct tare_stretch *s, int64_t t, int64_t g, const uint16_t scale[TARE_TILE_ROWS],
                            const uint16_t offset[TARE_TILE_ROWS]);

/* Lists the zero points 0 to 15 as 16-bit floats of the matrix's kind. */
void tare_tiles_list_zeros(const struct tare_stretch *s, uint16_t zero[16]);

/* The module's group that contains group g of the matrix, whose groups may be smaller. */
static inline int64_t tare_tiles_group(const struct tare_stretch *s, int64_t g)
{
    return g / (s->m->groups / tare_module_groups(s->module));
}

/* Where the codes of step k of tile t begin. */
static inline unsigned char *tare_tiles_step(const struct tare_stretch *s, int64_t t, int64_t k)
{
    const int64_t steps = s->m->group / tare_step_columns(s->m), g = k / steps;
    return s->to + (size_t)t * s->m->stride + (size_t)g * tare_tile_group(s->m) + 2 * tare_tile_scales(s->m) +
           (size_t)(k - g * steps) * TARE_STEP_BYTES;
}

/* The nibbles 0 1 2 3 4 5 6 7 of a word, counted from the lowest bits, become 0 4 1 5 2 6 3 7. */
static inline uint32_t tare_tiles_interleave(uint32_t word)
{
    const uint32_t bytes = (word ^ word >> 8) & 0x0000ff00;
    word ^= bytes ^ bytes << 8;
    const uint32_t nibbles = (word ^ word >> 4) & 0x00f000f0;
    return word ^ nibbles ^ nibbles << 4;
}

#endif
