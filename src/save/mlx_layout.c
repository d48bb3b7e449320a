/* SPDX-License-Identifier: MIT
 * mlx_layout.c - a plan -> the tensors of an MLX folder, their places in shards, and the tasks that make them.
 */
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "packing/value.h"
#include "save/save.h"

#define SHARD_SIZE ((uint64_t)5 << 30) /* mlx-lm's MAX_FILE_SIZE_GB */
#define TILE_BYTES 1048576.0           /* of a dense tile: what a worker writes at once */
#define PACKED_BYTES 1048576.0         /* of a packed one: it is made in memory and should stay in the cache */
#define PACKED_ROWS 128                /* its rows are a multiple of these: a cache line of awq's words */

const char *tare_job_path(const struct tare_job *job, struct tare_arena *arena)
{
    const char *name = job->parameter->name;
    const size_t n = strlen(name);
    const char *path = n > 7 && !strcmp(name + n - 7, ".weight") ? tare_arena_copy(arena, name, n - 7) : name;
    return path ? path : name;
}

/* What a parameter becomes: the plan's target, or, with keep_dtypes, its stored dtype. */
static struct tare_target target_of(const struct tare_model *model, const struct tare_job *job,
                                    const struct tare_convert_options *options)
{
    struct tare_target target = model->targets[job->parameter->index];
    if (!options->keep_dtypes)
        return target;
    target.dtype = job->flat.dtype;
    for (size_t k = 0; target.packed && target.mode == TARE_MLX_AFFINE && k < job->flat.n; k++)
        if (job->flat.pieces[k].module->dtype != target.dtype)
            target.dtype = TARE_F32; /* scales of unlike dtypes in one stack: float32 holds them all */
    return target;
}

static enum tare_code map_pieces(struct tare_layout *layout, struct tare_model *model, struct tare_job *job,
                                 struct tare_error *err)
{
    job->parts = tare_arena_array(&layout->arena, job->flat.n + 1, sizeof *job->parts);
    job->norms = tare_arena_array(&layout->arena, job->flat.n + 1, sizeof *job->norms);
    if (!job->parts || !job->norms)
        return tare_fail_memory(err);
    for (size_t k = 0; k < job->flat.n; k++) {
        const struct tare_piece *piece = &job->flat.pieces[k];
        enum tare_code code = tare_module_data(&model->checkpoint, piece->module, job->parts[k], err);
        if (!code)
            code = tare_value_norms(piece->value, piece->module, job->parts[k], &layout->arena, &job->norms[k], err);
        if (code)
            return code;
    }
    return TARE_OK;
}

static enum tare_code add_saved(struct tare_layout *layout, const char *name, enum tare_dtype dtype, int rank,
                                const int64_t *shape, int64_t last, struct tare_error *err)
{
    if (!tare_grow(&layout->saved, &layout->saved_room, layout->n_saved + 1, sizeof *layout->saved))
        return tare_fail_memory(err);
    int64_t *own = tare_arena_array(&layout->arena, (size_t)rank + 1, sizeof *own);
    if (!own || !name)
        return tare_fail_memory(err);
    for (int k = 0; k < rank; k++)
        own[k] = k == rank - 1 && last ? last : shape[k];
    const int64_t count = tare_shape_count(rank, own);
    if (count < 0 || (uint64_t)count > UINT64_MAX / 16)
        return tare_fail(err, TARE_E_SHAPE, name, "more elements than 64 bits count");
    layout->saved[layout->n_saved++] = (struct tare_saved){
        .name = name, .dtype = dtype, .rank = rank, .shape = own, .size = (uint64_t)count * tare_dtype_size(dtype)};
    return TARE_OK;
}

/* The tensors of one parameter; their order is by name only later, so a job finds them again then. */
static enum tare_code add_tensors(struct tare_layout *layout, const struct tare_job *job, struct tare_error *err)
{
    const struct tare_flat *flat = &job->flat;
    const struct tare_target *target = &job->target;
    const char *name = job->parameter->name;
    if (!target->packed)
        return add_saved(layout, name, target->dtype, flat->rank, flat->shape, 0, err);
    const char *path = tare_job_path(job, &layout->arena);
    const int64_t in = flat->shape[flat->rank - 1];
    if (path == name || in % target->group_size || in * target->bits % 32)
        return tare_fail(err, TARE_E_TARGET, name, "%lld input columns have no MLX form at %d bits and group_size %lld",
                         (long long)in, target->bits, (long long)target->group_size);
    const bool affine = target->mode == TARE_MLX_AFFINE;
    const int64_t groups = in / target->group_size;
    enum tare_code code;
    if ((code = add_saved(layout, name, TARE_U32, flat->rank, flat->shape, in * target->bits / 32, err)) ||
        (code = add_saved(layout, tare_arena_format(&layout->arena, "%s.scales", path),
                          affine ? target->dtype : TARE_U8, flat->rank, flat->shape, groups, err)))
        return code;
    if (affine)
        return add_saved(layout, tare_arena_format(&layout->arena, "%s.biases", path), target->dtype, flat->rank,
                         flat->shape, groups, err);
    return target->global ? add_saved(layout, tare_arena_format(&layout->arena, "%s.global_scale", path), TARE_F32,
                                      flat->rank - 2, flat->shape, 0, err)
                          : TARE_OK;
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
            return tare_fail(err, TARE_E_TARGET, job->parameter->name,
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

/* Rows of a packed tile: whole cache lines of awq, and as many as stay in the cache; fewer where a row is very long. */
static int64_t packed_step(double row_bytes)
{
    const int64_t fit = (int64_t)(PACKED_BYTES / row_bytes);
    if (fit > PACKED_ROWS)
        return fit - fit % PACKED_ROWS;
    if (row_bytes * PACKED_ROWS < 8.0 * PACKED_BYTES)
        return PACKED_ROWS;
    return fit > 8 ? fit - fit % 8 : 8;
}

/* Cut a parameter into tiles: ranges of its rows when packed, else of the first axis of which one index is small
 * enough. */
static void cut(struct tare_job *job)
{
    const struct tare_flat *flat = &job->flat;
    job->rank = flat->rank ? flat->rank : 1;
    for (int k = 0; k < job->rank; k++)
        job->shape[k] = flat->rank ? flat->shape[k] : 1;
    if (job->target.packed) {
        job->axis = job->rank - 2;
        job->step = packed_step((double)job->shape[job->rank - 1] * job->target.bits / 8);
    } else {
        double size = (double)tare_dtype_size(job->target.dtype); /* bytes of one index of the axis */
        for (int k = 1; k < job->rank; k++)
            size *= (double)job->shape[k];
        for (job->axis = 0; job->axis < job->rank - 1 && size > TILE_BYTES; job->axis++)
            size /= (double)job->shape[job->axis + 1];
        job->step = size < TILE_BYTES ? (int64_t)(TILE_BYTES / (size < 1 ? 1 : size)) : 1;
    }
    job->leading = 1;
    for (int k = 0; k < job->axis; k++)
        job->leading *= job->shape[k];
    job->tiles = (job->shape[job->axis] + job->step - 1) / job->step;
}

static enum tare_code add_job(struct tare_layout *layout, struct tare_model *model,
                              const struct tare_parameter *parameter, const struct tare_convert_options *options,
                              struct tare_error *err)
{
    if (!tare_grow(&layout->jobs, &layout->jobs_room, layout->n_jobs + 1, sizeof *layout->jobs))
        return tare_fail_memory(err);
    struct tare_job *job = &layout->jobs[layout->n_jobs];
    *job = (struct tare_job){.parameter = parameter};
    enum tare_code code = tare_recipe_flatten(parameter->entry->recipe, &layout->arena, &job->flat, err);
    if (code)
        return code;
    if (job->flat.rank > TARE_SAVE_AXES)
        return tare_fail(err, TARE_E_INTERNAL, parameter->name, "a parameter of %d axes", job->flat.rank);
    job->target = target_of(model, job, options);
    if (job->target.refusal)
        return tare_fail(err, TARE_E_TARGET, parameter->name, "%s", job->target.refusal);
    if ((code = map_pieces(layout, model, job, err)) || (code = add_tensors(layout, job, err)) ||
        (job->target.global && (code = find_globals(layout, job, err))))
        return code;
    cut(job);
    job->first_task = layout->n_tasks;
    layout->n_tasks += (size_t)(job->leading * job->tiles);
    layout->parameters += (uint64_t)tare_shape_count(job->flat.rank, job->flat.shape);
    layout->n_jobs++;
    return TARE_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct tare_saved *)a)->name, ((const struct tare_saved *)b)->name);
}

/* Tensors by name into shards, each as full as it can be (mlx-lm's make_shards); a larger one has a shard of its own.
 */
static enum tare_code fill_shards(struct tare_layout *layout, uint64_t most, struct tare_error *err)
{
    uint64_t size = 0;
    for (size_t k = 0; k < layout->n_saved; k++) {
        struct tare_saved *saved = &layout->saved[k];
        if (!layout->n_shards || size + saved->size > most) {
            if (!tare_grow(&layout->shards, &layout->shards_room, layout->n_shards + 1, sizeof *layout->shards))
                return tare_fail_memory(err);
            struct tare_shard *shard = &layout->shards[layout->n_shards];
            shard->fd = -1;
            if (pthread_mutex_init(&shard->lock, NULL))
                return tare_fail_memory(err);
            layout->n_shards++;
            size = 0;
        }
        saved->shard = layout->n_shards - 1;
        size += saved->size;
        layout->bytes += saved->size;
    }
    for (size_t k = 0; k < layout->n_shards; k++) {
        layout->shards[k].name =
            layout->n_shards == 1
                ? "model.safetensors"
                : tare_arena_format(&layout->arena, "model-%05zu-of-%05zu.safetensors", k + 1, layout->n_shards);
        if (!layout->shards[k].name)
            return tare_fail_memory(err);
    }
    return TARE_OK;
}

static struct tare_saved *find(const struct tare_layout *layout, const char *name)
{
    const struct tare_saved key = {.name = name ? name : ""};
    return bsearch(&key, layout->saved, layout->n_saved, sizeof key, by_name);
}

static enum tare_code bind(struct tare_layout *layout, struct tare_error *err)
{
    for (size_t k = 0; k < layout->n_jobs; k++) {
        struct tare_job *job = &layout->jobs[k];
        job->weight = find(layout, job->parameter->name);
        const struct tare_target *target = &job->target;
        const char *path = tare_job_path(job, &layout->arena);
        if (target->packed)
            job->scales = find(layout, tare_arena_format(&layout->arena, "%s.scales", path));
        if (target->packed && target->mode == TARE_MLX_AFFINE)
            job->biases = find(layout, tare_arena_format(&layout->arena, "%s.biases", path));
        if (target->global)
            job->global = find(layout, tare_arena_format(&layout->arena, "%s.global_scale", path));
        if (!job->weight || (target->packed && !job->scales) || (target->global && !job->global) ||
            (target->packed && target->mode == TARE_MLX_AFFINE && !job->biases))
            return tare_fail_memory(err);
    }
    for (size_t k = 1; k < layout->n_saved; k++)
        if (!strcmp(layout->saved[k - 1].name, layout->saved[k].name))
            return tare_fail(err, TARE_E_TARGET, layout->saved[k].name, "two parameters would have this name");
    return TARE_OK;
}

/* The form that most packed modules have becomes the folder's; the others are written as overrides. */
static void find_usual(struct tare_layout *layout)
{
    size_t count[TARE_MLX_DENSE][9][3] = {{{0}}}, best = 0; /* by mode, bits, and group size 16 or 32, 64, 128 */
    for (size_t k = 0; k < layout->n_jobs; k++) {
        const struct tare_target *target = &layout->jobs[k].target;
        if (!target->packed || ++count[target->mode][target->bits][target->group_size / 64] <= best)
            continue;
        best++;
        layout->bits = target->bits;
        layout->group_size = target->group_size;
        layout->mode = target->mode;
    }
}

enum tare_code tare_layout_make(struct tare_layout *layout, struct tare_model *model,
                                const struct tare_convert_options *options, struct tare_error *err)
{
    enum tare_code code;
    for (size_t k = 0; k < model->tree.n; k++) {
        const struct tare_parameter *parameter = model->tree.parameters[k];
        if (parameter->active && parameter->entry && (code = add_job(layout, model, parameter, options, err)))
            return code;
    }
    if (layout->n_saved)
        qsort(layout->saved, layout->n_saved, sizeof *layout->saved, by_name);
    find_usual(layout);
    if ((code = bind(layout, err)) ||
        (code = fill_shards(layout, options->shard_size ? options->shard_size : SHARD_SIZE, err)))
        return code;
    return layout->arena.failed ? tare_fail_memory(err) : TARE_OK;
}

void tare_layout_release(struct tare_layout *layout)
{
    for (size_t k = 0; k < layout->n_shards; k++) {
        free(layout->shards[k].header);
        pthread_mutex_destroy(&layout->shards[k].lock);
    }
    free(layout->shards);
    free(layout->saved);
    free(layout->jobs);
    tare_arena_release(&layout->arena);
    *layout = (struct tare_layout){0};
}
