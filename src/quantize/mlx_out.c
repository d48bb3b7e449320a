/* SPDX-License-Identifier: MIT
 * mlx_out.c - floats rounded to MLX's affine, mxfp4, mxfp8 or nvfp4: which parameters, what each becomes, and a tile.
 *
 * As mlx-lm's convert -q: linear layers, embeddings and stacked experts whose columns are a multiple of the group size;
 * first cast to the dtype that config.json names.
 */
#include <stdlib.h>
#include <string.h>

#include "blocks/decoder.h"
#include "models/model.h"
#include "quantize/quantizing.h"
#include "save/mlx_target.h"

#define TILE_BYTES 1048576.0 /* of floats: they should stay in the cache */

static const struct tare_quantizing *of(const struct tare_layout *layout)
{
    return (const struct tare_quantizing *)(const void *)layout->format;
}

/* The path of the first down projection says which component of a path is the layer's number: the first that is one,
 * else the last. */
static enum tare_code find_place(struct tare_quantizing *q, const struct tare_model *model, struct tare_error *err)
{
    for (size_t k = 0; k < model->tree.n; k++) {
        const char *name = model->tree.parameters[k]->name, *part = name;
        if (!strstr(name, "down_proj"))
            continue;
        int place = 0;
        for (const char *dot; (dot = strchr(part, '.')) != NULL; part = dot + 1, place++)
            if (dot > part && strspn(part, "0123456789") == (size_t)(dot - part))
                break;
        q->place = place;
        return TARE_OK;
    }
    return tare_fail(err, TARE_E_TARGET, q->recipe,
                     "has more bits for down projections (down_proj), and this architecture has none; --bits N has the "
                     "same for all");
}

static enum tare_code begin(struct tare_layout *layout, struct tare_model *model,
                            const struct tare_convert_options *options, struct tare_error *err)
{
    /* It is made for this call alone: struct tare_quantizing. */
    struct tare_quantizing *q = (struct tare_quantizing *)(uintptr_t)of(layout);
    const struct tare_mlx_form *form = &q->form;
    if (!q->recipe && !tare_mlx_rules_known(model->arch->name))
        return tare_fail(err, TARE_E_TARGET, model->arch->name,
                         "has rules of its own in mlx-lm for what is quantized, which tare does not know; --to gguf "
                         "has none");
    q->layers = model->decoder->n_layers;
    layout->rounding =
        q->recipe ? tare_arena_format(&layout->arena, "%s, group size %lld", q->recipe, (long long)form->group_size)
                  : tare_arena_format(&layout->arena, "%s, %d bits, group size %lld", tare_mlx_mode_word(form->mode),
                                      form->bits, (long long)form->group_size);
    if (!layout->rounding)
        return tare_fail_memory(err);
    const enum tare_code code = q->recipe ? find_place(q, model, err) : TARE_OK;
    return code ? code : q->base->begin(layout, model, options, err);
}

/* The dtype that config.json has for floats, as mlx-lm reads it; 0: none that mlx-lm casts to. */
static enum tare_dtype config_dtype(const struct tare_model *model)
{
    static const enum tare_dtype floats[] = {TARE_F16, TARE_BF16, TARE_F32};
    const json_t *word = json_object_get(model->config, "torch_dtype");
    if (!word || json_is_null(word))
        word = json_object_get(json_object_get(model->config, "text_config"), "dtype");
    for (size_t k = 0; json_is_string(word) && k < sizeof floats / sizeof *floats; k++)
        if (!strcmp(json_string_value(word), tare_packing_word(&tare_packing_plain, floats[k])))
            return floats[k];
    return (enum tare_dtype)0;
}

static enum tare_dtype float_of(const struct tare_model *model, const struct tare_job *job,
                                const struct tare_convert_options *options)
{
    const enum tare_dtype stored = job->flat.dtype, said = config_dtype(model);
    const enum tare_dtype wanted = tare_dtype_wanted(options, said ? said : stored);
    if (!tare_dtype_is_float(stored) || tare_mlx_keeps_dtype(model->arch->name, job->name))
        return stored;
    return wanted;
}

/* Whether mlx-lm's class of layer for a parameter can be quantized at all, and what it becomes then. */
static struct tare_mlx_form form_of(const struct tare_quantizing *q, const struct tare_model *model,
                                    const struct tare_job *job, const char *path)
{
    const enum tare_kind kind = job->parameter->kind;
    struct tare_mlx_form form = q->form, own;
    const bool packs = kind == TARE_KIND_LINEAR || kind == TARE_KIND_EMBEDDING || kind == TARE_KIND_EXPERTS;
    if (!packs || path == job->name || job->flat.rank < 2 || !tare_dtype_is_float(job->flat.dtype) ||
        job->flat.shape[job->flat.rank - 1] % form.group_size)
        return (struct tare_mlx_form){0};
    if (q->recipe)
        return tare_mlx_mixed(q, path);
    return tare_mlx_rule(model->arch->name, path, &own) ? own : form;
}

static enum tare_code add_tensors(struct tare_layout *layout, const struct tare_job *job, const char *path,
                                  struct tare_error *err)
{
    const struct tare_target *target = &job->target;
    const int last = job->flat.rank - 1;
    const int64_t in = job->flat.shape[last];
    const bool affine = target->mode == TARE_MLX_AFFINE;
    struct tare_arena *arena = &layout->arena;
    int64_t shape[TARE_SAVE_AXES];
    memcpy(shape, job->flat.shape, (size_t)job->flat.rank * sizeof *shape);
    if (in % target->group_size)
        return tare_fail(err, TARE_E_TARGET, job->name,
                         "mlx-lm rounds it in groups of %lld columns, and its %lld are no multiple of that",
                         (long long)target->group_size, (long long)in);
    shape[last] = in * target->bits / 32;
    enum tare_code code = tare_layout_add(layout, TARE_PART_WEIGHT, job->name, TARE_U32, job->flat.rank, shape, err);
    shape[last] = in / target->group_size;
    if (!code)
        code = tare_layout_add(layout, TARE_PART_SCALES, tare_arena_format(arena, "%s.scales", path),
                               affine ? target->dtype : TARE_U8, job->flat.rank, shape, err);
    if (!code && affine)
        code = tare_layout_add(layout, TARE_PART_ZEROS, tare_arena_format(arena, "%s.biases", path), target->dtype,
                               job->flat.rank, shape, err);
    return code;
}

static enum tare_code lay_out(struct tare_layout *layout, struct tare_model *model, struct tare_job *job,
                              const struct tare_convert_options *options, struct tare_error *err)
{
    enum tare_code code = tare_quantizing_floats(job, err);
    if (code)
        return code;
    const char *path = tare_job_path(job, &layout->arena);
    const struct tare_mlx_form form = form_of(of(layout), model, job, path);
    job->target =
        tare_mlx_target(model, job->parameter, tare_parameter_recipe(job->parameter), layout->own, &layout->arena);
    job->target.dtype = float_of(model, job, options);
    if (job->target.refusal)
        return tare_fail(err, TARE_E_TARGET, job->name, "%s", job->target.refusal);
    if (!form.bits)
        return tare_layout_add_dense(layout, job, err);
    job->target.packed = true;
    job->target.mode = form.mode;
    job->target.bits = form.bits;
    job->target.group_size = form.group_size;
    job->way = TARE_WAY_ONE;
    if ((code = add_tensors(layout, job, path, err)))
        return code;
    const double row = (double)job->flat.shape[job->flat.rank - 1] * (double)sizeof(float);
    tare_job_cut_rows(job, row * 8 > TILE_BYTES ? 8 : (int64_t)(TILE_BYTES / row));
    return TARE_OK;
}

/* ---- a tile ---------------------------------------------------------------------------------------------------- */

/* What is made of a row, and where it goes. */
struct made {
    unsigned char *weight, *scales, *biases;
    size_t row_bytes, scale_bytes;
    float *values, *scale, *bias; /* of one row */
    uint8_t *code;
};

static bool make_room(struct made *made, const struct tare_job *job, struct tare_worker *worker, int64_t rows)
{
    const int64_t in = job->shape[job->rank - 1], groups = in / job->target.group_size;
    made->row_bytes = (size_t)(in * job->target.bits / 8);
    made->scale_bytes = (size_t)groups * tare_dtype_size(job->saved[TARE_PART_SCALES]->dtype);
    made->weight = tare_buffer_room(&worker->stage[0], (size_t)rows * made->row_bytes);
    made->scales = tare_buffer_room(&worker->scales, (size_t)rows * made->scale_bytes);
    made->biases = tare_buffer_room(&worker->biases, (size_t)rows * made->scale_bytes);
    made->code = tare_buffer_room(&worker->stage[1], (size_t)in);
    made->values = tare_buffer_room(&worker->floats, (size_t)(in + 2 * groups) * sizeof(float));
    if (!made->weight || !made->scales || !made->biases || !made->code || !made->values)
        return false;
    made->scale = made->values + in;
    made->bias = made->scale + groups;
    return true;
}

static void round_row(const struct made *made, const struct tare_job *job, int64_t row, int64_t in)
{
    const struct tare_target *target = &job->target;
    const int64_t groups = in / target->group_size;
    unsigned char *scales = made->scales + (size_t)row * made->scale_bytes;
    if (target->mode == TARE_MLX_AFFINE) {
        tare_round_affine(made->values, in, target->bits, target->group_size, made->code, made->scale, made->bias);
        tare_floats_put(scales, target->dtype, made->scale, groups);
        tare_floats_put(made->biases + (size_t)row * made->scale_bytes, target->dtype, made->bias, groups);
    } else {
        tare_round_floats(made->values, in, target->mode, target->dtype, made->code, scales);
    }
    tare_mlx_pack(made->code, target->bits, in, made->weight + (size_t)row * made->row_bytes);
}

static enum tare_code put(const struct tare_layout *layout, const struct tare_saved *saved, const void *data,
                          int64_t row, int64_t rows, size_t row_bytes, uint64_t *bytes, struct tare_error *err)
{
    const size_t n = (size_t)rows * row_bytes;
    if (!saved)
        return TARE_OK;
    *bytes += n;
    return tare_saved_write(layout, saved, data, n, (uint64_t)row * row_bytes, err);
}

static enum tare_code tile(const struct tare_layout *layout, const struct tare_job *job, const struct tare_box *box,
                           struct tare_worker *worker, uint64_t *bytes, struct tare_error *err)
{
    const int64_t rows = box->high[job->axis] - box->low[job->axis], in = job->shape[job->rank - 1];
    struct made made;
    const void *floats = NULL;
    int64_t row = 0; /* of the flattened output */
    for (int k = 0; k <= job->axis; k++)
        row = row * job->shape[k] + box->low[k];
    enum tare_code code = tare_dense_values(job, job->target.dtype, box, worker, &floats, err);
    if (code)
        return code;
    if (!make_room(&made, job, worker, rows))
        return tare_fail_memory(err);
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t i = 0; i < in; i++)
            made.values[i] = tare_float_at(floats, job->target.dtype, r * in + i);
        if ((code = tare_quantizing_finite(job, made.values, in, row + r, err)))
            return code;
        round_row(&made, job, r, in);
    }
    if ((code = put(layout, job->saved[TARE_PART_WEIGHT], made.weight, row, rows, made.row_bytes, bytes, err)) ||
        (code = put(layout, job->saved[TARE_PART_SCALES], made.scales, row, rows, made.scale_bytes, bytes, err)))
        return code;
    return put(layout, job->saved[TARE_PART_ZEROS], made.biases, row, rows, made.scale_bytes, bytes, err);
}

void tare_quantizing_mlx(struct tare_quantizing *quantizing)
{
    quantizing->base = &tare_format_mlx;
    quantizing->format = tare_format_mlx;
    quantizing->format.begin = begin;
    quantizing->format.lay_out = lay_out;
    quantizing->format.tile = tile;
}
