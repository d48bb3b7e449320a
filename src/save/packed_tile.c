/* SPDX-License-Identifier: MIT
 * packed_tile.c - a tile of rows of a packed parameter: codes unchanged, scales and biases beside them. */
#include <math.h>
#include <string.h>

#include "packing/mlx/to_mlx.h"
#include "save/save.h"

struct tile {
    const struct tare_job *job;
    struct tare_worker *worker;
    struct tare_error *err;
    unsigned char *weight, *scales, *biases;
    int64_t in, groups; /* of the output */
    size_t row_bytes, scale_bytes;
};

/*
 * Rows whose scales have another group size or dtype than the output's: repeat (group size of 256 -> 128, twice) and
 * cast. first is the row of the tile; from are n rows in the module's own groups.
 */
static enum tare_code widen(const struct tile *tile, const struct tare_module *module, enum tare_dtype stored,
                            const void *from, void *to, int64_t first, int64_t n, const char *name)
{
    const int64_t groups = tare_module_groups(module), repeat = module->group_size / tile->job->target.group_size;
    const enum tare_dtype dtype = tile->job->target.dtype;
    for (int64_t k = 0; k < n * groups; k++) {
        const float value = tare_float_at(from, stored, k);
        const int64_t at = first * tile->groups + k * repeat;
        tare_float_put(to, dtype, at, value);
        if (to == tile->scales || module->packing->biases) /* a zero's bias: count_biases() */
            tare_tally_add(&tile->worker->tally, (double)value, (double)tare_float_at(to, dtype, at), true);
        if (isfinite(value) && !isfinite(tare_float_at(to, dtype, at)))
            return tare_fail(tile->err, TARE_E_TARGET, name, "%s %g of %s overflows %s",
                             to == tile->scales ? "scale" : "bias", (double)value, module->name,
                             tare_dtype_name(dtype));
        for (int64_t i = 1; i < repeat; i++)
            tare_float_put(to, dtype, at + i, value);
    }
    return TARE_OK;
}

/* Do the rows of a module lie in its own groups and dtype before they are those of the output? Scales of the other
 * modes are bytes of one kind and group size. */
static bool staged(const struct tile *tile, const struct tare_module *module)
{
    const struct tare_target *target = &tile->job->target;
    return target->mode == TARE_MLX_AFFINE &&
           (module->group_size != target->group_size || module->dtype != target->dtype);
}

/* The dtype in which scales and biases are computed: the module's, as mlx-lm does, then cast; exact: the target's. */
static enum tare_dtype computed(const struct tile *tile, const struct tare_module *module)
{
    return tile->job->exact && tile->job->target.mode == TARE_MLX_AFFINE ? tile->job->target.dtype : module->dtype;
}

#define WHOLE                                                                                                          \
    12582912.0f /* 1.5 * 2^23: adding it rounds to a whole number, as rintf() does, where rintf() is a call            \
                 */

/* A finite float16; an infinity becomes 65536 and more. Without branches, so that a loop of it is vectors. */
static inline float half_at(const void *data, int64_t at)
{
    uint16_t half;
    memcpy(&half, (const unsigned char *)data + 2 * at, sizeof half);
    const float value = tare_bits_float((uint32_t)(half & 0x7fff) << 13) * 0x1p112f;
    return half & 0x8000 ? -value : value;
}

/* count_biases() where both are float16 as they were computed, which is the usual case. */
static void count_halves(const void *scales, const void *biases, int64_t n, struct tare_tally *tally)
{
    int32_t rounded = 0, lost = 0, most = 0; /* most: the bits of a float that is not negative, which sort as it does */
    for (int64_t k = 0; k < n; k++) {
        const float scale = half_at(scales, k), bias = half_at(biases, k);
        const float zero = (-bias / scale + WHOLE) - WHOLE, off = fabsf(zero * scale + bias);
        const int32_t bits = off > 0 ? (int32_t)tare_float_bits(off) : 0;
        rounded += off > 0;
        lost += scale == 0;
        most = bits > most ? bits : most;
    }
    const double difference = (double)tare_bits_float((uint32_t)most);
    tally->rounded += (uint64_t)rounded;
    tally->lost += (uint64_t)lost;
    tally->most = difference > tally->most ? difference : tally->most;
}

/*
 * How many biases of zeros were rounded: bias = -zero * scale is off by less than half a scale, so the zero follows
 * from the two again, and from it the bias as it should be (exact in double). Below a scale of 0 the zero is lost.
 */
static void count_biases(const struct tile *tile, const struct tare_module *module, enum tare_dtype dtype,
                         const struct tare_mlx_rows *from, int64_t first, int64_t n)
{
    const int64_t groups = tare_module_groups(module), repeat = module->group_size / tile->job->target.group_size;
    const bool cast = tile->job->target.dtype != dtype;
    struct tare_tally *tally = &tile->worker->tally;
    if (dtype == TARE_F16 && !cast) {
        count_halves(from->scales, from->biases, n * groups, tally);
        return;
    }
    for (int64_t k = 0; k < n * groups; k++) {
        const float scale = tare_float_at(from->scales, dtype, k), bias = tare_float_at(from->biases, dtype, k);
        const float zero = (-bias / scale + WHOLE) - WHOLE, exact = -zero * scale;
        const float stored =
            cast ? tare_float_at(tile->biases, tile->job->target.dtype, first * tile->groups + k * repeat) : bias;
        if (exact == stored && scale != 0)
            continue;
        if (scale == 0 || (-stored / scale + WHOLE) - WHOLE != zero)
            tally->lost++;
        else
            tare_tally_add(tally, -(double)zero * (double)scale, (double)stored, false);
    }
}

/* n rows of one module, from module_row on, become rows of the tile from `first` on. */
static enum tare_code move_rows(const struct tile *tile, const struct tare_module *module, const void *const *part,
                                int64_t module_row, int64_t first, int64_t n)
{
    struct tare_worker *worker = tile->worker;
    const bool affine = tile->job->target.mode == TARE_MLX_AFFINE;
    const enum tare_dtype dtype = computed(tile, module);
    const bool stage = staged(tile, module);
    const size_t own = (size_t)tare_module_groups(module) * tare_dtype_size(dtype) * (size_t)n;
    const struct tare_mlx_rows to = {
        .weight = tile->weight + (size_t)first * tile->row_bytes,
        .scales = stage ? tare_buffer_room(&worker->stage[0], own) : tile->scales + (size_t)first * tile->scale_bytes,
        .biases = !affine ? NULL
                  : stage ? tare_buffer_room(&worker->stage[1], own)
                          : tile->biases + (size_t)first * tile->scale_bytes,
    };
    if (!to.scales || (affine && !to.biases))
        return tare_fail_memory(tile->err);
    if (module->packing->to_mlx && dtype == module->dtype)
        module->packing->to_mlx(module, part, module_row, n, &to);
    else if (!tare_neutral_to_mlx(module, part, module_row, n, dtype, &to, &worker->arena))
        return tare_fail_memory(tile->err);
    const struct tare_saved *const *saved = (const struct tare_saved *const *)tile->job->saved;
    enum tare_code code = TARE_OK;
    if (stage && !(code = widen(tile, module, dtype, to.scales, tile->scales, first, n, saved[TARE_PART_SCALES]->name)))
        code = widen(tile, module, dtype, to.biases, tile->biases, first, n, saved[TARE_PART_ZEROS]->name);
    if (!code && affine && !module->packing->biases)
        count_biases(tile, module, dtype, &to, first, n);
    return code;
}

static enum tare_code move_run(void *user, size_t number, int64_t from, int64_t first, int64_t n)
{
    const struct tile *tile = user;
    const struct tare_job *job = tile->job;
    return move_rows(tile, job->flat.pieces[number].module, job->parts[number], from, first, n);
}

static enum tare_code put(const struct tare_layout *layout, const struct tare_saved *saved, const void *data,
                          int64_t row, int64_t rows, size_t row_bytes, uint64_t *bytes, struct tare_error *err)
{
    const size_t n = (size_t)rows * row_bytes;
    *bytes += n;
    return tare_saved_write(layout, saved, data, n, (uint64_t)row * row_bytes, err);
}

enum tare_code tare_packed_rows(const struct tare_job *job, const struct tare_box *box, struct tare_worker *worker,
                                const struct tare_mlx_rows *to, struct tare_error *err)
{
    struct tile tile = {.job = job, .worker = worker, .err = err, .in = job->shape[job->rank - 1]};
    tile.groups = tile.in / job->target.group_size;
    tile.row_bytes = (size_t)(tile.in * job->target.bits / 8);
    tile.scale_bytes = (size_t)tile.groups * tare_dtype_size(job->saved[TARE_PART_SCALES]->dtype);
    tile.weight = to->weight;
    tile.scales = to->scales;
    tile.biases = to->biases;
    enum tare_code code = TARE_OK;
    for (size_t k = 0; k < job->flat.n && !code; k++)
        code = tare_job_runs(job, box, k, tile.in, INT64_MAX, move_run, &tile);
    return code;
}

enum tare_code tare_packed_tile(const struct tare_layout *layout, const struct tare_job *job,
                                const struct tare_box *box, struct tare_worker *worker, uint64_t *bytes,
                                struct tare_error *err)
{
    const int axis = job->axis;
    const int64_t rows = box->high[axis] - box->low[axis], in = job->shape[job->rank - 1];
    int64_t row = 0; /* of the flattened output */
    for (int k = 0; k <= axis; k++)
        row = row * job->shape[k] + box->low[k];
    const size_t row_bytes = (size_t)(in * job->target.bits / 8);
    const size_t scale_bytes =
        (size_t)(in / job->target.group_size) * tare_dtype_size(job->saved[TARE_PART_SCALES]->dtype);
    const struct tare_mlx_rows to = {.weight = tare_buffer_room(&worker->tile, (size_t)rows * row_bytes),
                                     .scales = tare_buffer_room(&worker->scales, (size_t)rows * scale_bytes),
                                     .biases = tare_buffer_room(&worker->biases, (size_t)rows * scale_bytes)};
    if (!to.weight || !to.scales || !to.biases)
        return tare_fail_memory(err);
    enum tare_code code = tare_packed_rows(job, box, worker, &to, err);
    if (code || (code = put(layout, job->saved[TARE_PART_WEIGHT], to.weight, row, rows, row_bytes, bytes, err)) ||
        (code = put(layout, job->saved[TARE_PART_SCALES], to.scales, row, rows, scale_bytes, bytes, err)))
        return code;
    if (job->saved[TARE_PART_ZEROS])
        return put(layout, job->saved[TARE_PART_ZEROS], to.biases, row, rows, scale_bytes, bytes, err);
    const int64_t matrix = row / job->shape[axis]; /* its global scale goes with its first rows */
    return job->saved[TARE_PART_GLOBAL] && !box->low[axis]
               ? put(layout, job->saved[TARE_PART_GLOBAL], job->globals + matrix, matrix, 1, sizeof *job->globals,
                     bytes, err)
               : TARE_OK;
}
