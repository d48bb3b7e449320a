/* SPDX-License-Identifier: MIT
 * read_mlx.c - rows of a parameter in MLX's layout, made by what makes them for a conversion (save/packed_tile.c), so
 * that both give the same bytes. */
#include <string.h>

#include "base/sized.h"
#include "packing/mlx/to_mlx.h"
#include "read/reader.h"
#include "save/save.h"

_Static_assert(TARE_SAVE_AXES == TARE_READ_AXES, "a tile of a reader is a box of a job");

static const struct tare_convert_options usual = TARE_CONVERT_OPTIONS_INIT;

enum tare_code tare_reader_lay_out(struct tare_reader *reader, struct tare_error *err)
{
    struct tare_error why = {0};
    reader->mlx.format = tare_format_find("mlx");
    if (tare_layout_parameter(&reader->mlx, reader->model, reader->parameter, &usual, &why) == TARE_E_MEMORY)
        return tare_fail_memory(err);
    reader->mlx_error = why;
    return TARE_OK;
}

/* The parameter's job, or why it has none. */
static enum tare_code find_job(const struct tare_reader *reader, const struct tare_job **job, struct tare_error *err)
{
    const struct tare_error *why = &reader->mlx_error;
    if (!reader->parameter)
        return tare_fail(err, TARE_E_ARGUMENT, reader->info.name,
                         "MLX's layout is that of a parameter; open the reader with TARE_VIEW_PARAMETER");
    if (why->code)
        return tare_fail(err, why->code, why->where, "%s", why->text);
    *job = &reader->mlx.jobs[0];
    return TARE_OK;
}

static void describe(const struct tare_job *job, struct tare_mlx_info *info)
{
    const struct tare_target *target = &job->target;
    const enum tare_dtype dtype = target->packed && target->mode != TARE_MLX_AFFINE ? TARE_U8 : target->dtype;
    info->packed = target->packed;
    info->dtype = tare_packing_word(&tare_packing_plain, dtype);
    if (!target->packed)
        return;
    info->mode = tare_mlx_mode_word(target->mode);
    info->bits = target->bits;
    info->group_size = target->group_size;
    info->global_scale = job->globals && job->rank == 2 ? job->globals[0] : 0;
    info->global_scales = job->globals;
    info->n_global_scales = job->globals ? (size_t)tare_shape_count(job->rank - 2, job->shape) : 0;
}

enum tare_code tare_reader_mlx(const struct tare_reader *reader, struct tare_mlx_info *info, struct tare_error *err)
{
    if (!reader)
        return tare_fail(err, TARE_E_ARGUMENT, "", "tare_reader_mlx needs a reader");
    struct tare_mlx_info found = {0};
    const struct tare_job *job = NULL;
    enum tare_code code = tare_sized_check(info, "info", err);
    if (code)
        return code;
    if (!(code = find_job(reader, &job, err)))
        describe(job, &found);
    tare_sized_write(info, &found, sizeof found);
    return code;
}

static enum tare_code read_rows(const struct tare_reader *reader, const struct tare_layout *layout, int64_t row,
                                int64_t rows, struct tare_mlx_rows to, struct tare_error *err)
{
    const struct tare_job *job = &layout->jobs[0];
    struct tare_worker worker = {0};
    enum tare_code code = TARE_OK;
    const int64_t columns = job->shape[job->rank - 1];
    const size_t row_bytes = (size_t)(columns * job->target.bits / 8);
    const size_t scale_bytes =
        (size_t)(columns / job->target.group_size) * tare_dtype_size(job->saved[TARE_PART_SCALES]->dtype);
    for (int64_t done = 0, n; !code && done < rows; done += n) {
        const struct tare_tile tile = tare_reader_tile(reader, row + done, rows - done, job->step);
        struct tare_box box;
        memcpy(box.low, tile.low, sizeof box.low);
        memcpy(box.high, tile.high, sizeof box.high);
        n = tile.count / columns;
        code = tare_tile_hold(layout, job, &box, &worker, err);
        if (!code)
            code = tare_packed_rows(job, &box, &worker, &to, err);
        tare_holds_let_go(&worker.holds);
        to.weight = (unsigned char *)to.weight + (size_t)n * row_bytes;
        to.scales = (unsigned char *)to.scales + (size_t)n * scale_bytes;
        to.biases = to.biases ? (unsigned char *)to.biases + (size_t)n * scale_bytes : NULL;
        tare_arena_reset(&worker.arena);
    }
    tare_worker_release(&worker);
    return code;
}

enum tare_code tare_read_mlx(const struct tare_reader *reader, int64_t row, int64_t rows, uint32_t *weight,
                             void *scales, void *biases, struct tare_error *err)
{
    enum tare_code code = tare_reader_check(reader, row, rows, err);
    if (code)
        return code;
    if (!weight || !scales)
        return tare_fail(err, TARE_E_ARGUMENT, reader->info.name, "places for weight and scales are needed");
    const struct tare_job *job = NULL;
    if ((code = find_job(reader, &job, err)))
        return code;
    if (!job->target.packed)
        return tare_fail(err, TARE_E_ARGUMENT, reader->info.name,
                         "it is dense in MLX (%s); tare_read_floats() reads it",
                         tare_packing_word(&tare_packing_plain, job->target.dtype));
    if (job->target.mode == TARE_MLX_AFFINE && !biases)
        return tare_fail(err, TARE_E_ARGUMENT, reader->info.name, "a place for biases is needed");
    return read_rows(reader, &reader->mlx, row, rows, (struct tare_mlx_rows){weight, scales, biases}, err);
}

void tare_mlx_info_init(struct tare_mlx_info *info, size_t size)
{
    tare_sized_init(info, size);
}
