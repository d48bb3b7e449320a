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

/* The path of the first down projection says which component of a path is the layer's number: the first that is one,
 * else the last. */
static enum tare_code find_place(struct tare_mlx_asked *asked, const struct tare_model *model, struct tare_error *err)
{
    for (size_t k = 0; k < model->tree.n; k++) {
        const char *name = model->tree.parameters[k]->name, *part = name;
        if (!strstr(name, "down_proj"))
            continue;
        int place = 0;
        for (const char *dot; (dot = strchr(part, '.')) != NULL; part = dot + 1, place++)
            if (dot > part && strspn(part, "0123456789") == (size_t)(dot - part))
                break;
        asked->place = place;
        return TARE_OK;
    }
    return tare_fail(err, TARE_E_TARGET, asked->recipe,
                     "has more bits for down projections (down_proj), and this architecture has none; --bits N has the "
                     "same for all");
}

static enum tare_code begin(struct tare_layout *layout, struct tare_model *model,
                            const struct tare_convert_options *options, struct tare_error *err)
{
    struct tare_quantizing *q = tare_quantizing_of(layout);
    struct tare_mlx_asked *asked = q->own;
    const struct tare_mlx_form *form = &asked->form;
    if (!asked->recipe && !tare_mlx_rules_known(model->arch->name))
        return tare_fail(err, TARE_E_TARGET, model->arch->name,
                         "has rules of its own in mlx-lm for what is quantized, which tare does not know; --to gguf "
                         "has none");
    asked->layers = model->decoder->n_layers;
    const char *words =
        asked->recipe
            ? tare_arena_format(&layout->arena, "%s, group size %lld", asked->recipe, (long long)form->group_size)
            : tare_arena_format(&layout->arena, "%s, %d bits, group size %lld", tare_mlx_mode_word(form->mode),
                                form->bits, (long long)form->group_size);
    enum tare_code code = tare_quantizing_say(layout, words, err);
    if (!code && asked->recipe)
        code = find_place(asked, model, err);
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

/* Whether mlx-lm's class of layer for a parameter can be quantized at all, and what it becomes then: what was asked for
 * this module, else what the recipe or the architecture says, else what was asked for all. */
static struct tare_mlx_form form_of(struct tare_quantizing *q, const struct tare_model *model,
                                    const struct tare_job *job, const char *path)
{
    static const struct tare_mlx_form floats = {0};
    const enum tare_kind kind = job->parameter->kind;
    const struct tare_mlx_asked *asked = q->own;
    const bool packs = kind == TARE_KIND_LINEAR || kind == TARE_KIND_EMBEDDING || kind == TARE_KIND_EXPERTS;
    if (!packs || path == job->name || job->flat.rank < 2 || !tare_dtype_is_float(job->flat.dtype))
        return floats;
    const struct tare_quantize_rule *rule = tare_quantizing_rule(q, job, NULL);
    struct tare_mlx_form form = asked->form, own;
    if (tare_quantizing_stays(q, model, job, rule))
        return floats;
    if (rule)
        return *(const struct tare_mlx_form *)rule->own;
    if (job->flat.shape[job->flat.rank - 1] % form.group_size)
        return floats;
    if (asked->recipe)
        return tare_mlx_mixed(asked, path);
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
    const struct tare_mlx_form form = form_of(tare_quantizing_of(layout), model, job, path);
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

/* ---- what was asked for ------------------------------------------------------------------------------------------ */

/* A mode with other bits or another group than its own (0: its own), or why it has none. */
static enum tare_code check_form(struct tare_mlx_form *form, int bits, int64_t group, struct tare_error *err)
{
    const bool affine = form->mode == TARE_MLX_AFFINE;
    if (bits && (affine ? !tare_mlx_bits(bits) : form->bits != bits))
        return tare_fail(err, TARE_E_ARGUMENT, tare_mlx_mode_word(form->mode), "has no %d bits; %s", bits,
                         affine ? "it has 2, 3, 4, 5, 6 and 8" : "leave the bits out, it has one number of them");
    if (group && (affine ? group != 32 && group != 64 && group != 128 : group != form->group_size))
        return tare_fail(err, TARE_E_ARGUMENT, tare_mlx_mode_word(form->mode), "has no groups of %lld; %s",
                         (long long)group, affine ? "it has 32, 64 and 128" : "leave the group out, it has one size");
    form->bits = bits ? bits : form->bits;
    form->group_size = group ? group : form->group_size;
    return TARE_OK;
}

static enum tare_code begin_target(struct tare_quantizing *q, struct tare_error *err)
{
    const struct tare_quantize_options *options = q->options;
    struct tare_mlx_asked *asked = q->own = tare_arena_alloc(&q->arena, sizeof *asked);
    const int mode = tare_quantizing_word(tare_quantize_mode, options->mode);
    if (!asked)
        return tare_fail_memory(err);
    if (mode < 0)
        return tare_fail(err, TARE_E_ARGUMENT, options->mode,
                         "is no mode of mlx; there are affine, mxfp4, mxfp8 and nvfp4");
    *asked = (struct tare_mlx_asked){.form = tare_mlx_mode_form((size_t)mode), .recipe = options->recipe};
    if (options->recipe && tare_quantizing_word(tare_quantize_recipe, options->recipe) < 0)
        return tare_fail(err, TARE_E_ARGUMENT, options->recipe,
                         "is no recipe of mlx-lm; there are mixed_2_6, mixed_3_4, mixed_3_6 and mixed_4_6");
    if (options->recipe && (asked->form.mode != TARE_MLX_AFFINE || options->bits))
        return tare_fail(err, TARE_E_ARGUMENT, options->recipe,
                         "says how many bits of affine each module has; leave out bits and mode");
    q->base = &tare_format_mlx;
    q->format = tare_format_mlx;
    q->format.begin = begin;
    q->format.lay_out = lay_out;
    q->format.tile = tile;
    return check_form(&asked->form, options->bits, options->group, err);
}

/* "8", "8:32" (affine, of the group that all have, or its own), "mxfp4". */
static enum tare_code read_rule(struct tare_quantizing *q, struct tare_quantize_rule *rule, struct tare_error *err)
{
    const struct tare_mlx_asked *asked = q->own;
    struct tare_mlx_form *form = tare_arena_alloc(&q->arena, sizeof *form);
    const int mode = tare_quantizing_word(tare_quantize_mode, rule->form);
    if (!form)
        return tare_fail_memory(err);
    rule->own = form;
    if (mode >= 0) {
        *form = tare_mlx_mode_form((size_t)mode);
        return TARE_OK;
    }
    char *end;
    const long bits = strtol(rule->form, &end, 10);
    const bool grouped = *end == ':';
    const long group = grouped ? strtol(end + 1, &end, 10) : 0;
    if (*end || bits < 1 || bits > 8 || (grouped && (group < 1 || group > 1024)))
        return tare_fail(err, TARE_E_ARGUMENT, rule->form,
                         "is no form of mlx; it is bits (8), bits and group (8:32), a mode (mxfp4) or float");
    *form = tare_mlx_mode_form(0);
    if (asked->form.mode == TARE_MLX_AFFINE)
        form->group_size = asked->form.group_size;
    return check_form(form, (int)bits, group, err);
}

const struct tare_quantize_target tare_quantize_target_mlx = {
    .name = "mlx",
    .takes = TARE_TAKES_BITS | TARE_TAKES_GROUP | TARE_TAKES_MODE | TARE_TAKES_RECIPE,
    .begin = begin_target,
    .rule = read_rule,
};
