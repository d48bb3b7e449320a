/* SPDX-License-Identifier: MIT
 * readable.h - a recipe over mapped modules as something to read: a box of it as numbers, or as codes.
 *
 * read/ hands whole tensors to other engines (reader.c); audit/ compares and judges them tile by tile.
 */
#ifndef TARE_READ_READABLE_H
#define TARE_READ_READABLE_H

#include "packing/packing.h"

#define TARE_READ_AXES 8         /* parameters are declared, by no more axes than this */
#define TARE_READ_TILE (1 << 19) /* elements of a tile: with all its forms on both sides some 20 MiB */

/* A parameter of one checkpoint, its recipe laid flat over mapped modules. */
struct tare_readable {
    struct tare_checkpoint *checkpoint;
    struct tare_flat flat;
    const void *(*parts)[TARE_PARTS]; /* of each piece's module */
    const float **norms;              /* of each piece, or NULL (packing/value.h) */
    int rank;                         /* of flat, a number counts as one axis */
    int64_t shape[TARE_READ_AXES];
    bool codes;                      /* packed, of one kind and bits: tare_readable_codes() can read it */
    int64_t group_size;              /* of what it reads: 1 where groups are no runs of columns */
    int64_t groups;                  /* that share a scale in a row of codes */
    bool ordered;                    /* all its modules have one order of columns (g_idx), and groups are theirs */
    bool plain;                      /* as stored: no packed module, no function */
    bool wide;                       /* has integers or F64, which float32 does not hold */
    enum tare_dtype dtype;           /* of the first module */
    const struct tare_module *first; /* NULL: no element */
};

/* How a parameter is cut into tiles: ranges of one axis, one index of those before it, all of those behind it. */
struct tare_grid {
    int rank;
    int64_t shape[TARE_READ_AXES];
    int axis;
    int64_t step, tiles; /* tiles an index of the axes before */
    int64_t n;           /* of all tiles */
};
struct tare_tile {
    int64_t low[TARE_READ_AXES], high[TARE_READ_AXES]; /* [low, high) of each axis */
    int64_t first, count; /* elements, in the parameter's own order: a tile is one stretch of it */
};

/* Lay a recipe flat and map the files of its modules. name stands in errors. The arrays of the reading lie in the
 * arena, which must outlive it. */
enum tare_code tare_readable_make(struct tare_readable *reading, struct tare_checkpoint *checkpoint,
                                  const struct tare_recipe *recipe, const char *name, struct tare_arena *arena,
                                  struct tare_error *err);
/* Where all modules have one order of columns (GPTQ's act-order), let codes have the groups of that order, and not one
 * group a column. tare_module_group() of the first module then tells a column's group. */
void tare_readable_keep_order(struct tare_readable *reading);
/* whole_rows: a tile never ends within a row. */
struct tare_grid tare_grid_make(int rank, const int64_t *shape, bool whole_rows);
struct tare_tile tare_grid_tile(const struct tare_grid *grid, int64_t k);

/* The numbers of a tile, tile->count of them, in its order; work is reset by the caller. The second for wide views. */
enum tare_code tare_readable_floats(const struct tare_readable *reading, const struct tare_tile *tile, float *to,
                                    struct tare_arena *work, struct tare_error *err);
enum tare_code tare_readable_doubles(const struct tare_readable *reading, const struct tare_tile *tile, double *to,
                                     struct tare_arena *work, struct tare_error *err);
/* The same as 16-bit floats, each of two bytes, at any alignment: what floats() gives, rounded by `round`, which is
 * to_float16 or to_bfloat16 of a set of kernels; `dtype` is what it makes. Not for wide views. */
struct tare_halves {
    void (*round)(const float *x, int64_t n, void *to);
    enum tare_dtype dtype;
    unsigned char *to;
};
enum tare_code tare_readable_halves(const struct tare_readable *reading, const struct tare_tile *tile,
                                    const struct tare_halves *halves, struct tare_arena *work, struct tare_error *err);
/* The neutral form of a tile of whole rows, of a reading that has codes. The arrays of *codes are the caller's, with
 * room for tile->count codes, and for scales and offsets of tile->count / columns rows of reading->groups each. */
enum tare_code tare_readable_codes(const struct tare_readable *reading, const struct tare_tile *tile,
                                   const struct tare_codes *codes, struct tare_arena *work, struct tare_error *err);

#endif
