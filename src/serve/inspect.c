/* SPDX-License-Identifier: MIT
 * inspect.c - the plan and the histograms of a module as JSON, for the page. */
#include "serve/inspect.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* Numbers that are read of a parameter, unless one row has more. */
    SAMPLE = 1 << 20,
    /* A row longer than this is refused, since rows are read whole. */
    LONGEST_ROW = 1 << 26,
    /* Rows that are read together: packings that lay eight rows in a word unpack them once. */
    TOGETHER = 8,
    BINS = 48,
    /* Zeros are counted one by one where they lie within so many whole numbers. */
    MOST_ZEROS = 256,
};

static void *no_memory(struct tare_error *err)
{
    if (err) {
        *err = (struct tare_error){.code = TARE_E_MEMORY};
        snprintf(err->text, sizeof err->text, "out of memory");
    }
    return NULL;
}

/* ---- the plan ---- */

static json_t *shape_json(int rank, const int64_t *shape)
{
    json_t *list = json_array();
    for (int i = 0; i < rank; i++)
        json_array_append_new(list, json_integer(shape[i]));
    return list;
}

static json_t *source_json(const struct tare_source_info *info)
{
    return json_pack("{s:s, s:s, s:o, s:s, s:I, s:I, s:s, s:s?}", "name", info->name, "dtype", info->dtype, "shape",
                     shape_json(info->rank, info->shape), "file", info->file, "offset", (json_int_t)info->offset,
                     "bytes", (json_int_t)info->bytes, "fate", info->fate, "rule", info->rule);
}

/* NULL when memory ran out. */
static json_t *sources_json(const tare_model *model)
{
    const size_t n = tare_model_sources(model, NULL, 0);
    struct tare_source_info *infos = calloc(n ? n : 1, sizeof *infos);
    json_t *list = json_array();
    if (infos && list) {
        infos[0].size = sizeof *infos;
        tare_model_sources(model, infos, n);
        for (size_t i = 0; i < n; i++)
            if (json_array_append_new(list, source_json(&infos[i])) != 0) {
                json_decref(list);
                list = NULL;
                break;
            }
    } else {
        json_decref(list);
        list = NULL;
    }
    free(infos);
    return list;
}

/* What cannot be read is null: the findings of the plan say why. */
static json_t *config_json(const tare_model *model)
{
    char *text = NULL;
    size_t size = 0;
    if (tare_model_file(model, "config.json", &text, &size, NULL) != TARE_OK)
        return json_null();
    json_t *config = json_loadb(text, size, JSON_ALLOW_NUL, NULL);
    tare_text_free(text);
    return config ? config : json_null();
}

char *serve_inspect_plan(const tare_model *model, const char *name)
{
    char *text = tare_model_json(model, true);
    json_t *plan = text ? json_loads(text, JSON_ALLOW_NUL, NULL) : NULL;
    tare_text_free(text);
    if (plan && name)
        json_object_set_new(plan, "model", json_string(name));
    json_t *all = json_object();
    char *made = NULL;
    /* The setters take over what they are given, also NULL, which they refuse. */
    if (json_object_set_new(all, "plan", plan) == 0 && json_object_set_new(all, "sources", sources_json(model)) == 0 &&
        json_object_set_new(all, "config", config_json(model)) == 0)
        made = json_dumps(all, JSON_COMPACT);
    json_decref(all);
    return made;
}

/* ---- one module ---- */

/* What was read of a parameter. */
struct sample {
    const struct tare_tensor_info *info;
    /* How many rows are read, `chunk` at a time. */
    int64_t rows;
    int64_t chunk;
    /* How often each code occurs. */
    uint64_t counts[256];
    /* One chunk of codes. */
    uint8_t *codes;
    /* (rows, groups): scales and what offsets say; of plain parameters `scales` has the numbers, (rows, columns). */
    float *scales;
    float *offsets;
};

/* The first row of chunk number i, so that the chunks are evenly spread from the first row to the last. */
static int64_t first_row(const struct sample *s, int64_t i)
{
    const int64_t chunks = s->rows / s->chunk;
    return chunks < 2 ? 0 : (s->info->rows - s->chunk) / (chunks - 1) * i;
}

static enum tare_code read_sample(struct sample *s, const tare_reader *reader, struct tare_error *err)
{
    const struct tare_tensor_info *info = s->info;
    const bool packed = info->codes != TARE_CODES_NONE;
    const size_t width = (size_t)(packed ? info->groups : info->columns), chunk = (size_t)s->chunk;
    enum tare_code code = TARE_OK;
    for (int64_t i = 0; i < s->rows / s->chunk && code == TARE_OK; i++) {
        float *scales = s->scales + (size_t)i * chunk * width, *offsets = s->offsets + (size_t)i * chunk * width;
        const int64_t row = first_row(s, i);
        if (!packed) {
            code = tare_read_floats(reader, row, s->chunk, "float32", scales, chunk * width, err);
            continue;
        }
        code = tare_read_codes(reader, row, s->chunk, s->codes, scales, offsets, err);
        for (size_t k = 0; code == TARE_OK && k < chunk * (size_t)info->columns; k++)
            s->counts[s->codes[k]]++;
    }
    return code;
}

/* Makes offsets the zeros that they came from: offset = -scale * zero, rounded. */
static void zeros_of(struct sample *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        s->offsets[i] = s->scales[i] != 0 ? roundf(-s->offsets[i] / s->scales[i]) : NAN;
}

/* {least, most, mean, bins, not_finite} of n numbers; null where none is finite. `whole`: a bin for each whole number. */
static json_t *spread_json(const float *numbers, size_t n, bool whole)
{
    double least = INFINITY, most = -INFINITY, sum = 0;
    size_t finite = 0, counts[MOST_ZEROS + 1] = {0};
    for (size_t i = 0; i < n; i++)
        if (isfinite(numbers[i])) {
            least = fmin(least, numbers[i]);
            most = fmax(most, numbers[i]);
            sum += numbers[i];
            finite++;
        }
    if (!finite)
        return json_null();
    const bool each = whole && most - least < MOST_ZEROS;
    const size_t bins = each ? (size_t)(most - least) + 1 : BINS;
    for (size_t i = 0; i < n; i++)
        if (isfinite(numbers[i])) {
            const double share = most > least ? (numbers[i] - least) / (most - least) : 0;
            const size_t bin = each ? (size_t)(numbers[i] - least) : (size_t)(share * (double)bins);
            counts[bin < bins ? bin : bins - 1]++;
        }
    json_t *list = json_array();
    for (size_t i = 0; i < bins; i++)
        json_array_append_new(list, json_integer((json_int_t)counts[i]));
    return json_pack("{s:f, s:f, s:f, s:o, s:I}", "least", least, "most", most, "mean", sum / (double)finite, "bins",
                     list, "not_finite", (json_int_t)(n - finite));
}

static json_t *codes_json(const struct sample *s)
{
    json_t *list = json_array();
    for (size_t i = 0; i < (size_t)1 << s->info->bits && i < 256; i++)
        json_array_append_new(list, json_integer((json_int_t)s->counts[i]));
    return list;
}

static json_t *table_json(const struct sample *s)
{
    if (s->info->codes != TARE_CODES_FLOAT)
        return json_null();
    json_t *list = json_array();
    for (size_t i = 0; i < (size_t)1 << s->info->bits && i < 256; i++) /* JSON has no number for NaN */
        json_array_append_new(list, isfinite(s->info->table[i]) ? json_real(s->info->table[i]) : json_null());
    return list;
}

static char *sample_text(struct sample *s, struct tare_error *err)
{
    const struct tare_tensor_info *info = s->info;
    json_t *all =
        json_pack("{s:s, s:s, s:s?, s:o, s:i, s:I, s:I, s:I, s:I, s:I, s:b}", "name", info->name, "packing",
                  info->packing, "scale_dtype", info->scale_dtype, "shape", shape_json(info->rank, info->shape), "bits",
                  info->bits, "group_size", (json_int_t)info->group_size, "rows", (json_int_t)info->rows, "columns",
                  (json_int_t)info->columns, "groups", (json_int_t)info->groups, "rows_read", (json_int_t)s->rows,
                  "act_order", info->act_order);
    const size_t groups = (size_t)(s->rows * info->groups);
    if (all && info->codes == TARE_CODES_NONE) {
        json_object_set_new(all, "values", spread_json(s->scales, (size_t)(s->rows * info->columns), false));
    } else if (all) {
        json_object_set_new(all, "codes", codes_json(s));
        json_object_set_new(all, "table", table_json(s));
        json_object_set_new(all, "scales", spread_json(s->scales, groups, false));
        if (info->codes == TARE_CODES_INTEGER && !info->has_biases)
            zeros_of(s, groups);
        if (info->codes == TARE_CODES_INTEGER)
            json_object_set_new(all, info->has_biases ? "offsets" : "zeros",
                                spread_json(s->offsets, groups, !info->has_biases));
    }
    char *made = all ? json_dumps(all, JSON_COMPACT) : NULL;
    json_decref(all);
    return made ? made : no_memory(err);
}

/* How many rows, and how many at a time: whole chunks only. */
static void measure(struct sample *s)
{
    const struct tare_tensor_info *info = s->info;
    const int64_t wanted = info->columns < SAMPLE ? SAMPLE / (info->columns ? info->columns : 1) : 1;
    s->rows = wanted < info->rows ? wanted : info->rows;
    s->chunk = s->rows < info->rows && s->rows >= TOGETHER ? TOGETHER : s->rows;
    if (s->chunk)
        s->rows -= s->rows % s->chunk;
}

char *serve_inspect_module(const tare_model *model, const char *name, struct tare_error *err)
{
    tare_reader *reader = NULL;
    struct sample s = {0};
    char *made = NULL;
    if (tare_reader_open(&reader, model, name, TARE_VIEW_PARAMETER, err) != TARE_OK)
        return NULL;
    s.info = tare_reader_info(reader);
    measure(&s);
    if (s.info->columns > LONGEST_ROW || s.rows < 1 || s.info->columns < 1) {
        if (err) {
            *err = (struct tare_error){.code = TARE_E_ARGUMENT};
            snprintf(err->where, sizeof err->where, "%s", s.info->name);
            snprintf(err->text, sizeof err->text, "a row of %lld numbers has no histogram: 1 to %d are read",
                     (long long)s.info->columns, LONGEST_ROW);
        }
    } else {
        const bool packed = s.info->codes != TARE_CODES_NONE;
        const size_t n = (size_t)(s.rows * (packed ? s.info->groups : s.info->columns));
        s.codes = malloc((size_t)(s.chunk * s.info->columns));
        s.scales = calloc(n ? n : 1, sizeof *s.scales);
        s.offsets = calloc(packed && n ? n : 1, sizeof *s.offsets);
        if (!s.codes || !s.scales || !s.offsets)
            no_memory(err);
        else if (read_sample(&s, reader, err) == TARE_OK)
            made = sample_text(&s, err);
    }
    free(s.codes);
    free(s.scales);
    free(s.offsets);
    tare_reader_free(reader);
    return made;
}
