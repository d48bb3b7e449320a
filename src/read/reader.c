/* SPDX-License-Identifier: MIT
 * reader.c - one tensor of a plan, opened for other engines: its recipe laid flat, its files mapped, its facts. */
#include "read/reader.h"

#include <stdlib.h>
#include <string.h>

#include "base/small_float.h"

static bool is_plain(const struct tare_module *module)
{
    return module->packing == &tare_packing_plain;
}

/* ---- finding it ---------------------------------------------------------------------------------------------- */

/* Is name the wanted one, or that with ".weight" at its end? */
static bool is_named(const char *name, const char *wanted)
{
    const size_t n = strlen(wanted);
    return !strncmp(name, wanted, n) && (!name[n] || !strcmp(name + n, ".weight"));
}

static enum tare_code fail_absent(const char *name, const char *what, struct tare_error *err)
{
    return tare_fail(err, TARE_E_ABSENT, name, "the plan has no %s of this name; tare_model_report() lists them", what);
}

/* A whole name comes before one that lacks ".weight". */
static enum tare_code find_parameter(struct tare_reader *reader, const char *name, const struct tare_recipe **recipe,
                                     struct tare_error *err)
{
    const struct tare_tree *tree = &reader->model->tree;
    for (size_t k = 0; k < tree->n; k++) {
        const struct tare_parameter *parameter = tree->parameters[k];
        if (!parameter->active || !parameter->entry || !is_named(parameter->name, name))
            continue;
        if (!reader->parameter || !strcmp(parameter->name, name))
            reader->parameter = parameter;
    }
    if (!reader->parameter)
        return fail_absent(name, "bound parameter", err);
    reader->info.name = reader->parameter->name;
    *recipe = reader->parameter->entry->recipe;
    return TARE_OK;
}

static enum tare_code find_module(struct tare_reader *reader, const char *name, const struct tare_recipe **recipe,
                                  struct tare_error *err)
{
    const struct tare_module *found = NULL;
    for (size_t k = 0; k < reader->model->n_modules; k++) {
        const struct tare_module *module = &reader->model->modules[k];
        if (is_named(module->name, name) && (!found || !strcmp(module->name, name)))
            found = module;
    }
    if (!found)
        return fail_absent(name, "module", err);
    if (found->fault)
        return tare_fail(err, found->fault_code, found->fault_name ? found->fault_name : found->name, "%s",
                         found->fault);
    reader->info.name = found->name;
    *recipe = found->restored ? found->restored : tare_recipe_take(&reader->arena, found);
    return reader->arena.failed ? tare_fail_memory(err) : TARE_OK;
}

/* ---- its facts ----------------------------------------------------------------------------------------------- */

/* The numbers that codes of a kind stand for, by code; NULL: no memory. */
static const float *table_of(const struct tare_module *module, struct tare_arena *arena)
{
    const enum tare_code_form form = module->packing->codes;
    const size_t n = form == TARE_CODE_E4M3 ? 256 : 16;
    float *table = tare_arena_array(arena, n, sizeof *table);
    if (table && form == TARE_CODE_TABLE)
        return memcpy(table, module->packing->numbers(module), n * sizeof *table);
    for (size_t k = 0; table && k < n; k++)
        table[k] = form == TARE_CODE_E4M3 ? tare_from_e4m3((uint8_t)k) : tare_from_e2m1((uint8_t)k);
    return table;
}

static enum tare_code describe_codes(struct tare_reader *reader, struct tare_error *err)
{
    struct tare_tensor_info *info = &reader->info;
    const struct tare_readable *reading = &reader->reading;
    const enum tare_code_form form = reading->first->packing->codes;
    info->group_size = reading->ordered ? reading->first->group_size : reading->group_size;
    info->groups = reading->groups;
    info->act_order = reading->ordered && reading->first->act_order;
    info->codes = form == TARE_CODE_INTEGER ? TARE_CODES_INTEGER : TARE_CODES_FLOAT;
    if (form == TARE_CODE_INTEGER)
        return TARE_OK;
    info->table = table_of(reading->first, &reader->arena);
    return info->table ? TARE_OK : tare_fail_memory(err);
}

static enum tare_code describe(struct tare_reader *reader, struct tare_error *err)
{
    struct tare_tensor_info *info = &reader->info;
    const struct tare_readable *reading = &reader->reading;
    const struct tare_module *first = reading->first;
    info->size = sizeof *info;
    info->rank = reading->flat.rank;
    info->shape = reading->flat.shape;
    info->columns = reading->shape[reading->rank - 1];
    info->rows = 1;
    for (int k = 0; k < reading->rank - 1; k++)
        info->rows *= reading->shape[k];
    info->packing = tare_packing_word(first ? first->packing : &tare_packing_plain, reading->dtype);
    for (size_t k = 0; k < reading->flat.n; k++)
        info->packed |= !is_plain(reading->flat.pieces[k].module);
    if (!first || is_plain(first))
        return TARE_OK;
    const struct tare_tensor *scales = first->part[TARE_PART_SCALES];
    info->scale_dtype = tare_packing_word(&tare_packing_plain, scales ? scales->dtype : first->dtype);
    info->bits = first->bits;
    info->group_size = first->group_size;
    info->has_zeros = first->part[TARE_PART_ZEROS] && !first->packing->biases;
    info->has_biases = first->packing->biases;
    return reading->codes ? describe_codes(reader, err) : TARE_OK;
}

/* ---- the interface ------------------------------------------------------------------------------------------- */

/* A leaf whose data cannot be read as numbers; NULL: there is none. */
static void find_unusable(void *user, const struct tare_module *module)
{
    const struct tare_module **unusable = user;
    if (module->unusable && !*unusable)
        *unusable = module;
}

static enum tare_code open_reader(struct tare_reader *reader, const char *name, enum tare_view view,
                                  struct tare_error *err)
{
    const struct tare_recipe *recipe = NULL;
    enum tare_code code = view == TARE_VIEW_PARAMETER ? find_parameter(reader, name, &recipe, err)
                                                      : find_module(reader, name, &recipe, err);
    const struct tare_module *unusable = NULL;
    if (!code)
        tare_recipe_leaves(recipe, find_unusable, &unusable);
    if (unusable)
        return tare_fail(err, TARE_E_SHAPE, unusable->name, "%s", unusable->unusable);
    if (!code)
        code = tare_readable_make(&reader->reading, &reader->model->checkpoint, recipe, name, &reader->arena, err);
    if (code)
        return code;
    tare_readable_keep_order(&reader->reading);
    tare_kernels_pick(&reader->kernels, NULL);
    code = describe(reader, err);
    return code || !reader->parameter ? code : tare_reader_lay_out(reader, err);
}

enum tare_code tare_reader_open(struct tare_reader **reader, const struct tare_model *model, const char *name,
                                enum tare_view view, struct tare_error *err)
{
    if (reader)
        *reader = NULL;
    if (!reader || !model || !name || (view != TARE_VIEW_PARAMETER && view != TARE_VIEW_SOURCE))
        return tare_fail(err, TARE_E_ARGUMENT, name ? name : "",
                         "tare_reader_open needs a place for the reader, a model, a name and a view");
    if (model->code) /* what its tensors mean was not settled */
        return tare_fail(err, model->error.code, model->error.where, "%s", model->error.text);
    struct tare_reader *r = calloc(1, sizeof *r);
    if (!r)
        return tare_fail_memory(err);
    /* Counting owners and mapping files change nothing that a user of the model sees, and both are thread-safe. */
    r->model = (struct tare_model *)(uintptr_t)model;
    tare_model_retain(r->model);
    const enum tare_code code = open_reader(r, name, view, err);
    if (code)
        tare_reader_free(r);
    else
        *reader = r;
    return code;
}

void tare_reader_free(struct tare_reader *reader)
{
    if (!reader)
        return;
    tare_layout_release(&reader->mlx);
    tare_arena_release(&reader->arena);
    tare_model_free(reader->model);
    free(reader);
}

const struct tare_tensor_info *tare_reader_info(const struct tare_reader *reader)
{
    return reader ? &reader->info : NULL;
}

enum tare_code tare_reader_check(const struct tare_reader *reader, int64_t row, int64_t rows, struct tare_error *err)
{
    if (!reader)
        return tare_fail(err, TARE_E_ARGUMENT, "", "a reader is needed");
    if (row < 0 || rows < 0 || row > reader->info.rows || rows > reader->info.rows - row)
        return tare_fail(err, TARE_E_ARGUMENT, reader->info.name,
                         "%lld rows from row %lld on were asked for; the tensor has %lld rows", (long long)rows,
                         (long long)row, (long long)reader->info.rows);
    return TARE_OK;
}

struct tare_tile tare_reader_tile(const struct tare_reader *reader, int64_t row, int64_t rows, int64_t most)
{
    const struct tare_readable *reading = &reader->reading;
    const int last = reading->rank - 1;
    struct tare_tile tile = {.first = row * reader->info.columns};
    tile.high[last] = reading->shape[last];
    int64_t rest = row, count = 1;
    for (int k = last - 1; k >= 0; k--) {
        tile.low[k] = rest % reading->shape[k];
        rest /= reading->shape[k];
        if (k == last - 1) {
            count = reading->shape[k] - tile.low[k];
            count = rows < count ? rows : count;
            count = most < count ? most : count;
        }
        tile.high[k] = tile.low[k] + (k == last - 1 ? count : 1);
    }
    tile.count = count * reader->info.columns;
    return tile;
}

enum tare_code tare_reader_groups(const struct tare_reader *reader, int32_t *group_of_column, size_t room,
                                  struct tare_error *err)
{
    if (!reader || !group_of_column)
        return tare_fail(err, TARE_E_ARGUMENT, "", "tare_reader_groups needs a reader and a place for the groups");
    const struct tare_tensor_info *info = &reader->info;
    const struct tare_readable *reading = &reader->reading;
    if (!reading->codes)
        return tare_fail(err, TARE_E_ARGUMENT, info->name, "it has no codes, so its columns are in no groups");
    if (room < (size_t)info->columns)
        return tare_fail(err, TARE_E_ARGUMENT, info->name, "room for %zu groups, %lld are needed", room,
                         (long long)info->columns);
    for (int64_t i = 0; i < info->columns; i++)
        group_of_column[i] = (int32_t)(reading->ordered ? tare_module_group(reading->first, reading->parts[0], i)
                                                        : i / reading->group_size);
    return TARE_OK;
}

size_t tare_model_names(const struct tare_model *model, enum tare_view view, const char **names, size_t room)
{
    size_t n = 0;
    for (size_t k = 0; model && view == TARE_VIEW_PARAMETER && k < model->tree.n; k++) {
        const struct tare_parameter *parameter = model->tree.parameters[k];
        if (parameter->active && parameter->entry && n++ < room && names)
            names[n - 1] = parameter->name;
    }
    for (size_t k = 0; model && view == TARE_VIEW_SOURCE && k < model->n_modules; k++)
        if (!model->modules[k].fault && n++ < room && names)
            names[n - 1] = model->modules[k].name;
    return n;
}

enum tare_code tare_model_file(const struct tare_model *model, const char *name, char **text, size_t *size,
                               struct tare_error *err)
{
    if (text)
        *text = NULL;
    if (!model || !name || !text || !size)
        return tare_fail(err, TARE_E_ARGUMENT, name ? name : "",
                         "tare_model_file needs a model, a name and places for text and size");
    return tare_checkpoint_read(&model->checkpoint, name, (uint64_t)1 << 30, text, size, err);
}
