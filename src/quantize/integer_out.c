/* SPDX-License-Identifier: MIT
 * integer_out.c - what the targets awq, gptq, gptq_v2 and compressed-tensors share: which modules become codes, and the
 * module of codes that stands in the place of one of floats while the format of tare_convert() writes it.
 *
 * Linear layers are quantized, as the reference programs have it, and not the embedding, the head, and what chooses
 * experts. Source: docs/quantizing.md.
 */
#include "quantize/integer_out.h"

#include <stdlib.h>
#include <string.h>

#include "base/locale.h"
#include "models/model.h"
#include "packing/packing.h"
#include "quantize/calibrate/calibrate.h"
#include "quantize/linear_out.h"
#include "save/integer_rows.h"

#define LENGTH 512 /* ids of a sequence: what AutoAWQ takes */
#define DAMP 0.01
#define GROUP 128
#define ROW (-1) /* options->group: one group a row */

/* ---- the module of codes --------------------------------------------------------------------------------------- */

/* module->notes of the module that stands in. */
struct rounded {
    struct tare_integer_form form;
    enum tare_dtype stored;           /* of the floats, which are part[TARE_PART_WEIGHT] */
    const struct tare_outcome *found; /* NULL: they are rounded */
};

static void take_found(const struct rounded *r, int64_t columns, int64_t groups, int64_t row, int64_t rows,
                       struct tare_codes *codes)
{
    for (int64_t k = 0; k < rows; k++) {
        tare_outcome_unpack(r->found->codes + (size_t)(row + k) * tare_outcome_row(columns, r->form.bits), r->form.bits,
                            columns, codes->code + k * columns);
        for (int64_t g = 0; g < groups; g++) {
            codes->scale[k * groups + g] = r->found->scale[(row + k) * groups + g];
            codes->offset[k * groups + g] = (float)r->found->zero[(row + k) * groups + g];
        }
    }
}

static void decode(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                   struct tare_codes *codes)
{
    const struct rounded *r = module->notes;
    const int64_t columns = module->shape[1], size = module->group_size, groups = tare_module_groups(module);
    const int most = (1 << r->form.bits) - 1;
    if (r->found) {
        take_found(r, columns, groups, row, rows, codes);
        return;
    }
    for (int64_t k = 0; k < rows * groups; k++) {
        float low = 0, high = 0;
        const int64_t first = (row + k / groups) * columns + k % groups * size,
                      to = k / groups * columns + k % groups * size;
        for (int64_t i = 0; i < size; i++) {
            const float w = tare_float_at(part[TARE_PART_WEIGHT], r->stored, first + i);
            low = w < low ? w : low;
            high = w > high ? w : high;
        }
        const struct tare_integer_grid grid = tare_integer_grid_of(&r->form, module->dtype, low, high);
        const float inverse = 1 / grid.scale;
        for (int64_t i = 0; i < size; i++)
            codes->code[to + i] = (uint8_t)tare_integer_grid_code(
                &grid, most, inverse, tare_float_at(part[TARE_PART_WEIGHT], r->stored, first + i));
        codes->scale[k] = grid.scale;
        codes->offset[k] = (float)grid.zero;
    }
}

/* Zeros in the middle are left out by formats that can; tare_said_symmetric() tells the two by `uncentered`. */
static const struct tare_packing rounding[2] = {
    {.name = "floats, rounded", .uncentered = true, .codes = TARE_CODE_INTEGER, .rowwise = true, .decode = decode},
    {.name = "floats, rounded", .codes = TARE_CODE_INTEGER, .rowwise = true, .decode = decode},
};

/* ---- which modules --------------------------------------------------------------------------------------------- */

static int by_module(const void *a, const void *b)
{
    const struct tare_integer_place *x = a, *y = b;
    return x->module == y->module ? 0 : x->module < y->module ? -1 : 1;
}

enum tare_code tare_integer_places(struct tare_integer_asked *asked, const struct tare_model *model,
                                   struct tare_error *err)
{
    asked->places = calloc(model->tree.n + 1, sizeof *asked->places);
    if (!asked->places)
        return tare_fail_memory(err);
    for (size_t k = 0; k < model->tree.n; k++) {
        const struct tare_parameter *p = model->tree.parameters[k];
        if (p->active && p->entry && p->entry->recipe->op == TARE_OP_TAKE)
            asked->places[asked->n_places++] = (struct tare_integer_place){p->entry->recipe->module, p};
    }
    if (asked->n_places)
        qsort(asked->places, asked->n_places, sizeof *asked->places, by_module);
    return TARE_OK;
}

const struct tare_parameter *tare_integer_parameter(const struct tare_integer_asked *asked,
                                                    const struct tare_module *module)
{
    const struct tare_integer_place key = {.module = module};
    const struct tare_integer_place *found =
        asked->n_places ? bsearch(&key, asked->places, asked->n_places, sizeof key, by_module) : NULL;
    return found ? found->parameter : NULL;
}

/* A matrix (out, in) as it lies in the file: no part of a parameter, and not turned as Conv1D is. */
static bool is_linear(const struct tare_integer_asked *asked, const struct tare_model *model,
                      const struct tare_job *job)
{
    const struct tare_head *head = &model->tree.head;
    const struct tare_parameter *p = tare_integer_parameter(asked, job->module);
    return job->module->rank == 2 && (job->kind == TARE_KIND_LINEAR || job->kind == TARE_KIND_EXPERTS) &&
           tare_dtype_is_float(job->module->dtype) && !job->turned && (p || job->kind == TARE_KIND_EXPERTS) &&
           !(p && (p == head->weight || p == head->embedding)) && !tare_linear_chooses(model, p);
}

enum tare_code tare_integer_form_of(struct tare_quantizing *q, const struct tare_model *model,
                                    const struct tare_job *job, struct tare_integer_form *form, struct tare_error *err)
{
    const struct tare_integer_asked *asked = q->own;
    const struct tare_module *module = job->module;
    *form = (struct tare_integer_form){0};
    if (!is_linear(asked, model, job))
        return TARE_OK;
    const struct tare_quantize_rule *rule = tare_quantizing_rule(q, job, NULL);
    struct tare_integer_form wanted = rule && rule->own ? *(const struct tare_integer_form *)rule->own : asked->form;
    const struct tare_integer_limits limits = q->base->limits(wanted.bits);
    if (tare_quantizing_stays(q, model, job, rule) || module->shape[0] % limits.rows ||
        module->shape[1] % limits.columns)
        return TARE_OK;
    if (wanted.group_size && module->shape[1] % wanted.group_size)
        return tare_fail(err, TARE_E_TARGET, module->name,
                         "its %lld columns are no multiple of the group, %lld; ask for another --group, or for floats "
                         "by a --rule",
                         (long long)module->shape[1], (long long)wanted.group_size);
    *form = wanted;
    return TARE_OK;
}

enum tare_dtype tare_integer_dtype(const struct tare_quantize_options *options, enum tare_dtype stored)
{
    struct tare_convert_options convert = TARE_CONVERT_OPTIONS_INIT;
    convert.dtype = options->dtype;
    return tare_dtype_wanted(&convert, stored == TARE_BF16 ? TARE_BF16 : TARE_F16);
}

/* ---- the format ------------------------------------------------------------------------------------------------ */

static const char *say_form(const struct tare_integer_asked *asked, struct tare_arena *arena, char group[32])
{
    const struct tare_integer_form *form = &asked->form;
    tare_format(group, 32, form->group_size ? "group size %lld" : "a group a row", (long long)form->group_size);
    return tare_arena_format(arena, "%d bits, %s, %s", form->bits, group, form->symmetric ? "symmetric" : "asymmetric");
}

static enum tare_code begin(struct tare_layout *layout, struct tare_model *model,
                            const struct tare_convert_options *options, struct tare_error *err)
{
    struct tare_quantizing *q = tare_quantizing_of(layout);
    struct tare_integer_asked *asked = q->own;
    char group[32], sum[33] = "";
    (void)options;
    enum tare_code code = tare_integer_places(asked, model, err);
    if (!code && q->options->calibrate)
        code = tare_calibrate(q, layout, model, sum, err);
    if (code)
        return code;
    const char *words = say_form(asked, &layout->arena, group);
    if (q->options->calibrate && words)
        words = tare_arena_format(&layout->arena, "%s, by %s on a text (%s)", words,
                                  asked->method == TARE_BY_AWQ ? "AWQ" : "GPTQ", sum);
    return tare_quantizing_say(layout, words, err);
}

/* The plain numbers that stand in the place of a norm's or a bias's. */
static enum tare_code replace_vector(struct tare_layout *layout, struct tare_job *job, const float *vector,
                                     struct tare_error *err)
{
    const struct tare_module *module = job->module;
    void *bytes = tare_arena_array(&layout->arena, (size_t)module->shape[0], tare_dtype_size(module->dtype));
    if (!bytes)
        return tare_fail_memory(err);
    tare_floats_put(bytes, module->dtype, vector, module->shape[0]);
    job->parts[0][TARE_PART_WEIGHT] = bytes;
    job->way = TARE_WAY_ONE;
    return TARE_OK;
}

/* A module of codes in the place of the job's. */
static enum tare_code stand_in(struct tare_layout *layout, struct tare_job *job, const struct tare_integer_form *form,
                               const struct tare_outcome *found, struct tare_error *err)
{
    const struct tare_quantizing *q = tare_quantizing_of(layout);
    struct tare_module *module = tare_arena_array(&layout->arena, 1, sizeof *module);
    struct rounded *notes = tare_arena_array(&layout->arena, 1, sizeof *notes);
    if (!module || !notes)
        return tare_fail_memory(err);
    *notes = (struct rounded){.form = *form, .stored = job->module->dtype, .found = found};
    *module = *job->module;
    module->packing = &rounding[form->symmetric];
    module->packed = true;
    module->bits = form->bits;
    module->group_size = form->group_size ? form->group_size : module->shape[1];
    module->dtype = tare_integer_dtype(q->options, job->module->dtype);
    module->notes = notes;
    if (found && found->g_idx) {
        module->act_order = true;
        job->parts[0][TARE_PART_G_IDX] = found->g_idx;
    }
    job->module = module;
    job->way = TARE_WAY_ONE;
    return TARE_OK;
}

static enum tare_code lay_out(struct tare_layout *layout, struct tare_model *model, struct tare_job *job,
                              const struct tare_convert_options *options, struct tare_error *err)
{
    struct tare_quantizing *q = tare_quantizing_of(layout);
    const struct tare_integer_asked *asked = q->own;
    struct tare_integer_form form;
    enum tare_code code = tare_quantizing_floats(job, err);
    if (code || (code = tare_integer_form_of(q, model, job, &form, err)))
        return code;
    const struct tare_parameter *p = tare_integer_parameter(asked, job->module);
    const struct tare_outcome *found = p && asked->calibration ? &asked->calibration->found[p->index] : NULL;
    if (form.bits)
        code = stand_in(layout, job, &form, found && found->codes ? found : NULL, err);
    else if (found && found->vector)
        code = replace_vector(layout, job, found->vector, err);
    return code ? code : q->base->lay_out(layout, model, job, options, err);
}

/* Floats that are rounded here must be finite; the format does not ask. */
static enum tare_code check_rows(const struct tare_job *job, const struct tare_box *box, struct tare_worker *worker,
                                 struct tare_error *err)
{
    const struct rounded *r = job->module->notes;
    const int64_t columns = job->shape[1];
    float *row = r->found ? NULL : tare_buffer_room(&worker->floats, (size_t)columns * sizeof *row);
    enum tare_code code = r->found || row ? TARE_OK : tare_fail_memory(err);
    for (int64_t k = box->low[0]; row && k < box->high[0] && !code; k++) {
        for (int64_t i = 0; i < columns; i++)
            row[i] = tare_float_at(job->parts[0][TARE_PART_WEIGHT], r->stored, k * columns + i);
        code = tare_quantizing_finite(job, row, columns, k, err);
    }
    return code;
}

static enum tare_code tile(const struct tare_layout *layout, const struct tare_job *job, const struct tare_box *box,
                           struct tare_worker *worker, uint64_t *bytes, struct tare_error *err)
{
    const enum tare_code code = check_rows(job, box, worker, err);
    return code ? code : tare_quantizing_of(layout)->base->tile(layout, job, box, worker, bytes, err);
}

/* ---- the targets ----------------------------------------------------------------------------------------------- */

static enum tare_code check_form(const struct tare_quantizing *q, const struct tare_integer_form *form,
                                 struct tare_error *err)
{
    const struct tare_integer_limits limits = q->base->limits(form->bits);
    if (form->bits < 2 || form->bits > 8 || !(limits.bits & 1u << form->bits))
        return tare_fail(err, TARE_E_ARGUMENT, q->target->name, "has no %d bits", form->bits);
    if (form->group_size < 0)
        return tare_fail(err, TARE_E_ARGUMENT, q->target->name, "has no groups of %lld columns",
                         (long long)form->group_size);
    return TARE_OK;
}

static const char *const methods[] = {"awq", "gptq", NULL};
static const char *const orders[] = {"static", "none", "full", NULL};
static const char *const schemes[] = {"symmetric", "asymmetric", NULL};

/* The index of a word of a list; NULL is `usual`, and -1 means that there is no such word. */
static int word_of(const char *const *words, const char *word, int usual)
{
    for (int k = 0; word && words[k]; k++)
        if (!strcmp(words[k], word))
            return k;
    return word ? -1 : usual;
}

static enum tare_code read_calibration(const struct tare_quantizing *q, struct tare_integer_asked *asked, bool is_awq,
                                       struct tare_error *err)
{
    const struct tare_quantize_options *o = q->options;
    const int method = word_of(methods, o->method, is_awq ? TARE_BY_AWQ : TARE_BY_GPTQ);
    const int order = word_of(orders, o->act_order, TARE_ORDER_STATIC);
    if (method < 0)
        return tare_fail(err, TARE_E_ARGUMENT, o->method, "is no method of calibrating; there are awq and gptq");
    if (order < 0)
        return tare_fail(err, TARE_E_ARGUMENT, o->act_order, "is no order of columns; there are static, none and full");
    if (!o->calibrate && (o->method || o->act_order || o->calibrate_length))
        return tare_fail(err, TARE_E_ARGUMENT, o->method ? o->method : "act_order",
                         "is of calibrating, and there is no text to calibrate on");
    if (o->act_order && method == TARE_BY_AWQ)
        return tare_fail(err, TARE_E_ARGUMENT, o->act_order, "is an order of GPTQ's; AWQ has none");
    if (order == TARE_ORDER_FULL && !q->base->limits(asked->form.bits).order)
        return tare_fail(err, TARE_E_ARGUMENT, q->target->name,
                         "has no form for groups that are no runs of columns; act-order static has them");
    if (o->calibrate_length < 0)
        return tare_fail(err, TARE_E_ARGUMENT, "calibrate_length", "is negative");
    asked->method = (enum tare_calibrate_method)method;
    asked->order = (enum tare_act_order)order;
    asked->length = o->calibrate_length ? o->calibrate_length : LENGTH;
    asked->damp = DAMP;
    return TARE_OK;
}

static enum tare_code begin_target(struct tare_quantizing *q, const struct tare_save_format *base,
                                   struct tare_error *err)
{
    const bool is_awq = base == &tare_format_awq;
    struct tare_integer_asked *asked = tare_arena_array(&q->arena, 1, sizeof *asked);
    if (!asked)
        return tare_fail_memory(err);
    const int scheme = word_of(schemes, q->options->scheme, is_awq);
    q->own = asked;
    q->base = base;
    q->format = *base;
    q->format.begin = begin;
    q->format.lay_out = lay_out;
    q->format.tile = tile;
    if (scheme < 0)
        return tare_fail(err, TARE_E_ARGUMENT, q->options->scheme, "is no scheme; there are symmetric and asymmetric");
    if (is_awq && scheme == 0)
        return tare_fail(err, TARE_E_ARGUMENT, "awq", "is asymmetric: its readers want zeros");
    asked->form = (struct tare_integer_form){.bits = q->options->bits ? q->options->bits : 4,
                                             .group_size = q->options->group ? q->options->group : GROUP,
                                             .symmetric = scheme == 0,
                                             .least = base == &tare_format_gptq};
    if (asked->form.group_size == ROW)
        asked->form.group_size = 0;
    const enum tare_code code = check_form(q, &asked->form, err);
    return code ? code : read_calibration(q, asked, is_awq, err);
}

/* "8", or "8:32". */
static enum tare_code rule(struct tare_quantizing *q, struct tare_quantize_rule *rule, struct tare_error *err)
{
    const struct tare_integer_asked *asked = q->own;
    struct tare_integer_form *form = tare_arena_array(&q->arena, 1, sizeof *form);
    if (!form)
        return tare_fail_memory(err);
    char *end = NULL;
    *form = asked->form;
    const long bits = strtol(rule->form, &end, 10);
    const long group = *end == ':' ? strtol(end + 1, &end, 10) : (long)form->group_size;
    if (end == rule->form || *end || bits < 2 || bits > 8 || group < 0 || group > 1 << 20)
        return tare_fail(err, TARE_E_ARGUMENT, rule->form,
                         "is no form of %s; there are bits, \"8\", and bits and group, \"8:32\"", q->target->name);
    form->bits = (int)bits;
    form->group_size = group;
    rule->own = form;
    return check_form(q, form, err);
}

static void release(struct tare_quantizing *q)
{
    struct tare_integer_asked *asked = q->own;
    if (!asked)
        return;
    tare_calibration_free(asked->calibration);
    free(asked->places);
}

#define INTEGER_TARGET(id, word)                                                                                       \
    static enum tare_code begin_##id(struct tare_quantizing *q, struct tare_error *err)                                \
    {                                                                                                                  \
        return begin_target(q, &tare_format_##id, err);                                                                \
    }                                                                                                                  \
    const struct tare_quantize_target tare_quantize_target_##id = {                                                    \
        .name = word,                                                                                                  \
        .takes = TARE_TAKES_BITS | TARE_TAKES_GROUP | TARE_TAKES_CALIBRATE | TARE_TAKES_SCHEME,                        \
        .begin = begin_##id,                                                                                           \
        .rule = rule,                                                                                                  \
        .release = release,                                                                                            \
    }
INTEGER_TARGET(awq, "awq");
INTEGER_TARGET(gptq, "gptq");
INTEGER_TARGET(gptq_v2, "gptq_v2");
INTEGER_TARGET(compressed_tensors, "compressed-tensors");
