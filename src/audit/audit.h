/* SPDX-License-Identifier: MIT
 * audit.h - what the files of audit/ share. diff.c holds two plans against each other, content.c looks at the content
 * of one. tile.c reads a tile of a parameter as numbers, or as codes, through its recipe.
 */
#ifndef TARE_AUDIT_AUDIT_H
#define TARE_AUDIT_AUDIT_H

#include "base/pool.h"
#include "base/text.h"
#include "packing/packing.h"
#include "plan/plan.h"
#include "plan/put_json.h"

#define TARE_AUDIT_AXES 8         /* parameters are declared, by no more axes than this */
#define TARE_AUDIT_TILE (1 << 19) /* elements of a tile: with all its forms on both sides some 20 MiB */

/* A parameter of one checkpoint, its recipe laid flat over mapped modules. */
struct tare_view {
    struct tare_flat flat;
    const void *(*parts)[TARE_PARTS]; /* of each piece's module */
    const float **norms;              /* of each piece, or NULL (packing/value.h) */
    int rank;                         /* of flat, a number counts as one axis */
    int64_t shape[TARE_AUDIT_AXES];
    bool codes;                      /* packed, of one kind and bits: tare_view_codes() can read it */
    int64_t group_size;              /* of what it reads: 1 where groups are no runs of columns */
    bool plain;                      /* as stored: no packed module, no function */
    bool wide;                       /* has integers or F64, which float32 does not hold */
    enum tare_dtype dtype;           /* of the first module */
    const struct tare_module *first; /* NULL: no element */
};

/* How a parameter is cut into tiles: ranges of one axis, one index of each axis before it, and all of the axes after
 * it. */
struct tare_grid {
    int rank;
    int64_t shape[TARE_AUDIT_AXES];
    int axis;
    int64_t step, tiles; /* tiles an index of the axes before */
    int64_t n;           /* of all tiles */
};
struct tare_tile {
    int64_t low[TARE_AUDIT_AXES], high[TARE_AUDIT_AXES]; /* [low, high) of each axis */
    int64_t first, count; /* elements, in the parameter's own order: a tile is one stretch of it */
};

/* Where the arrays of a view lie; the arena must outlive the view. */
enum tare_code tare_view_make(struct tare_view *view, struct tare_model *model, const struct tare_parameter *parameter,
                              struct tare_arena *arena, struct tare_error *err);
/* whole_rows: a tile never ends within a row. */
struct tare_grid tare_grid_make(int rank, const int64_t *shape, bool whole_rows);
struct tare_tile tare_grid_tile(const struct tare_grid *grid, int64_t k);

/* The numbers of a tile, tile->count of them, in its order; work is reset by the caller. The second for wide views. */
enum tare_code tare_view_floats(const struct tare_view *view, const struct tare_tile *tile, float *to,
                                struct tare_arena *work, struct tare_error *err);
enum tare_code tare_view_doubles(const struct tare_view *view, const struct tare_tile *tile, double *to,
                                 struct tare_arena *work, struct tare_error *err);
/* The neutral form of a tile of whole rows, of a view that has codes; the arrays lie in work. */
enum tare_code tare_view_codes(const struct tare_view *view, const struct tare_tile *tile, struct tare_codes *codes,
                               struct tare_arena *work, struct tare_error *err);

#endif
