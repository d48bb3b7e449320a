/* SPDX-License-Identifier: MIT
 * layout.c - a plan -> the tensors of a folder, their places in shards, and the tasks that make them. What a parameter
 * or module becomes is asked of the format.
 */
#include <stdlib.h>
#include <string.h>

#include "packing/value.h"
#include "save/save.h"

#define SHARD_SIZE ((uint64_t)5 << 30) /* mlx-lm's MAX_FILE_SIZE_GB */
#define TILE_BYTES 1048576.0           /* of a dense tile: what a worker writes at once */

const char *tare_job_path(const struct tare_job *job, struct tare_arena *arena)
{
    const char *name = job->name;
    const size_t n = strlen(name);
    const char *path = n > 7 && !strcmp(name + n - 7, ".weight") ? tare_arena_copy(arena, name, n - 7) : name;
    return path ? path : name;
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
            code = tare_value_read(piece->value, piece->module, job->parts[k], &model->checkpoint, &layout->arena,
                                   &job->norms[k], err);
        if (code)
            return code;
    }
    return TARE_OK;
}

enum tare_code tare_layout_add(struct tare_layout *layout, enum tare_part part, const char *name, enum tare_dtype dtype,
                               int rank, const int64_t *shape, struct tare_error *err)
{
    if (!name || !tare_grow(&layout->saved, &layout->saved_room, layout->n_saved + 1, sizeof *layout->saved))
        return tare_fail_memory(err);
    int64_t *own = tare_arena_array(&layout->arena, (size_t)rank + 1, sizeof *own);
    if (!own)
        return tare_fail_memory(err);
    for (int k = 0; k < rank; k++)
        own[k] = shape[k];
    const struct tare_block_size block = tare_dtype_block(dtype);
    const int64_t count = tare_shape_count(rank, own);
    if (count < 0 || count > INT64_MAX / 256)
        return tare_fail(err, TARE_E_SHAPE, name, "more elements than 64 bits count");
    layout->saved[layout->n_saved++] = (struct tare_saved){.name = name,
                                                           .dtype = dtype,
                                                           .rank = rank,
                                                           .shape = own,
                                                           .size = (uint64_t)(count / block.columns * block.bytes),
                                                           .job = layout->n_jobs,
                                                           .part = part};
    return TARE_OK;
}

enum tare_code tare_layout_add_dense(struct tare_layout *layout, struct tare_job *job, struct tare_error *err)
{
    tare_job_cut(job);
    return tare_layout_add(layout, TARE_PART_WEIGHT, job->name, job->target.dtype, job->flat.rank, job->flat.shape,
                           err);
}

enum tare_dtype tare_dtype_wanted(const struct tare_convert_options *options, enum tare_dtype kept)
{
    static const enum tare_dtype floats[] = {TARE_F16, TARE_BF16, TARE_F32};
    for (size_t k = 0; options->dtype && k < sizeof floats / sizeof *floats; k++)
        if (!strcmp(options->dtype, tare_packing_word(&tare_packing_plain, floats[k])))
            return floats[k];
    return kept;
}

static void count_tiles(struct tare_job *job)
{
    job->leading = 1;
    for (int k = 0; k < job->axis; k++)
        job->leading *= job->shape[k];
    job->tiles = (job->shape[job->axis] + job->step - 1) / job->step;
}

static void copy_shape(struct tare_job *job)
{
    const struct tare_flat *flat = &job->flat;
    job->rank = flat->rank ? flat->rank : 1;
    for (int k = 0; k < job->rank; k++)
        job->shape[k] = flat->rank ? flat->shape[k] : 1;
}

/* Ranges of the first axis of which one index is small enough. */
void tare_job_cut(struct tare_job *job)
{
    copy_shape(job);
    double size = (double)tare_dtype_size(job->target.dtype); /* bytes of one index of the axis */
    for (int k = 1; k < job->rank; k++)
        size *= (double)job->shape[k];
    for (job->axis = 0; job->axis < job->rank - 1 && size > TILE_BYTES; job->axis++)
        size /= (double)job->shape[job->axis + 1];
    job->step = size < TILE_BYTES ? (int64_t)(TILE_BYTES / (size < 1 ? 1 : size)) : 1;
    count_tiles(job);
}

void tare_job_cut_rows(struct tare_job *job, int64_t step)
{
    copy_shape(job);
    job->axis = job->rank - 2;
    job->step = step;
    count_tiles(job);
}

/* A job for a recipe; the format lays it out. */
static enum tare_code add_job(struct tare_layout *layout, struct tare_model *model, const struct tare_job *given,
                              const struct tare_recipe *recipe, const struct tare_convert_options *options,
                              struct tare_error *err)
{
    if (!tare_grow(&layout->jobs, &layout->jobs_room, layout->n_jobs + 1, sizeof *layout->jobs))
        return tare_fail_memory(err);
    struct tare_job *job = &layout->jobs[layout->n_jobs];
    *job = *given;
    enum tare_code code = tare_recipe_flatten(recipe, &layout->arena, &job->flat, err);
    if (code)
        return code;
    if (job->flat.rank > TARE_SAVE_AXES)
        return tare_fail(err, TARE_E_INTERNAL, job->name, "a parameter of %d axes", job->flat.rank);
    if ((code = map_pieces(layout, model, job, err)) ||
        (code = layout->format->lay_out(layout, model, job, options, err)))
        return code;
    if (layout->format->file && job->target.packed && job->way == TARE_WAY_EXACT)
        job->way = TARE_WAY_ROUNDED; /* what its blocks keep of zeros is not looked at */
    job->first_task = layout->n_tasks;
    layout->n_tasks += (size_t)(job->leading * job->tiles);
    layout->parameters += (uint64_t)tare_shape_count(job->flat.rank, job->flat.shape);
    layout->n_jobs++;
    return TARE_OK;
}

static enum tare_code add_parameter(struct tare_layout *layout, struct tare_model *model,
                                    const struct tare_parameter *parameter, const struct tare_convert_options *options,
                                    struct tare_error *err)
{
    const struct tare_job job = {.name = parameter->name, .parameter = parameter};
    return add_job(layout, model, &job, tare_parameter_recipe(parameter), options, err);
}

static enum tare_code add_parameters(struct tare_layout *layout, struct tare_model *model,
                                     const struct tare_convert_options *options, struct tare_error *err)
{
    for (size_t k = 0; k < model->tree.n; k++) {
        const struct tare_parameter *parameter = model->tree.parameters[k];
        if (!parameter->active || !parameter->entry)
            continue;
        const enum tare_code code = add_parameter(layout, model, parameter, options, err);
        if (code)
            return code;
    }
    return TARE_OK;
}

static enum tare_code add_modules(struct tare_layout *layout, struct tare_model *model,
                                  const struct tare_convert_options *options, struct tare_error *err)
{
    struct tare_source *sources = NULL;
    size_t n = 0;
    enum tare_code code = tare_source_modules(model, &sources, &n, err);
    for (size_t k = 0; !code && k < n; k++) {
        const struct tare_module *module = sources[k].module;
        const struct tare_job job = {
            .name = module->name, .module = module, .kind = sources[k].kind, .turned = sources[k].turned};
        code =
            module->rank > TARE_SAVE_AXES
                ? tare_fail(err, TARE_E_SHAPE, job.name, "a tensor of %d axes, tare writes up to %d", module->rank,
                            TARE_SAVE_AXES)
            : model->checkpoint.gguf && module->rank > 2
                ? tare_fail(err, TARE_E_TARGET, job.name,
                            "experts are stacked in GGUF, and %s has them one by one, which tare does not write yet; "
                            "--to mlx has them stacked",
                            layout->format->name)
                : add_job(layout, model, &job,
                          module->restored ? module->restored : tare_recipe_take(&layout->arena, module), options, err);
    }
    free(sources);
    return code;
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
        if (!layout->n_shards || (size && size + saved->size > most)) {
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
    const char *one = layout->format->file ? layout->format->file : "model.safetensors", *end = strrchr(one, '.');
    for (size_t k = 0; k < layout->n_shards; k++) {
        layout->shards[k].name = layout->n_shards == 1
                                     ? one
                                     : tare_arena_format(&layout->arena, "%.*s-%05zu-of-%05zu%s", (int)(end - one), one,
                                                         k + 1, layout->n_shards, end);
        if (!layout->shards[k].name)
            return tare_fail_memory(err);
    }
    return TARE_OK;
}

/* Tensors are sorted now: jobs find theirs, and no two have one name. */
static enum tare_code bind(struct tare_layout *layout, struct tare_error *err)
{
    for (size_t k = 0; k < layout->n_saved; k++)
        layout->jobs[layout->saved[k].job].saved[layout->saved[k].part] = &layout->saved[k];
    for (size_t k = 1; k < layout->n_saved; k++)
        if (!strcmp(layout->saved[k - 1].name, layout->saved[k].name))
            return tare_fail(err, TARE_E_TARGET, layout->saved[k].name, "two parameters would have this name");
    return TARE_OK;
}

struct form {
    struct tare_form form;
    size_t last; /* job */
};

static int compare_forms(const struct tare_form *x, const struct tare_form *y)
{
    if (x->mode != y->mode)
        return x->mode < y->mode ? -1 : 1;
    if (x->bits != y->bits)
        return x->bits < y->bits ? -1 : 1;
    if (x->group_size != y->group_size)
        return x->group_size < y->group_size ? -1 : 1;
    return (int)x->symmetric - (int)y->symmetric;
}

static int by_form(const void *a, const void *b)
{
    const struct form *x = a, *y = b;
    const int order = compare_forms(&x->form, &y->form);
    return order ? order : x->last < y->last ? -1 : 1;
}

/* The form that most packed jobs have. On a tie, the form whose last job comes first wins. */
static enum tare_code find_usual(struct tare_layout *layout, struct tare_error *err)
{
    struct form *forms = calloc(layout->n_jobs + 1, sizeof *forms);
    size_t n = 0, best = 0, last = 0;
    if (!forms)
        return tare_fail_memory(err);
    for (size_t k = 0; k < layout->n_jobs; k++) {
        const struct tare_job *job = &layout->jobs[k];
        const struct tare_target *t = &job->target;
        if (t->packed && t->bits)
            forms[n++] = (struct form){{t->bits, t->group_size, t->mode, job->symmetric}, k};
    }
    if (n)
        qsort(forms, n, sizeof *forms, by_form);
    for (size_t k = 0, end; k < n; k = end) {
        for (end = k + 1; end < n && !compare_forms(&forms[end].form, &forms[k].form); end++)
            ;
        if (end - k < best || (end - k == best && forms[end - 1].last > last))
            continue;
        best = end - k;
        last = forms[end - 1].last;
        layout->usual = forms[k].form;
    }
    free(forms);
    return TARE_OK;
}

enum tare_code tare_layout_make(struct tare_layout *layout, struct tare_model *model,
                                const struct tare_convert_options *options, struct tare_error *err)
{
    const struct tare_save_format *format = layout->format;
    layout->checkpoint = &model->checkpoint;
    enum tare_code code = format->begin ? format->begin(layout, model, options, err) : TARE_OK;
    if (!code)
        code = format->view == TARE_VIEW_PARAMETER ? add_parameters(layout, model, options, err)
                                                   : add_modules(layout, model, options, err);
    if (code || (code = find_usual(layout, err)) || (format->settle && (code = format->settle(layout, err))))
        return code;
    if (layout->n_saved)
        qsort(layout->saved, layout->n_saved, sizeof *layout->saved, by_name);
    if ((code = bind(layout, err)) || (code = fill_shards(layout,
                                                          options->shard_size ? options->shard_size
                                                          : format->file      ? UINT64_MAX
                                                                              : SHARD_SIZE,
                                                          err)))
        return code;
    return layout->arena.failed ? tare_fail_memory(err) : TARE_OK;
}

enum tare_code tare_layout_parameter(struct tare_layout *layout, struct tare_model *model,
                                     const struct tare_parameter *parameter, const struct tare_convert_options *options,
                                     struct tare_error *err)
{
    const struct tare_save_format *format = layout->format;
    layout->checkpoint = &model->checkpoint;
    enum tare_code code = format->begin ? format->begin(layout, model, options, err) : TARE_OK;
    if (!code)
        code = add_parameter(layout, model, parameter, options, err);
    if (!code)
        code = bind(layout, err);
    return !code && layout->arena.failed ? tare_fail_memory(err) : code;
}

void tare_layout_release(struct tare_layout *layout)
{
    for (size_t k = 0; k < layout->n_shards; k++) {
        free(layout->shards[k].header);
        pthread_mutex_destroy(&layout->shards[k].lock);
    }
    if (layout->format && layout->format->release)
        layout->format->release(layout);
    free(layout->shards);
    free(layout->saved);
    free(layout->jobs);
    tare_arena_release(&layout->arena);
    *layout = (struct tare_layout){0};
}
