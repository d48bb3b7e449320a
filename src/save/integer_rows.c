/* SPDX-License-Identifier: MIT
 * integer_rows.c - rows of a packed module as codes, zeros and scales, for the formats that keep all three. */
#include "save/integer_rows.h"

#include <math.h>
#include <string.h>

#include "packing/fault.h"
#include "packing/mlx/to_mlx.h"

#define TILE_BYTES 4194304.0 /* of the words of a tile */
#define ALIGNED 32           /* rows of a tile are a multiple of it: 32 fields of any size fill whole words */

/* Why the format cannot hold the module, or NULL. Texts live in the arena. */
static const char *refusal_of(const struct tare_job *job, const struct tare_integer_limits *limits,
                              struct tare_arena *arena)
{
    const struct tare_module *module = job->module;
    const char *format = limits->format;
    if (module->packing->codes != TARE_CODE_INTEGER)
        return tare_arena_format(arena, "codes of %s are floats, those of %s integers", module->packing->name, format);
    if (module->packing->floats)
        return tare_arena_format(
            arena,
            "the values of %s are rounded more than once, so no scale and zero of %s give them to the "
            "last bit",
            module->packing->name, format);
    if (module->rank != 2)
        return tare_arena_format(arena, "experts are stacked in one tensor, which %s has no form for", format);
    if (module->by_rows)
        return tare_arena_format(arena, "an embedding packed along its rows, which tare writes as floats only");
    if (!limits->embeddings && job->kind == TARE_KIND_EMBEDDING)
        return tare_arena_format(arena, "a packed embedding: %s packs linear layers only", format);
    if (module->bits < 1 || module->bits > 8 || !(limits->bits & 1u << module->bits))
        return tare_arena_format(arena, "%s has no %d bits", format, module->bits);
    if (module->act_order && !limits->order)
        return tare_arena_format(arena, "its columns are in act-order (g_idx), which %s has no form for", format);
    if (!module->act_order && !tare_module_even(module))
        return tare_arena_format(arena,
                                 "its last group is short (%lld columns, group_size %lld), which %s does not have",
                                 (long long)tare_module_columns(module), (long long)module->group_size, format);
    if (module->shape[0] % limits->rows || module->shape[1] % limits->columns)
        return tare_arena_format(arena, "it is (%lld, %lld); %d bits of %s need multiples of (%lld, %lld)",
                                 (long long)module->shape[0], (long long)module->shape[1], module->bits, format,
                                 (long long)limits->rows, (long long)limits->columns);
    return NULL;
}

/* Rows are held to it when they are read. */
enum tare_code tare_integer_add(struct tare_layout *layout, const struct tare_job *job, const int64_t words[2],
                                const int64_t zeros[2], const int64_t scales[2], struct tare_error *err)
{
    struct tare_arena *arena = &layout->arena;
    const char *path = tare_job_path(job, arena);
    enum tare_code code = tare_layout_add(layout, TARE_PART_WEIGHT, tare_arena_format(arena, "%s.qweight", path),
                                          TARE_I32, 2, words, err);
    if (!code)
        code = tare_layout_add(layout, TARE_PART_ZEROS, tare_arena_format(arena, "%s.qzeros", path), TARE_I32, 2, zeros,
                               err);
    if (!code)
        code = tare_layout_add(layout, TARE_PART_SCALES, tare_arena_format(arena, "%s.scales", path), job->target.dtype,
                               2, scales, err);
    return code;
}

bool tare_said_symmetric(const struct tare_model *model, const struct tare_module *module)
{
    if (module->packing->biases || module->packing->uncentered)
        return false;
    if (!module->part[TARE_PART_ZEROS])
        return true;
    return model->quant.method == TARE_METHOD_GPTQ ? model->quant.gptq.sym == 1
                                                   : model->quant.method == TARE_METHOD_AWQ && !model->quant.zero_point;
}

enum tare_code tare_integer_lay_out(struct tare_layout *layout, struct tare_model *model, struct tare_job *job,
                                    const struct tare_convert_options *options,
                                    const struct tare_integer_limits *limits, bool *packed, struct tare_error *err)
{
    const struct tare_module *module = job->module;
    *packed = module->packing != &tare_packing_plain && !tare_dense_asked(model->options.dequantize, job->name);
    if (!*packed)
        return tare_lay_out_dense(layout, model, job, options, err);
    const char *refusal = refusal_of(job, limits, &layout->arena);
    if (refusal)
        return tare_fail(err, TARE_E_TARGET, job->name,
                         "%s; --dequantize=MODULE writes it as floats, --to dense all of them", refusal);
    job->target = (struct tare_target){.packed = true,
                                       .mode = TARE_MLX_AFFINE,
                                       .dtype = tare_dtype_wanted(options, module->dtype),
                                       .bits = module->bits,
                                       .group_size = module->group_size};
    job->symmetric = tare_said_symmetric(model, module);
    int64_t step = (int64_t)(TILE_BYTES / ((double)module->shape[1] * module->bits / 8));
    step -= step % TARE_BLOCK_ROWS;
    tare_job_cut_rows(job, step > TARE_BLOCK_ROWS ? step : module->shape[1] < 65536 ? TARE_BLOCK_ROWS : ALIGNED);
    return TARE_OK;
}

int64_t tare_integer_group_size(const struct tare_layout *layout)
{
    for (size_t k = 0; k < layout->n_jobs; k++) {
        const struct tare_job *job = &layout->jobs[k];
        if (job->target.packed && job->target.group_size != job->module->shape[1])
            return layout->usual.group_size;
    }
    return -1;
}

bool tare_integer_symmetric(const struct tare_layout *layout)
{
    for (size_t k = 0; k < layout->n_jobs; k++)
        if (layout->jobs[k].target.packed && !layout->jobs[k].symmetric)
            return false;
    return true;
}

bool tare_integer_dense_paths(const struct tare_layout *layout, bool (*visit)(void *user, const char *path), void *user)
{
    struct tare_arena work = {0};
    bool done = true;
    for (size_t k = 0; done && k < layout->n_jobs; k++) {
        const struct tare_job *job = &layout->jobs[k];
        const char *path = tare_job_path(job, &work);
        if (!job->target.packed && job->module->rank == 2 && path != job->name &&
            (job->kind == TARE_KIND_LINEAR || job->kind == TARE_KIND_EXPERTS))
            done = visit(user, path);
    }
    done = done && !work.failed;
    tare_arena_release(&work);
    return done;
}

const char *tare_integer_pattern(struct tare_arena *arena, char sign, const char *path)
{
    char *pattern = tare_arena_alloc(arena, 2 * strlen(path) + 8), *to = pattern;
    if (!pattern)
        return NULL;
    *to++ = sign;
    *to++ = ':';
    *to++ = '^';
    for (; *path; path++) {
        if (strchr(".^$*+?()[]{}|\\", *path))
            *to++ = '\\';
        *to++ = *path;
    }
    *to++ = '$';
    *to = 0;
    return pattern;
}

struct rules {
    json_t *rules;
    struct tare_arena *work;
};

static bool skip(void *user, const char *path)
{
    const struct rules *to = user;
    if (!strcmp(path, "lm_head")) /* a key of its own says so */
        return true;
    const char *pattern = tare_integer_pattern(to->work, '-', path);
    return pattern && !json_object_set_new(to->rules, pattern, json_object());
}

bool tare_integer_skip_rules(const struct tare_layout *layout, json_t *rules, struct tare_arena *work)
{
    struct rules to = {rules, work};
    return tare_integer_dense_paths(layout, skip, &to);
}

enum tare_code tare_integer_begin(const struct tare_job *job, struct tare_worker *worker,
                                  struct tare_integer_rows *rows, struct tare_error *err)
{
    const size_t most = TARE_BLOCK_ROWS, groups = most * (size_t)tare_module_groups(job->module);
    *rows = (struct tare_integer_rows){
        .code = tare_arena_array(&worker->arena, most, (size_t)job->module->shape[1]),
        .scale = tare_arena_array(&worker->arena, groups, sizeof *rows->scale),
        .offset = tare_arena_array(&worker->arena, groups, sizeof *rows->offset),
        .zero = tare_arena_array(&worker->arena, groups, sizeof *rows->zero),
    };
    return rows->code && rows->scale && rows->offset && rows->zero ? TARE_OK : tare_fail_memory(err);
}

int tare_zero_of_bias(float scale, float bias, enum tare_dtype dtype, int most)
{
    const float zero = scale == 0 ? 0 : rintf(-bias / scale);
    if (!(zero >= 0 && zero <= (float)most) || tare_float_round(dtype, -zero * scale) != bias)
        return -1;
    return (int)zero;
}

/* The zero that follows from an offset; -1: none, and err says why. */
static int zero_of(const struct tare_job *job, int64_t row, int64_t group, float scale, float offset,
                   struct tare_error *err)
{
    const struct tare_module *module = job->module;
    const int most = (1 << module->bits) - 1, middle = 1 << (module->bits - 1);
    const int zero = module->packing->biases ? tare_zero_of_bias(scale, offset, module->dtype, most)
                     : offset >= 0 && offset <= (float)most && offset == truncf(offset) ? (int)offset
                                                                                        : -1;
    if (zero < 0 && module->packing->biases)
        tare_fail(
            err, TARE_E_TARGET, job->name,
            "row %lld, group %lld: the bias %.9g is no whole multiple, 0 to %d, of the scale %.9g, so there is no "
            "zero for it; --to dense writes floats",
            (long long)row, (long long)group, (double)offset, most, (double)scale);
    else if (zero < 0)
        tare_fail(err, TARE_E_TARGET, job->name, "row %lld, group %lld: zero %g is no whole number of %d bits",
                  (long long)row, (long long)group, (double)offset, module->bits);
    else if (job->symmetric && zero != middle)
        tare_fail(err, TARE_E_CONFIG, job->name,
                  "row %lld, group %lld: config.json says symmetric, but this zero is %d, not %d; " TARE_REMEDY,
                  (long long)row, (long long)group, zero, middle);
    else
        return zero;
    return -1;
}

enum tare_code tare_integer_read(const struct tare_job *job, int64_t row, int64_t n, struct tare_integer_rows *rows,
                                 struct tare_error *err)
{
    const struct tare_module *module = job->module;
    const enum tare_dtype dtype = job->target.dtype;
    const int64_t groups = tare_module_groups(module);
    struct tare_codes codes = {rows->code, rows->scale, rows->offset};
    struct tare_error why = {0};
    rows->row = row;
    rows->n = n;
    module->packing->decode(module, job->parts[0], row, n, &codes);
    for (int64_t k = 0; k < n * groups; k++) {
        const float scale = rows->scale[k];
        const int zero = zero_of(job, row + k / groups, k % groups, scale, rows->offset[k], &why);
        if (zero < 0) {
            if (err)
                *err = why;
            return why.code;
        }
        if (dtype != module->dtype && !isnan(scale) && tare_float_round(dtype, scale) != scale)
            return tare_fail(err, TARE_E_TARGET, job->name,
                             "row %lld, group %lld: the scale %.9g is no %s; without --dtype scales keep theirs",
                             (long long)(row + k / groups), (long long)(k % groups), (double)scale,
                             tare_dtype_name(dtype));
        rows->zero[k] = (uint8_t)zero;
    }
    return TARE_OK;
}

void tare_integer_put_scales(const struct tare_job *job, const struct tare_integer_rows *rows, int64_t first,
                             int64_t width, void *to)
{
    const int64_t groups = tare_module_groups(job->module);
    for (int64_t r = 0; r < rows->n; r++)
        for (int64_t g = 0; g < groups; g++)
            tare_float_put(to, job->target.dtype, g * width + rows->row - first + r, rows->scale[r * groups + g]);
}
