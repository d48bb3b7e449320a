/* SPDX-License-Identifier: MIT
 * readable_tile.c - the numbers of a tile, through the pieces of its recipe: gathered where they are plain, decoded by
 * runs of rows where they are packed. Nothing is rounded but what a recipe computes. */
#include <string.h>

#include "packing/mlx/to_mlx.h"
#include "packing/value.h"
#include "read/readable.h"

#define ROWS 128 /* decoded at once into a buffer of their own, when a row does not go where it lies */

/* The part of a piece that lies in a tile: one stride an axis on either side, in elements. */
struct window {
    const struct tare_piece *piece;
    const void *const *part;
    const float *norms;
    int rank;
    int64_t shape[TARE_READ_AXES], from[TARE_READ_AXES], to[TARE_READ_AXES];
    int64_t from_start, to_start;
};

/* Where the numbers are written: one of the three pointers is set. */
struct numbers {
    float *floats;
    double *doubles;
    const struct tare_halves *halves;
};

static bool window_of(const struct tare_readable *reading, const struct tare_tile *tile, size_t k,
                      struct window *window)
{
    const struct tare_piece *piece = &reading->flat.pieces[k];
    const bool number = !reading->flat.rank;
    *window =
        (struct window){piece, reading->parts[k], reading->norms[k], reading->rank, {0}, {0}, {0}, piece->start, 0};
    int64_t to = 1;
    for (int i = reading->rank - 1; i >= 0; i--) {
        const int64_t at = number ? 0 : piece->at[i], end = at + (number ? 1 : piece->shape[i]);
        const int64_t stride = number ? 1 : piece->stride[i];
        const int64_t low = tile->low[i] > at ? tile->low[i] : at, high = tile->high[i] < end ? tile->high[i] : end;
        if (low >= high)
            return false;
        window->shape[i] = high - low;
        window->from[i] = stride;
        window->to[i] = to;
        window->from_start += (low - at) * stride;
        window->to_start += (low - tile->low[i]) * to;
        to *= tile->high[i] - tile->low[i];
    }
    return true;
}

/* Steps to the next index of the first `axes` axes and moves both positions. False: that was the last index. */
static bool next(const struct window *w, int axes, int64_t at[], int64_t *from, int64_t *to)
{
    for (int i = axes - 1; i >= 0; i--) {
        *from += w->from[i];
        *to += w->to[i];
        if (++at[i] < w->shape[i])
            return true;
        *from -= at[i] * w->from[i];
        *to -= at[i] * w->to[i];
        at[i] = 0;
    }
    return false;
}

/* ---- plain numbers ------------------------------------------------------------------------------------------- */

enum { SOME = 256 }; /* floats that are rounded together, where they are not rows of their own */

/* Elements of a plain tensor as halves: n of them, `step` apart. */
static void gather_halves(const void *data, enum tare_dtype dtype, int64_t from, int64_t step, int64_t n,
                          const struct tare_halves *halves, int64_t to)
{
    float some[SOME];
    if (step == 1 && dtype == halves->dtype) {
        memcpy(halves->to + 2 * to, (const unsigned char *)data + 2 * from, 2 * (size_t)n);
        return;
    }
    for (int64_t done = 0, count; done < n; done += count) {
        count = n - done < SOME ? n - done : SOME;
        for (int64_t i = 0; i < count; i++)
            some[i] = tare_float_at(data, dtype, from + (done + i) * step);
        halves->round(some, count, halves->to + 2 * (to + done));
    }
}

static void gather(const struct window *w, struct numbers out)
{
    const enum tare_dtype dtype = w->piece->module->dtype;
    const void *data = w->part[TARE_PART_WEIGHT];
    const int last = w->rank - 1;
    int64_t at[TARE_READ_AXES] = {0}, from = w->from_start, to = w->to_start;
    do {
        const int64_t n = w->shape[last], step = w->from[last];
        if (out.halves)
            gather_halves(data, dtype, from, step, n, out.halves, to);
        else if (out.doubles)
            for (int64_t i = 0; i < n; i++)
                out.doubles[to + i] = tare_number_at(data, dtype, from + i * step);
        else if (step == 1 && dtype == TARE_F32)
            memcpy(out.floats + to, (const unsigned char *)data + 4 * from, (size_t)n * 4);
        else
            for (int64_t i = 0; i < n; i++)
                out.floats[to + i] = tare_float_at(data, dtype, from + i * step);
    } while (next(w, last, at, &from, &to));
}

/* ---- packed and computed ones -------------------------------------------------------------------------------- */

static void put(struct numbers out, int64_t to, const float *from, int64_t n)
{
    if (out.halves)
        out.halves->round(from, n, out.halves->to + 2 * to);
    if (out.floats)
        memcpy(out.floats + to, from, (size_t)n * sizeof *from);
    for (int64_t i = 0; out.doubles && i < n; i++)
        out.doubles[to + i] = (double)from[i];
}

/* Decodes rows [row, row + rows) of the module into x, and applies the function of the piece. */
static enum tare_code read_rows(const struct window *w, int64_t row, int64_t rows, float *x, struct tare_arena *work,
                                struct tare_error *err)
{
    const struct tare_piece *piece = w->piece;
    const int64_t columns = tare_module_columns(piece->module);
    tare_arena_reset(work);
    const enum tare_code code = tare_module_floats(piece->module, w->part, row, rows, x, work, err);
    if (code || !piece->value)
        return code;
    tare_value_apply(piece->value, w->norms, row, rows, columns, x);
    for (int64_t i = 0; i < rows * columns; i++)
        x[i] = tare_float_round(piece->dtype, x[i]);
    return TARE_OK;
}

/* The most rows of a window that are decoded into the buffer at the same time. */
static int64_t rows_at_once(const struct window *w)
{
    const int64_t rows = w->rank > 1 ? w->shape[w->rank - 2] : 1;
    return rows < ROWS ? rows : ROWS;
}

/* Does a row of codes become floats without regard to others and to g_idx? */
static bool is_row_wise(const struct window *w)
{
    const struct tare_module *module = w->piece->module;
    return module->packing != &tare_packing_plain && !module->packing->floats && !w->piece->value &&
           tare_module_even(module);
}

/* Reads `count` rows of the module, which lie `step` apart in the output, as halves. Each row becomes floats in the
 * first cache and is rounded from there. */
static enum tare_code round_rows(const struct window *w, int64_t row, int64_t count, int64_t to, int64_t step,
                                 float *buffer, const struct tare_halves *halves, struct tare_arena *work,
                                 struct tare_error *err)
{
    const struct tare_module *module = w->piece->module;
    const int64_t columns = tare_module_columns(module), groups = tare_module_groups(module);
    struct tare_codes codes;
    tare_arena_reset(work);
    const enum tare_code code = tare_module_codes(module, w->part, row, count, &codes, work, err);
    for (int64_t r = 0; !code && r < count; r++) {
        const struct tare_codes one = {codes.code + r * columns, codes.scale + r * groups, codes.offset + r * groups};
        tare_codes_floats(module, &one, 1, buffer);
        halves->round(buffer, columns, halves->to + 2 * (to + r * step));
    }
    return code;
}

/* Reads one plane whose rows are rows of the module, or parts of them. */
static enum tare_code read_plane(const struct window *w, int64_t from, int64_t to, float *buffer, struct numbers out,
                                 struct tare_arena *work, struct tare_error *err)
{
    const int64_t columns = tare_module_columns(w->piece->module), n = w->shape[w->rank - 1];
    const int64_t rows = w->rank > 1 ? w->shape[w->rank - 2] : 1, stride = w->rank > 1 ? w->from[w->rank - 2] : columns;
    const int64_t most = stride == columns ? ROWS : 1, step = w->rank > 1 ? w->to[w->rank - 2] : 0;
    const bool direct = out.floats && n == columns && stride == columns && step == columns; /* no rows in between */
    const bool row_wise = out.halves && n == columns && is_row_wise(w);
    enum tare_code code = TARE_OK;
    for (int64_t r = 0; r < rows && !code;) {
        const int64_t element = from + r * stride, count = rows - r < most ? rows - r : most;
        if (row_wise) {
            code = round_rows(w, element / columns, count, to + r * step, step, buffer, out.halves, work, err);
            r += count;
            continue;
        }
        code = read_rows(w, element / columns, count, direct ? out.floats + to + r * step : buffer, work, err);
        for (int64_t i = 0; i < count && !code && !direct; i++)
            put(out, to + (r + i) * step, buffer + i * columns + element % columns, n);
        r += count;
    }
    return code;
}

/* Reads in any other order. The axis along which the columns of the module lie becomes the innermost one, so that every
 * row is decoded once. */
static enum tare_code read_scattered(const struct window *given, float *buffer, struct numbers out,
                                     struct tare_arena *work, struct tare_error *err)
{
    const int64_t columns = tare_module_columns(given->piece->module);
    const int last = given->rank - 1;
    struct window w = *given;
    int inner = last;
    for (int i = 0; i <= last; i++)
        if (given->from[i] == 1)
            inner = i;
    for (int i = 0; i <= last; i++) { /* the other axes keep their order */
        const int source = i == last ? inner : i < inner ? i : i + 1;
        w.shape[i] = given->shape[source];
        w.from[i] = given->from[source];
        w.to[i] = given->to[source];
    }
    int64_t at[TARE_READ_AXES] = {0}, from = w.from_start, to = w.to_start, decoded = -1;
    do
        for (int64_t j = 0; j < w.shape[last]; j++) {
            const int64_t element = from + j * w.from[last];
            if (element / columns != decoded) {
                decoded = element / columns;
                const enum tare_code code = read_rows(&w, decoded, 1, buffer, work, err);
                if (code)
                    return code;
            }
            put(out, to + j * w.to[last], buffer + element % columns, 1);
        }
    while (next(&w, last, at, &from, &to));
    return TARE_OK;
}

static enum tare_code decode(const struct window *w, float *buffer, struct numbers out, struct tare_arena *work,
                             struct tare_error *err)
{
    const int64_t columns = tare_module_columns(w->piece->module);
    const int last = w->rank - 1;
    bool rows = w->from[last] == 1 && w->from_start % columns + w->shape[last] <= columns;
    for (int i = 0; i < last; i++)
        rows &= w->shape[i] == 1 || w->from[i] % columns == 0;
    if (!rows)
        return read_scattered(w, buffer, out, work, err);
    int64_t at[TARE_READ_AXES] = {0}, from = w->from_start, to = w->to_start;
    enum tare_code code;
    do
        code = read_plane(w, from, to, buffer, out, work, err);
    while (!code && next(w, last - 1, at, &from, &to));
    return code;
}

/* Holds what a tile takes. A single number has no axis to be cut along. */
static enum tare_code hold_tile(const struct tare_readable *reading, const struct tare_tile *tile,
                                struct tare_holds *holds, struct tare_error *err)
{
    enum tare_code code = TARE_OK;
    for (size_t k = 0; reading->checkpoint->windowed && k < reading->flat.n && !code; k++)
        code = tare_piece_hold(holds, reading->checkpoint, &reading->flat.pieces[k], reading->flat.rank, tile->low,
                               tile->high, err);
    return code;
}

static enum tare_code read_tile(const struct tare_readable *reading, const struct tare_tile *tile, struct numbers out,
                                struct tare_arena *work, struct tare_error *err)
{
    struct tare_arena buffers = {0};
    struct tare_holds holds = {0};
    enum tare_code code = hold_tile(reading, tile, &holds, err);
    float *buffer = NULL;
    int64_t room = 0;
    for (size_t k = 0; k < reading->flat.n && !code; k++) {
        struct window w;
        if (!window_of(reading, tile, k, &w))
            continue;
        if (!w.piece->value && w.piece->module->packing == &tare_packing_plain) {
            gather(&w, out);
            continue;
        }
        const int64_t need = rows_at_once(&w) * tare_module_columns(w.piece->module);
        if (need > room) {
            tare_arena_reset(&buffers);
            buffer = tare_arena_room(&buffers, (size_t)(room = need), sizeof *buffer);
        }
        code = buffer ? decode(&w, buffer, out, work, err) : tare_fail_memory(err);
    }
    tare_holds_release(&holds);
    tare_arena_release(&buffers);
    return code;
}

enum tare_code tare_readable_floats(const struct tare_readable *reading, const struct tare_tile *tile, float *to,
                                    struct tare_arena *work, struct tare_error *err)
{
    return read_tile(reading, tile, (struct numbers){.floats = to}, work, err);
}

enum tare_code tare_readable_doubles(const struct tare_readable *reading, const struct tare_tile *tile, double *to,
                                     struct tare_arena *work, struct tare_error *err)
{
    return read_tile(reading, tile, (struct numbers){.doubles = to}, work, err);
}

enum tare_code tare_readable_halves(const struct tare_readable *reading, const struct tare_tile *tile,
                                    const struct tare_halves *halves, struct tare_arena *work, struct tare_error *err)
{
    return read_tile(reading, tile, (struct numbers){.halves = halves}, work, err);
}

/* ---- codes --------------------------------------------------------------------------------------------------- */

/* Repeats the scales and offsets of decoded rows, so that a group has `size` columns instead of the module's own
 * number. */
static void spread(const struct window *w, const struct tare_codes *own, int64_t rows, int64_t size,
                   struct tare_codes *to)
{
    const struct tare_module *module = w->piece->module;
    const int64_t columns = tare_module_columns(module), groups = tare_module_groups(module), parts = columns / size;
    for (int64_t k = 0; k < parts; k++) {
        const int64_t g = tare_module_group(module, w->part, k * size);
        for (int64_t r = 0; r < rows; r++) {
            to->scale[r * parts + k] = own->scale[r * groups + g];
            to->offset[r * parts + k] = own->offset[r * groups + g];
        }
    }
}

/* Decodes the rows of one plane into their place. own is NULL where groups are those of the module. */
static void codes_plane(const struct window *w, int64_t from, int64_t to, const struct tare_readable *reading,
                        const struct tare_codes *own, const struct tare_codes *codes)
{
    const struct tare_module *module = w->piece->module;
    const int64_t columns = tare_module_columns(module), groups = reading->groups;
    const int64_t rows = w->shape[w->rank - 2], stride = w->from[w->rank - 2];
    const int64_t count = stride == columns ? rows : 1;
    for (int64_t r = 0; columns > 0 && r < rows; r += count) {
        const int64_t at = to / columns + r;
        struct tare_codes part = {codes->code + at * columns, codes->scale + at * groups, codes->offset + at * groups};
        struct tare_codes read = {part.code, own ? own->scale : part.scale, own ? own->offset : part.offset};
        module->packing->decode(module, w->part, (from + r * stride) / columns, count, &read);
        if (own)
            spread(w, own, count, reading->group_size, &part);
    }
}

static enum tare_code read_codes(const struct tare_readable *reading, const struct tare_tile *tile,
                                 const struct tare_codes *codes, struct tare_arena *work, struct tare_error *err)
{
    for (size_t k = 0; k < reading->flat.n; k++) {
        struct window w;
        if (!window_of(reading, tile, k, &w))
            continue;
        int64_t at[TARE_READ_AXES] = {0}, from = w.from_start, to = w.to_start;
        const struct tare_module *module = w.piece->module;
        const bool same = reading->ordered || (module->group_size == reading->group_size && tare_module_even(module));
        const size_t most = (size_t)(w.shape[w.rank - 2] * tare_module_groups(module));
        struct tare_codes own = {.scale = same ? NULL : tare_arena_array(work, most, sizeof(float)),
                                 .offset = same ? NULL : tare_arena_array(work, most, sizeof(float))};
        if (!same && (!own.scale || !own.offset))
            return tare_fail_memory(err);
        do
            codes_plane(&w, from, to, reading, same ? NULL : &own, codes);
        while (next(&w, w.rank - 2, at, &from, &to));
    }
    return TARE_OK;
}

enum tare_code tare_readable_codes(const struct tare_readable *reading, const struct tare_tile *tile,
                                   const struct tare_codes *codes, struct tare_arena *work, struct tare_error *err)
{
    struct tare_holds holds = {0};
    enum tare_code code = hold_tile(reading, tile, &holds, err);
    if (!code)
        code = read_codes(reading, tile, codes, work, err);
    tare_holds_release(&holds);
    return code;
}
