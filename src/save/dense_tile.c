/* SPDX-License-Identifier: MIT
 * dense_tile.c - a tile of a dense parameter: pieces of modules moved, computed where a recipe says so, then cast.
 *
 * Most tiles are one stretch of the input as it lies there, and are written straight from the mapping.
 */
#include <math.h>
#include <string.h>

#include "packing/mlx/to_mlx.h"
#include "packing/value.h"
#include "save/save.h"

#define BLOCK 32 /* of a transpose: 32 x 32 elements stay in the first cache */

/* A box with one stride an axis on either side, in elements. */
struct view {
    int rank;
    int64_t shape[TARE_SAVE_AXES], from[TARE_SAVE_AXES], to[TARE_SAVE_AXES];
    int64_t from_start, to_start;
};

struct tile {
    const struct tare_job *job;
    const struct tare_box *box;
    struct tare_worker *worker;
    struct tare_error *err;
    enum tare_dtype dtype; /* of what is made */
    unsigned char *data;
};

/* The part of piece number k inside the box, as a view of the module and of the tile; false: nothing of it. */
static bool view_of(const struct tile *tile, size_t k, struct view *view)
{
    const struct tare_job *job = tile->job;
    const struct tare_piece *piece = &job->flat.pieces[k];
    *view = (struct view){.rank = job->rank, .from_start = piece->start};
    int64_t to = 1;
    for (int i = job->rank - 1; i >= 0; i--) {
        const int64_t at = job->flat.rank ? piece->at[i] : 0, size = job->flat.rank ? piece->shape[i] : 1;
        const int64_t stride = job->flat.rank ? piece->stride[i] : 1;
        const int64_t low = tile->box->low[i] > at ? tile->box->low[i] : at;
        const int64_t high = tile->box->high[i] < at + size ? tile->box->high[i] : at + size;
        if (low >= high)
            return false;
        view->shape[i] = high - low;
        view->from[i] = stride;
        view->to[i] = to;
        view->from_start += (low - at) * stride;
        view->to_start += (low - tile->box->low[i]) * to;
        to *= tile->box->high[i] - tile->box->low[i];
    }
    return true;
}

/* Join axes that follow one another on both sides, and drop those of size one. */
static void coalesce(struct view *view)
{
    int n = 0;
    for (int i = 0; i < view->rank; i++) {
        if (view->shape[i] == 1)
            continue;
        if (n && view->from[n - 1] == view->from[i] * view->shape[i] &&
            view->to[n - 1] == view->to[i] * view->shape[i]) {
            view->shape[n - 1] *= view->shape[i];
            view->from[n - 1] = view->from[i];
            view->to[n - 1] = view->to[i];
            continue;
        }
        view->shape[n] = view->shape[i];
        view->from[n] = view->from[i];
        view->to[n] = view->to[i];
        n++;
    }
    if (!n) {
        view->shape[0] = view->from[0] = view->to[0] = 1;
        n = 1;
    }
    view->rank = n;
}

static void move_one(unsigned char *to, const unsigned char *from, size_t size)
{
    switch (size) { /* constant sizes become single moves */
    case 1:
        *to = *from;
        break;
    case 2:
        memcpy(to, from, 2);
        break;
    case 4:
        memcpy(to, from, 4);
        break;
    default:
        memcpy(to, from, 8);
        break;
    }
}

/* Two axes, by blocks, so that neither side walks through memory by its long stride only. */
static void move_plane(unsigned char *to, const unsigned char *from, const int64_t shape[2], const int64_t to_stride[2],
                       const int64_t from_stride[2], size_t size)
{
    const int64_t item = (int64_t)size;
    for (int64_t a = 0; a < shape[0]; a += BLOCK)
        for (int64_t b = 0; b < shape[1]; b += BLOCK) {
            const int64_t a_end = a + BLOCK < shape[0] ? a + BLOCK : shape[0];
            const int64_t b_end = b + BLOCK < shape[1] ? b + BLOCK : shape[1];
            for (int64_t i = a; i < a_end; i++)
                for (int64_t j = b; j < b_end; j++)
                    move_one(to + (i * to_stride[0] + j * to_stride[1]) * item,
                             from + (i * from_stride[0] + j * from_stride[1]) * item, size);
        }
}

/* Axes [axis, rank) of a view, raw elements of `size` bytes. */
static void move(const struct view *view, int axis, unsigned char *to, const unsigned char *from, size_t size)
{
    const int64_t item = (int64_t)size;
    if (axis == view->rank - 1 && view->from[axis] == 1 && view->to[axis] == 1) {
        memcpy(to, from, (size_t)view->shape[axis] * size);
    } else if (axis == view->rank - 1) {
        for (int64_t i = 0; i < view->shape[axis]; i++)
            move_one(to + i * view->to[axis] * item, from + i * view->from[axis] * item, size);
    } else if (axis == view->rank - 2 && view->from[axis + 1] != 1) {
        move_plane(to, from, view->shape + axis, view->to + axis, view->from + axis, size);
    } else {
        for (int64_t i = 0; i < view->shape[axis]; i++)
            move(view, axis + 1, to + i * view->to[axis] * item, from + i * view->from[axis] * item, size);
    }
}

/*
 * The same for a packed module, or for values that are computed: rows are decoded, put through the piece's function,
 * rounded once to its dtype, and then spread. The axis along
 * which the module's columns lie goes innermost, so that a row is decoded once a tile.
 */
static enum tare_code move_rows(const struct view *given, const struct tile *tile, size_t k, unsigned char *to)
{
    const struct tare_piece *piece = &tile->job->flat.pieces[k];
    const struct tare_module *module = piece->module;
    const int64_t columns = tare_module_columns(module);
    const int last = given->rank - 1;
    int inner = last;
    for (int i = 0; i <= last; i++)
        if (given->from[i] == 1)
            inner = i;
    struct view view = *given;
    for (int i = 0; i <= last; i++) { /* the other axes keep their order */
        const int source = i == last ? inner : i < inner ? i : i + 1;
        view.shape[i] = given->shape[source];
        view.from[i] = given->from[source];
        view.to[i] = given->to[source];
    }
    float *row = tare_buffer_room(&tile->worker->floats, (size_t)columns * sizeof *row);
    if (!row)
        return tare_fail_memory(tile->err);
    int64_t at[TARE_SAVE_AXES] = {0}, decoded = -1;
    for (bool more = true; more;) {
        int64_t from = view.from_start, target = view.to_start;
        for (int i = 0; i < last; i++) {
            from += at[i] * view.from[i];
            target += at[i] * view.to[i];
        }
        for (int64_t j = 0; j < view.shape[last]; j++) {
            const int64_t element = from + j * view.from[last];
            if (element / columns != decoded) {
                decoded = element / columns;
                tare_arena_reset(&tile->worker->arena);
                const enum tare_code code =
                    tare_module_floats(module, tile->job->parts[k], decoded, 1, row, &tile->worker->arena, tile->err);
                if (code)
                    return code;
                tare_value_apply(piece->value, tile->job->norms[k], decoded, 1, columns, row);
            }
            const int64_t place = target + j * view.to[last];
            tare_float_put(to, piece->dtype, place, row[element % columns]);
            tare_tally_add(&tile->worker->tally, (double)row[element % columns],
                           (double)tare_float_at(to, piece->dtype, place), true);
        }
        int i = last - 1;
        for (; i >= 0 && ++at[i] == view.shape[i]; i--)
            at[i] = 0;
        more = i >= 0;
    }
    return TARE_OK;
}

static enum tare_code fail_overflow(const struct tare_job *job, const char *from, float value, enum tare_dtype dtype,
                                    struct tare_error *err)
{
    return tare_fail(err, TARE_E_TARGET, job->name, "%g of %s overflows %s", (double)value, from,
                     tare_dtype_name(dtype));
}

enum tare_code tare_cast_floats(const struct tare_job *job, const char *from, const float *values, int64_t n,
                                enum tare_dtype dtype, void *to, struct tare_tally *tally, struct tare_error *err)
{
    for (int64_t k = 0; k < n; k++) {
        tare_float_put(to, dtype, k, values[k]);
        tare_tally_add(tally, (double)values[k], (double)tare_float_at(to, dtype, k), true);
        if (isfinite(values[k]) && !isfinite(tare_float_round(dtype, values[k])))
            return fail_overflow(job, from, values[k], dtype, err);
    }
    return TARE_OK;
}

/* n elements, cast to the target's dtype. */
static enum tare_code cast(const struct tile *tile, const struct tare_piece *piece, const void *from, int64_t n,
                           void *to)
{
    const enum tare_dtype stored = piece->dtype, dtype = tile->dtype;
    for (int64_t k = 0; k < n; k++) {
        const double exact = tare_real_at(from, stored, k);
        const float value = (float)exact;
        tare_float_put(to, dtype, k, value);
        tare_tally_add(&tile->worker->tally, exact, (double)tare_float_at(to, dtype, k), true);
        if (isfinite(value) && !isfinite(tare_float_round(dtype, value)))
            return fail_overflow(tile->job, piece->module->name, value, dtype, tile->err);
    }
    return TARE_OK;
}

/* The tile's side of a view, without gaps; the count of its elements comes back. */
static int64_t compact(struct view *view)
{
    int64_t n = 1;
    for (int i = view->rank - 1; i >= 0; i--) {
        view->to[i] = n;
        n *= view->shape[i];
    }
    view->to_start = 0;
    return n;
}

static bool is_plain(const struct tare_module *module)
{
    return module->packing == &tare_packing_plain;
}

static bool needs_rows(const struct tare_piece *piece)
{
    return piece->value || !is_plain(piece->module);
}

/* What needs more than moving: gather in the piece's dtype, then cast, then put in place. */
static enum tare_code compute_piece(const struct tile *tile, const struct view *view, size_t k)
{
    const struct tare_piece *piece = &tile->job->flat.pieces[k];
    const size_t stored = tare_dtype_size(piece->dtype), size = tare_dtype_size(tile->dtype);
    struct view gather = *view, spread = *view;
    const int64_t n = compact(&gather);
    unsigned char *raw = tare_buffer_room(&tile->worker->stage[0], (size_t)n * stored);
    unsigned char *made = tare_buffer_room(&tile->worker->stage[1], (size_t)n * size);
    if (!raw || !made)
        return tare_fail_memory(tile->err);
    enum tare_code code = TARE_OK;
    if (!needs_rows(piece))
        move(&gather, 0, raw,
             (const unsigned char *)tile->job->parts[k][TARE_PART_WEIGHT] + (size_t)view->from_start * stored, stored);
    else
        code = move_rows(&gather, tile, k, raw);
    if (code || (code = cast(tile, piece, raw, n, made)))
        return code;
    memcpy(spread.from, gather.to, sizeof spread.from);
    move(&spread, 0, tile->data + (size_t)view->to_start * size, made, size);
    return TARE_OK;
}

/* The whole tile as one stretch of one module, or NULL. */
static const void *stretch(const struct tile *tile, const struct view *view, size_t k, size_t bytes)
{
    const size_t size = tare_dtype_size(tile->dtype);
    if (view->rank != 1 || view->from[0] != 1 || view->to[0] != 1 || (size_t)view->shape[0] * size != bytes)
        return NULL;
    return (const unsigned char *)tile->job->parts[k][TARE_PART_WEIGHT] + (size_t)view->from_start * size;
}

static enum tare_code make_piece(struct tile *tile, size_t k, size_t bytes, const void **made)
{
    const struct tare_piece *piece = &tile->job->flat.pieces[k];
    const size_t size = tare_dtype_size(tile->dtype);
    struct view view;
    if (!view_of(tile, k, &view))
        return TARE_OK;
    coalesce(&view);
    const bool raw = !needs_rows(piece) && piece->dtype == tile->dtype;
    if (raw && (*made = stretch(tile, &view, k, bytes)))
        return TARE_OK;
    *made = tile->data = tare_buffer_room(&tile->worker->tile, bytes);
    if (!tile->data)
        return tare_fail_memory(tile->err);
    if (!raw)
        return compute_piece(tile, &view, k);
    move(&view, 0, tile->data + (size_t)view.to_start * size,
         (const unsigned char *)tile->job->parts[k][TARE_PART_WEIGHT] + (size_t)view.from_start * size, size);
    return TARE_OK;
}

enum tare_code tare_dense_values(const struct tare_job *job, enum tare_dtype dtype, const struct tare_box *box,
                                 struct tare_worker *worker, const void **made, struct tare_error *err)
{
    struct tile tile = {.job = job, .box = box, .worker = worker, .err = err, .dtype = dtype};
    int64_t count = 1;
    for (int k = 0; k < job->rank; k++)
        count *= box->high[k] - box->low[k];
    *made = NULL;
    for (size_t k = 0; k < job->flat.n; k++) {
        const enum tare_code code = make_piece(&tile, k, (size_t)count * tare_dtype_size(dtype), made);
        if (code)
            return code;
    }
    return *made ? TARE_OK : tare_fail(err, TARE_E_INTERNAL, job->name, "no piece of its recipe lies in a tile of it");
}

enum tare_code tare_dense_tile(const struct tare_layout *layout, const struct tare_job *job, const struct tare_box *box,
                               struct tare_worker *worker, uint64_t *bytes, struct tare_error *err)
{
    int64_t first = 0, count = 1;
    for (int k = 0; k < job->rank; k++) {
        first = first * job->shape[k] + box->low[k];
        count *= box->high[k] - box->low[k];
    }
    const size_t size = tare_dtype_size(job->target.dtype), n = (size_t)count * size;
    const void *made = NULL;
    const enum tare_code code = tare_dense_values(job, job->target.dtype, box, worker, &made, err);
    if (code)
        return code;
    *bytes += n;
    return tare_saved_write(layout, job->saved[TARE_PART_WEIGHT], made, n, (uint64_t)first * size, err);
}
