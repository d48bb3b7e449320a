/* SPDX-License-Identifier: MIT
 * read_rows.c - rows of a tensor as floats, or as codes with scales and offsets, into the caller's memory.
 *
 * Both go tile by tile, so that what is decoded stays in the processor's cache and work memory does not grow with the
 * number of rows. */
#include <string.h>

#include "packing/mlx/to_mlx.h"
#include "read/reader.h"

#define TILE 262144 /* numbers of a tile: work memory stays at some MiB, whatever the number of rows */
#define ALIGNED 128 /* rows of a tile are a multiple of it, so that a cache line of AWQ's words is read once */

static int64_t rows_of_tile(const struct tare_reader *reader)
{
    const int64_t columns = reader->info.columns, rows = columns > 0 ? TILE / columns : TILE;
    return rows > ALIGNED ? rows - rows % ALIGNED : ALIGNED;
}

/* ---- floats -------------------------------------------------------------------------------------------------- */

static bool dtype_of(const char *word, enum tare_dtype *dtype)
{
    static const enum tare_dtype floats[] = {TARE_F32, TARE_F16, TARE_BF16};
    for (size_t k = 0; k < sizeof floats / sizeof *floats; k++)
        if (!strcmp(word, tare_packing_word(&tare_packing_plain, floats[k]))) {
            *dtype = floats[k];
            return true;
        }
    return false;
}

/* Integers and F64 are read as doubles and rounded once. */
static enum tare_code read_wide(const struct tare_reader *reader, const struct tare_tile *tile, enum tare_dtype dtype,
                                void *to, struct tare_arena *work, struct tare_arena *buffer, struct tare_error *err)
{
    double *values = tare_arena_room(buffer, (size_t)tile->count, sizeof *values);
    if (!values)
        return tare_fail_memory(err);
    const enum tare_code code = tare_readable_doubles(&reader->reading, tile, values, work, err);
    for (int64_t i = 0; !code && i < tile->count; i++)
        tare_float_put(to, dtype, i, (float)values[i]);
    return code;
}

static enum tare_code read_tile(const struct tare_reader *reader, const struct tare_tile *tile, enum tare_dtype dtype,
                                void *to, struct tare_arena *work, struct tare_arena *buffer, struct tare_error *err)
{
    if (reader->reading.wide)
        return read_wide(reader, tile, dtype, to, work, buffer, err);
    if (dtype != TARE_F32) {
        const struct tare_kernels *k = &reader->kernels;
        const struct tare_halves halves = {dtype == TARE_F16 ? k->to_float16 : k->to_bfloat16, dtype, to};
        return tare_readable_halves(&reader->reading, tile, &halves, work, err);
    }
    const bool direct = (uintptr_t)to % sizeof(float) == 0;
    float *values = direct ? to : tare_arena_room(buffer, (size_t)tile->count, sizeof *values);
    if (!values)
        return tare_fail_memory(err);
    const enum tare_code code = tare_readable_floats(&reader->reading, tile, values, work, err);
    if (!code && !direct)
        memcpy(to, values, (size_t)tile->count * sizeof *values);
    return code;
}

enum tare_code tare_read_floats(const struct tare_reader *reader, int64_t row, int64_t rows, const char *dtype,
                                void *dst, size_t room, struct tare_error *err)
{
    enum tare_dtype wanted = TARE_F32;
    enum tare_code code = tare_reader_check(reader, row, rows, err);
    if (code)
        return code;
    const struct tare_tensor_info *info = &reader->info;
    if (!dtype || !dtype_of(dtype, &wanted))
        return tare_fail(err, TARE_E_ARGUMENT, info->name, "dtype %s; float32, float16 and bfloat16 are read",
                         dtype ? dtype : "NULL");
    if (!dst || (info->columns > 0 && room / (size_t)info->columns < (size_t)rows))
        return tare_fail(err, TARE_E_ARGUMENT, info->name, "room for %zu numbers, %lld rows of %lld are needed", room,
                         (long long)rows, (long long)info->columns);
    struct tare_arena work = {0}, buffer = {0};
    unsigned char *to = dst;
    for (int64_t done = 0; !code && info->columns > 0 && done < rows;) {
        const struct tare_tile tile = tare_reader_tile(reader, row + done, rows - done, rows_of_tile(reader));
        tare_arena_reset(&buffer);
        code = read_tile(reader, &tile, wanted, to, &work, &buffer, err);
        to += (size_t)tile.count * tare_dtype_size(wanted);
        done += tile.count / info->columns;
    }
    tare_arena_release(&work);
    tare_arena_release(&buffer);
    return code;
}

/* ---- codes --------------------------------------------------------------------------------------------------- */

/* Zero points become offsets: scale * (code - zero) = scale * code - scale * zero. */
static void set_offsets(const struct tare_reader *reader, float *scales, float *offsets, int64_t n)
{
    const struct tare_packing *packing = reader->reading.first->packing;
    if (packing->codes != TARE_CODE_INTEGER)
        memset(offsets, 0, (size_t)n * sizeof *offsets);
    else if (!packing->biases)
        for (int64_t k = 0; k < n; k++)
            offsets[k] = -(scales[k] * offsets[k]);
}

enum tare_code tare_read_codes(const struct tare_reader *reader, int64_t row, int64_t rows, uint8_t *codes,
                               float *scales, float *offsets, struct tare_error *err)
{
    enum tare_code code = tare_reader_check(reader, row, rows, err);
    if (code)
        return code;
    const struct tare_tensor_info *info = &reader->info;
    if (!codes || !scales || !offsets)
        return tare_fail(err, TARE_E_ARGUMENT, info->name, "places for codes, scales and offsets are needed");
    if (!reader->reading.codes)
        return tare_fail(err, TARE_E_ARGUMENT, info->name,
                         "it has no codes of one kind (stored as %s); tare_read_floats() reads its numbers",
                         info->packing);
    struct tare_arena work = {0};
    for (int64_t done = 0; !code && done < rows;) {
        const struct tare_tile tile = tare_reader_tile(reader, row + done, rows - done, rows_of_tile(reader));
        const int64_t n = tile.count / info->columns;
        const struct tare_codes to = {codes + done * info->columns, scales + done * info->groups,
                                      offsets + done * info->groups};
        tare_arena_reset(&work);
        code = tare_readable_codes(&reader->reading, &tile, &to, &work, err);
        if (!code)
            set_offsets(reader, to.scale, to.offset, n * info->groups);
        done += n;
    }
    tare_arena_release(&work);
    return code;
}
