/* SPDX-License-Identifier: MIT
 * quantize.c - tare_quantize: what the options ask for, as a format of output for one call. Start reading here.
 */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "base/locale.h"
#include "base/sized.h"
#include "quantize/quantizing.h"

static const struct tare_quantize_target *const targets[] = {
#define TARGET(name) &tare_quantize_target_##name,
#include "quantize/quantize_targets.def"
#undef TARGET
};
#define N_TARGETS (sizeof targets / sizeof *targets)

/* The options that only some targets have. */
static const struct {
    enum tare_quantize_takes bit;
    const char *name;
    size_t at, size; /* in struct tare_quantize_options */
} particular[] = {
#define PARTICULAR(bit, field)                                                                                         \
    {                                                                                                                  \
        bit, #field, offsetof(struct tare_quantize_options, field), sizeof((struct tare_quantize_options *)0)->field   \
    }
    PARTICULAR(TARE_TAKES_BITS, bits),           PARTICULAR(TARE_TAKES_GROUP, group),
    PARTICULAR(TARE_TAKES_MODE, mode),           PARTICULAR(TARE_TAKES_RECIPE, recipe),
    PARTICULAR(TARE_TAKES_TYPE, type),           PARTICULAR(TARE_TAKES_PURE, pure),
    PARTICULAR(TARE_TAKES_CALIBRATE, calibrate), PARTICULAR(TARE_TAKES_CALIBRATE, method),
    PARTICULAR(TARE_TAKES_CALIBRATE, act_order), PARTICULAR(TARE_TAKES_CALIBRATE, calibrate_length),
    PARTICULAR(TARE_TAKES_SCHEME, scheme),
#undef PARTICULAR
};

const char *tare_quantize_format(size_t index)
{
    return index < N_TARGETS ? targets[index]->name : NULL;
}

const char *tare_quantize_type(size_t index)
{
    for (size_t k = 0; k < N_TARGETS; k++) {
        const char *word = NULL;
        size_t n = 0;
        for (; targets[k]->type && (word = targets[k]->type(n)) != NULL; n++)
            if (n == index)
                return word;
        index -= n;
    }
    return NULL;
}

int tare_quantizing_word(const char *(*word_at)(size_t index), const char *word)
{
    const char *known;
    for (int k = 0; (known = word_at((size_t)k)) != NULL; k++)
        if (!word || !strcmp(known, word))
            return k;
    return -1;
}

struct tare_quantizing *tare_quantizing_of(const struct tare_layout *layout)
{
    return (struct tare_quantizing *)(uintptr_t)layout->format;
}

enum tare_code tare_quantizing_say(struct tare_layout *layout, const char *form, struct tare_error *err)
{
    const struct tare_quantizing *q = tare_quantizing_of(layout);
    struct tare_text text = {0};
    tare_text_format(&text, "%s%s", form ? form : "", q->options->keep_head ? ", head as it is" : "");
    for (size_t k = 0; k < q->n_rules; k++)
        tare_text_format(&text, ", %s=%s", q->rules[k].pattern, q->rules[k].form);
    layout->rounding = form && !text.failed ? tare_arena_text(&layout->arena, text.data) : NULL;
    tare_text_release(&text);
    return layout->rounding ? TARE_OK : tare_fail_memory(err);
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

/* "mlx, gguf": the targets that take these options. */
static const char *list_targets(unsigned takes, char room[256])
{
    size_t at = 0;
    room[0] = 0;
    for (size_t k = 0; k < N_TARGETS && at < 256; k++)
        if ((targets[k]->takes & takes) == takes)
            at += (size_t)tare_format(room + at, 256 - at, "%s%s", at ? ", " : "", targets[k]->name);
    return room;
}

static enum tare_code check_taken(const struct tare_quantize_target *target,
                                  const struct tare_quantize_options *options, struct tare_error *err)
{
    char room[256];
    for (size_t k = 0; k < sizeof particular / sizeof *particular; k++) {
        const unsigned char *bytes = (const unsigned char *)options + particular[k].at;
        bool set = false;
        for (size_t i = 0; i < particular[k].size; i++)
            set |= bytes[i] != 0;
        if (set && !(target->takes & particular[k].bit))
            return tare_fail(err, TARE_E_ARGUMENT, particular[k].name, "is no option of %s; it is one of %s",
                             target->name, list_targets(particular[k].bit, room));
    }
    return TARE_OK;
}

static enum tare_code begin(struct tare_quantizing *q, const struct tare_quantize_options *options,
                            struct tare_error *err)
{
    const int number = tare_quantizing_word(tare_quantize_format, options->to);
    char room[256];
    if (number < 0)
        return tare_fail(err, TARE_E_UNKNOWN, options->to, "is no format that tare quantizes to; there are %s",
                         list_targets(0, room));
    q->options = options;
    q->target = targets[number];
    enum tare_code code;
    if ((code = check_taken(q->target, options, err)) || (code = q->target->begin(q, err)) ||
        (code = tare_quantizing_rules(q, err)))
        return code;
    q->format.settle = tare_quantizing_settle;
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
    struct tare_convert_options convert = TARE_CONVERT_OPTIONS_INIT;
    convert.threads = options.threads;
    convert.shard_size = options.shard_size;
    convert.progress = options.progress;
    convert.user = options.user;
    convert.dtype = options.dtype;
    convert.no_sums = options.no_sums;
    convert.summary = options.summary;
    convert.pool = options.pool;
    if (!(code = begin(&quantizing, &options, err)))
        code = tare_save(model, folder, &quantizing.format, &convert, err);
    if (quantizing.target && quantizing.target->release)
        quantizing.target->release(&quantizing);
    tare_arena_release(&quantizing.arena);
    return code;
}

void tare_quantize_options_init(struct tare_quantize_options *options, size_t size)
{
    tare_sized_init(options, size);
}
