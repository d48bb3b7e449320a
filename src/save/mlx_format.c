/* SPDX-License-Identifier: MIT
 * mlx_format.c - MLX: parameters by mlx-lm's names, packed as affine, mxfp4, mxfp8 or nvfp4, and what its config.json
 * says. mlx_target.c decides what each becomes; packed_tile.c makes the rows.
 */
#include <string.h>

#include "packing/mlx/to_mlx.h"
#include "save/mlx_target.h"

#define PACKED_BYTES 1048576.0 /* of a tile: it is made in memory and should stay in the cache */
#define PACKED_ROWS 128        /* its rows are a multiple of these: a cache line of awq's words */

static bool dequantizes(const struct tare_job *job)
{
    for (size_t k = 0; k < job->flat.n; k++)
        if (job->flat.pieces[k].module->packing->decode)
            return true;
    return false;
}

/* What all jobs have in common, before the first of them. */
static enum tare_code begin(struct tare_layout *layout, struct tare_model *model,
                            const struct tare_convert_options *options, struct tare_error *err)
{
    (void)options;
    layout->own = tare_arena_alloc(&layout->arena, sizeof(struct tare_mlx_floats));
    return layout->own ? tare_mlx_floats(model, layout->own, err) : tare_fail_memory(err);
}

/* What a job becomes: what headers and mlx-lm's habits say, or what the options ask for instead. exact: nothing is
 * rounded, so scales and biases are float32 and floats keep their dtype. */
static struct tare_target target_of(struct tare_layout *layout, const struct tare_model *model,
                                    const struct tare_job *job, const struct tare_convert_options *options)
{
    const struct tare_recipe *recipe = tare_parameter_recipe(job->parameter);
    struct tare_target target = tare_mlx_target(model, job->parameter, recipe, layout->own, &layout->arena);
    if (!options->keep_dtypes && !options->exact) {
        if (!target.packed && tare_dtype_is_float(target.dtype))
            target.dtype = tare_dtype_wanted(options, target.dtype);
        return target;
    }
    target.dtype = job->flat.dtype;
    for (size_t k = 0; target.packed && target.mode == TARE_MLX_AFFINE && k < job->flat.n; k++)
        if (job->flat.pieces[k].module->dtype != target.dtype)
            target.dtype = TARE_F32; /* scales of unlike dtypes in one stack: float32 holds them all */
    if (options->exact && target.packed && target.mode == TARE_MLX_AFFINE)
        target.dtype = TARE_F32;
    if (options->exact && !target.packed && dequantizes(job))
        target.dtype = TARE_F32; /* which holds every product of a code and a scale */
    if (!target.packed && tare_dtype_is_float(target.dtype))
        target.dtype = tare_dtype_wanted(options, target.dtype);
    return target;
}

/* What is dequantized for the options' sake is rounded once, to the dtype it is written in; else, as in mlx-lm, to
 * that of the scales first. */
static void round_once(struct tare_job *job, const struct tare_convert_options *options)
{
    for (size_t k = 0; (options->exact || options->dtype) && k < job->flat.n; k++)
        if (job->flat.pieces[k].module->packing->decode && !job->flat.pieces[k].value)
            job->flat.pieces[k].dtype = job->target.dtype;
}

static enum tare_code add_tensors(struct tare_layout *layout, const struct tare_job *job, struct tare_error *err)
{
    const struct tare_flat *flat = &job->flat;
    const struct tare_target *target = &job->target;
    const char *name = job->name;
    const char *path = tare_job_path(job, &layout->arena);
    const int64_t in = flat->shape[flat->rank - 1];
    if (path == name || in % target->group_size || in * target->bits % 32)
        return tare_fail(err, TARE_E_TARGET, name, "%lld input columns have no MLX form at %d bits and group_size %lld",
                         (long long)in, target->bits, (long long)target->group_size);
    const bool affine = target->mode == TARE_MLX_AFFINE;
    struct tare_arena *arena = &layout->arena;
    int64_t *shape = tare_arena_array(arena, (size_t)flat->rank, sizeof *shape);
    if (!shape)
        return tare_fail_memory(err);
    memcpy(shape, flat->shape, (size_t)flat->rank * sizeof *shape);
    int64_t *last = &shape[flat->rank - 1];
    *last = in * target->bits / 32;
    enum tare_code code = tare_layout_add(layout, TARE_PART_WEIGHT, name, TARE_U32, flat->rank, shape, err);
    *last = in / target->group_size;
    if (!code)
        code = tare_layout_add(layout, TARE_PART_SCALES, tare_arena_format(arena, "%s.scales", path),
                               affine ? target->dtype : TARE_U8, flat->rank, shape, err);
    if (!code && affine)
        code = tare_layout_add(layout, TARE_PART_ZEROS, tare_arena_format(arena, "%s.biases", path), target->dtype,
                               flat->rank, shape, err);
    if (!code && !affine && target->global)
        code = tare_layout_add(layout, TARE_PART_GLOBAL, tare_arena_format(arena, "%s.global_scale", path), TARE_F32,
                               flat->rank - 2, shape, err);
    return code;
}

/* MLX has one global scale for all rows of a matrix; those of one piece's row below leading index *matrix. */
static enum tare_code set_globals(struct tare_job *job, size_t number, bool *known, struct tare_error *err)
{
    const struct tare_piece *piece = &job->flat.pieces[number];
    const struct tare_module *module = piece->module;
    const int last = job->flat.rank - 2; /* the axis of rows */
    const int64_t columns = tare_module_columns(module);
    int64_t rows = 1;
    for (int k = 0; k <= last; k++)
        rows *= piece->shape[k];
    for (int64_t r = 0; r < rows; r++) {
        int64_t rest = r, start = piece->start, matrix = 0, stride = 1;
        for (int k = last; k >= 0; k--) {
            const int64_t index = rest % piece->shape[k];
            rest /= piece->shape[k];
            start += index * piece->stride[k];
            if (k == last)
                continue;
            matrix += (piece->at[k] + index) * stride;
            stride *= job->flat.shape[k];
        }
        const float value = module->part[TARE_PART_GLOBAL] && module->packing->global
                                ? module->packing->global(module, job->parts[number], start / columns)
                                : TARE_NVFP4_LARGEST;
        if (known[matrix] && tare_float_bits(job->globals[matrix]) != tare_float_bits(value))
            return tare_fail(err, TARE_E_TARGET, job->name,
                             "its rows have unlike global scales (%g and %g), mlx has one for all rows of a matrix",
                             (double)job->globals[matrix], (double)value);
        job->globals[matrix] = value;
        known[matrix] = true;
    }
    return TARE_OK;
}

static enum tare_code find_globals(struct tare_layout *layout, struct tare_job *job, struct tare_error *err)
{
    const int64_t matrices = tare_shape_count(job->flat.rank - 2, job->flat.shape);
    bool *known = tare_arena_array(&layout->arena, (size_t)matrices, sizeof *known);
    job->globals = tare_arena_array(&layout->arena, (size_t)matrices, sizeof *job->globals);
    if (!known || !job->globals)
        return tare_fail_memory(err);
    enum tare_code code = TARE_OK;
    for (size_t k = 0; !code && k < job->flat.n; k++)
        code = set_globals(job, k, known, err);
    return code;
}

/* Rows of a packed tile: a multiple of a cache line of awq's words, few enough to stay in the cache. Very long rows
 * come in multiples of 8. */
static int64_t packed_step(double row_bytes)
{
    const int64_t fit = (int64_t)(PACKED_BYTES / row_bytes);
    if (fit > PACKED_ROWS)
        return fit - fit % PACKED_ROWS;
    if (row_bytes * PACKED_ROWS < 8.0 * PACKED_BYTES)
        return PACKED_ROWS;
    return fit > 8 ? fit - fit % 8 : 8;
}

static enum tare_code lay_out(struct tare_layout *layout, struct tare_model *model, struct tare_job *job,
                              const struct tare_convert_options *options, struct tare_error *err)
{
    job->target = target_of(layout, model, job, options);
    job->exact = options->exact;
    job->way = job->target.global && job->flat.pieces[0].module->packing != &tare_packing_mlx_nvfp4
                   ? TARE_WAY_ROUNDED /* the scale over all scales is another number in MLX */
                   : TARE_WAY_EXACT;
    if (job->target.refusal)
        return tare_fail(err, TARE_E_TARGET, job->name, "%s", job->target.refusal);
    if (!job->target.packed) {
        round_once(job, options);
        return tare_layout_add_dense(layout, job, err);
    }
    enum tare_code code = add_tensors(layout, job, err);
    if (!code && job->target.global)
        code = find_globals(layout, job, err);
    if (!code)
        tare_job_cut_rows(job, packed_step((double)job->flat.shape[job->flat.rank - 1] * job->target.bits / 8));
    return code;
}

/* NULL: no memory. A module's own entry says that it has a global scale: mlx-lm hands it to to_quantized(). */
static json_t *format_of(int64_t group_size, int bits, enum tare_mlx_mode mode, bool global)
{
    json_t *format = json_pack("{s:I, s:i, s:s}", "group_size", (json_int_t)group_size, "bits", bits, "mode",
                               tare_mlx_mode_word(mode));
    if (!format || !global || !json_object_set_new(format, "global_scale", json_true()))
        return format;
    json_decref(format);
    return NULL;
}

/* {"group_size", "bits", "mode"}, and the modules that differ, by path. NULL: no memory. */
static json_t *quantization_of(const struct tare_layout *layout)
{
    const struct tare_form *usual = &layout->usual;
    json_t *all = format_of(usual->group_size, usual->bits, usual->mode, false);
    struct tare_arena work = {0};
    bool failed = !all;
    for (size_t k = 0; !failed && k < layout->n_jobs; k++) {
        const struct tare_job *job = &layout->jobs[k];
        const struct tare_target *target = &job->target;
        if (target->packed &&
            (target->bits != usual->bits || target->group_size != usual->group_size || target->mode != usual->mode))
            failed =
                json_object_set_new(all, tare_job_path(job, &work),
                                    format_of(target->group_size, target->bits, target->mode, target->global)) != 0;
    }
    failed |= work.failed;
    tare_arena_release(&work);
    if (!failed)
        return all;
    json_decref(all);
    return NULL;
}

/* Transformers 5 writes the base of the rotary embedding into rope_parameters only, and mlx-lm then runs with a
 * default: it gets the older key beside. False: no memory. */
static bool rope_theta_for_mlx(json_t *config)
{
    const json_t *theta = json_object_get(json_object_get(config, "rope_parameters"), "rope_theta");
    return !json_is_number(theta) || json_object_get(config, "rope_theta") ||
           json_object_set_new(config, "rope_theta", json_deep_copy(theta)) == 0;
}

/* As mlx-lm: the folder holds the language model only. */
static bool config(json_t *made, const struct tare_layout *layout, const struct tare_model *model)
{
    json_t *inner = model->inner_path ? json_object_get(made, model->inner_path) : NULL;
    json_object_del(made, "vision_config");
    if (!rope_theta_for_mlx(made) || (json_is_object(inner) && !rope_theta_for_mlx(inner)))
        return false;
    if (!layout->usual.bits)
        return true;
    json_t *quantization = quantization_of(layout);
    const bool set = quantization && !json_object_set(made, "quantization", quantization) &&
                     !json_object_set(made, "quantization_config", quantization);
    json_decref(quantization);
    return set;
}

const struct tare_save_format tare_format_mlx = {
    .name = "mlx",
    .view = TARE_VIEW_PARAMETER,
    .metadata = "mlx",
    .library = "mlx",
    .usage = "pip install mlx-lm\nmlx_lm.generate --model ./%s --prompt \"Once upon a time\"",
    .foresee = tare_mlx_foresee,
    .begin = begin,
    .lay_out = lay_out,
    .tile = tare_packed_tile,
    .config = config,
};
