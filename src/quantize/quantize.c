/* SPDX-License-Identifier: MIT
 * quantize.c - tare_quantize: what the options ask for, as a format of output for one call. Start reading here.
 */
#include <math.h>
#include <string.h>

#include "base/sized.h"
#include "quantize/quantizing.h"

static const enum tare_dtype types[] = {TARE_Q4_0, TARE_Q4_1, TARE_Q5_0, TARE_Q5_1, TARE_Q8_0, TARE_Q6_K};

/* What MLX's modes have by themselves; affine takes other bits and groups. */
static const struct tare_mlx_form modes[] = {
    {TARE_MLX_AFFINE, 4, 64}, {TARE_MLX_MXFP4, 4, 32}, {TARE_MLX_MXFP8, 8, 32}, {TARE_MLX_NVFP4, 4, 16}};

const char *tare_quantize_format(size_t index)
{
    static const char *const names[] = {"mlx", "gguf"};
    return index < sizeof names / sizeof *names ? names[index] : NULL;
}

const char *tare_quantize_mode(size_t index)
{
    return index < sizeof modes / sizeof *modes ? tare_mlx_mode_word(modes[index].mode) : NULL;
}

const char *tare_quantize_type(size_t index)
{
    return index < sizeof types / sizeof *types ? tare_dtype_name(types[index]) : NULL;
}

const char *tare_quantize_recipe(size_t index)
{
    return tare_mlx_recipe(index);
}

/* The index of a word in one of these lists, or -1; NULL: the first. */
static int index_of(const char *(*word_at)(size_t index), const char *word)
{
    const char *known;
    for (int k = 0; (known = word_at((size_t)k)) != NULL; k++)
        if (!word || !strcmp(known, word))
            return k;
    return -1;
}

enum tare_code tare_quantizing_floats(const struct tare_job *job, struct tare_error *err)
{
    for (size_t k = 0; k < job->flat.n; k++) {
        const struct tare_module *module = job->flat.pieces[k].module;
        if (module->packing != &tare_packing_plain)
            return tare_fail(err, TARE_E_TARGET, module->name,
                             "is packed already (%s), and rounding it again would lose more; quantize the checkpoint "
                             "of floats that it was made from, or write it in another format with tare convert",
                             module->packing->name);
        if (module->dtype == TARE_F8_E4M3 || module->dtype == TARE_F8_E5M2)
            return tare_fail(err, TARE_E_TARGET, module->name,
                             "is %s, floats of 8 bits already; quantize the checkpoint that it was made from",
                             tare_dtype_name(module->dtype));
    }
    return TARE_OK;
}

enum tare_code tare_quantizing_finite(const struct tare_job *job, const float *values, int64_t n, int64_t row,
                                      struct tare_error *err)
{
    for (int64_t k = 0; k < n; k++)
        if (!isfinite(values[k]))
            return tare_fail(err, TARE_E_TARGET, job->name,
                             "row %lld, column %lld is %g, which has no nearest code; tare verify lists all such "
                             "numbers",
                             (long long)row, (long long)k, (double)values[k]);
    return TARE_OK;
}

/* MLX's form, from the mode's own and what was asked for. */
static enum tare_code read_form(struct tare_quantizing *q, const struct tare_quantize_options *options,
                                struct tare_error *err)
{
    const int mode = index_of(tare_quantize_mode, options->mode);
    if (mode < 0)
        return tare_fail(err, TARE_E_ARGUMENT, options->mode,
                         "is no mode of mlx; there are affine, mxfp4, mxfp8 and nvfp4");
    q->form = modes[mode];
    if (options->recipe && index_of(tare_quantize_recipe, options->recipe) < 0)
        return tare_fail(err, TARE_E_ARGUMENT, options->recipe,
                         "is no recipe of mlx-lm; there are mixed_2_6, mixed_3_4, mixed_3_6 and mixed_4_6");
    q->recipe = options->recipe;
    const bool affine = q->form.mode == TARE_MLX_AFFINE;
    if (options->recipe && (!affine || options->bits))
        return tare_fail(err, TARE_E_ARGUMENT, options->recipe,
                         "says how many bits of affine each module has; leave out bits and mode");
    q->form.bits = options->bits ? options->bits : q->form.bits;
    q->form.group_size = options->group ? options->group : q->form.group_size;
    if (affine ? !tare_mlx_bits(q->form.bits) : q->form.bits != modes[mode].bits)
        return tare_fail(err, TARE_E_ARGUMENT, tare_mlx_mode_word(q->form.mode), "has no %d bits; %s", options->bits,
                         affine ? "it has 2, 3, 4, 5, 6 and 8" : "leave the bits out, it has one number of them");
    const int64_t group = q->form.group_size;
    if (affine ? group != 32 && group != 64 && group != 128 : group != modes[mode].group_size)
        return tare_fail(err, TARE_E_ARGUMENT, tare_mlx_mode_word(q->form.mode), "has no groups of %lld; %s",
                         (long long)group, affine ? "it has 32, 64 and 128" : "leave the group out, it has one size");
    return TARE_OK;
}

static enum tare_code read_options(struct tare_quantizing *q, const struct tare_quantize_options *options,
                                   struct tare_error *err)
{
    const int format = index_of(tare_quantize_format, options->to);
    if (format < 0)
        return tare_fail(err, TARE_E_UNKNOWN, options->to, "is no format that tare quantizes to; there are mlx, gguf");
    if (!format) {
        tare_quantizing_mlx(q);
        return options->type || options->pure ? tare_fail(err, TARE_E_ARGUMENT, options->type ? options->type : "pure",
                                                          "is of gguf; mlx has bits, a group size, a mode or a recipe")
                                              : read_form(q, options, err);
    }
    const int type = index_of(tare_quantize_type, options->type);
    if (type < 0)
        return tare_fail(err, TARE_E_ARGUMENT, options->type,
                         "is no type that tare rounds to; there are Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 and Q6_K");
    if (options->bits || options->group || options->mode || options->recipe)
        return tare_fail(err, TARE_E_ARGUMENT, tare_quantize_type((size_t)type),
                         "says bits and group of gguf's blocks; bits, group, mode and recipe are of mlx");
    tare_quantizing_gguf(q);
    q->type = types[type];
    q->pure = options->pure;
    return TARE_OK;
}

enum tare_code tare_quantize(tare_model *model, const char *folder, const struct tare_quantize_options *given,
                             struct tare_error *err)
{
    struct tare_quantize_options options;
    struct tare_quantizing quantizing = {0};
    enum tare_code code = tare_sized_read(&options, sizeof options, given, "options", err);
    if (!code && options.summary)
        code = tare_sized_check(options.summary, "summary", err);
    if (code)
        return code;
    if (!model || !folder || !*folder || options.threads < 0)
        return tare_fail(err, TARE_E_ARGUMENT, "", "quantize needs a model and the name of a folder");
    if ((code = read_options(&quantizing, &options, err)))
        return code;
    struct tare_convert_options convert = TARE_CONVERT_OPTIONS_INIT;
    convert.threads = options.threads;
    convert.shard_size = options.shard_size;
    convert.progress = options.progress;
    convert.user = options.user;
    convert.dtype = options.dtype;
    convert.no_sums = options.no_sums;
    convert.summary = options.summary;
    convert.pool = options.pool;
    return tare_save(model, folder, &quantizing.format, &convert, err);
}

void tare_quantize_options_init(struct tare_quantize_options *options, size_t size)
{
    tare_sized_init(options, size);
}
