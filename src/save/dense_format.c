/* SPDX-License-Identifier: MIT
 * dense_format.c - no quantization: every module P as P.weight, for tools that read nothing else; and the modules that
 * other formats write as floats. Dequantized values are those of the formula (packing.h) in float32, rounded once to
 * the dtype of the scales, or to that of --dtype.
 */
#include <string.h>

#include "save/save.h"

#define BLOCK_ROWS 128        /* decoded at once: a cache line of awq's words */
#define BLOCK_BYTES 8388608.0 /* of all that a block of rows needs in memory */
#define VALUE_BYTES 21.0      /* of one element: its code, its value, its cast, turned; at worst a scale and a zero */

enum tare_code tare_lay_out_dense(struct tare_layout *layout, struct tare_model *model, struct tare_job *job,
                                  const struct tare_convert_options *options, struct tare_error *err)
{
    const struct tare_module *module = job->module;
    const bool packed = module->packing != &tare_packing_plain, real = tare_dtype_is_float(module->dtype);
    const enum tare_dtype dtype = real ? tare_dtype_wanted(options, module->dtype) : module->dtype;
    (void)model;
    if (dtype != module->dtype && !packed && tare_dtype_size(module->dtype) == 1)
        return tare_fail(err, TARE_E_TARGET, job->name,
                         "%s without scales: tare does not know what its values are; without --dtype it is kept",
                         tare_dtype_name(module->dtype));
    job->target = (struct tare_target){.dtype = dtype};
    if (!packed)
        return tare_layout_add_dense(layout, job, err);
    const int64_t fit = (int64_t)(BLOCK_BYTES / VALUE_BYTES / (double)tare_module_columns(module));
    tare_job_cut_rows(job, fit > BLOCK_ROWS ? BLOCK_ROWS : fit > 8 ? fit - fit % 8 : fit > 0 ? fit : 1);
    int64_t shape[TARE_SAVE_AXES];
    for (int k = 0; k < module->rank; k++)
        shape[k] = module->shape[k];
    if (job->turned) {
        shape[module->rank - 1] = module->shape[module->rank - 2];
        shape[module->rank - 2] = module->shape[module->rank - 1];
    }
    return tare_layout_add(layout, TARE_PART_WEIGHT, job->name, dtype, module->rank, shape, err);
}

/* Rows of floats become columns of the output, from column box->low on, of the matrix that `row` lies in. */
static enum tare_code write_turned(const struct tare_layout *layout, const struct tare_job *job,
                                   const struct tare_box *box, const unsigned char *made, struct tare_worker *worker,
                                   int64_t row, struct tare_error *err)
{
    const int64_t columns = job->shape[job->rank - 1], all = job->shape[job->axis];
    const int64_t low = box->low[job->axis], n = box->high[job->axis] - low;
    const size_t size = tare_dtype_size(job->target.dtype);
    unsigned char *to = tare_buffer_room(&worker->stage[0], (size_t)(n * columns) * size);
    if (!to)
        return tare_fail_memory(err);
    for (int64_t r = 0; r < n; r++)
        for (int64_t i = 0; i < columns; i++)
            memcpy(to + (size_t)(i * n + r) * size, made + (size_t)(r * columns + i) * size, size);
    const uint64_t matrix = (uint64_t)((row - low) * columns);
    return tare_saved_write_strided(layout, job->saved[TARE_PART_WEIGHT], to, (size_t)n * size, columns,
                                    (matrix + (uint64_t)low) * size, (uint64_t)all * size, err);
}

enum tare_code tare_dequantized_tile(const struct tare_layout *layout, const struct tare_job *job,
                                     const struct tare_box *box, struct tare_worker *worker, uint64_t *bytes,
                                     struct tare_error *err)
{
    const int64_t columns = tare_module_columns(job->module), rows = box->high[job->axis] - box->low[job->axis];
    const enum tare_dtype dtype = job->target.dtype;
    const size_t n = (size_t)(rows * columns), size = n * tare_dtype_size(dtype);
    int64_t row = 0; /* of the module: its rows lie as those of the output */
    for (int k = 0; k <= job->axis; k++)
        row = row * job->shape[k] + box->low[k];
    float *values = tare_buffer_room(&worker->floats, n * sizeof *values);
    void *made = dtype == TARE_F32 ? values : tare_buffer_room(&worker->tile, size);
    if (!values || !made)
        return tare_fail_memory(err);
    enum tare_code code = tare_module_floats(job->module, job->parts[0], row, rows, values, &worker->arena, err);
    if (!code && made != values)
        code = tare_cast_floats(job, job->name, values, (int64_t)n, dtype, made, &worker->tally, err);
    *bytes += size;
    if (!code && job->turned)
        return write_turned(layout, job, box, made, worker, row, err);
    return code ? code
                : tare_saved_write(layout, job->saved[TARE_PART_WEIGHT], made, size,
                                   (uint64_t)(row * columns) * tare_dtype_size(dtype), err);
}

static bool config(json_t *made, const struct tare_layout *layout, const struct tare_model *model)
{
    (void)made;
    (void)layout;
    (void)model;
    return true;
}

const struct tare_save_format tare_format_dense = {
    .name = "dense",
    .view = TARE_VIEW_SOURCE,
    .metadata = "pt",
    .library = "transformers",
    .usage = TARE_USAGE_TRANSFORMERS,
    .lay_out = tare_lay_out_dense,
    .config = config,
};
