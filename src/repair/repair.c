/* SPDX-License-Identifier: MIT
 * repair.c - tare_patch_find(): plan, mend what is certain, plan again, until nothing is left to mend. */
#include "repair/repair.h"

#include <stdlib.h>
#include <string.h>

#include "base/sized.h"
#include "repair/edit_json.h"

#define ROUNDS 64 /* Each round makes a change; more rounds than these mean that menders undo each other. */
#define CONFIG_MOST ((uint64_t)64 << 20)

/* ---- changes and notes --------------------------------------------------------------------------------------- */

bool tare_repair_change(struct tare_repair *r, const char *file, const char *kind, const char *key, const char *before,
                        const char *after, const char *because)
{
    struct tare_arena *a = &r->arena;
    if (!tare_grow(&r->changes, &r->changes_room, r->n_changes + 1, sizeof *r->changes))
        return false;
    r->changes[r->n_changes++] = (struct tare_repair_change){tare_arena_text(a, file),  kind,
                                                             tare_arena_text(a, key),   tare_arena_text(a, before),
                                                             tare_arena_text(a, after), tare_arena_text(a, because)};
    return !a->failed;
}

void tare_repair_note(struct tare_repair *r, const char *where, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *text = tare_arena_vformat(&r->arena, format, args);
    va_end(args);
    const char *place = tare_arena_text(&r->arena, where);
    for (size_t i = 0; text && i < r->n_notes; i++)
        if (!strcmp(r->notes[i].text, text))
            return;
    if (text && place && tare_grow(&r->notes, &r->notes_room, r->n_notes + 1, sizeof *r->notes))
        r->notes[r->n_notes++] = (struct tare_repair_note){place, text};
    else
        r->arena.failed = true;
}

const struct tare_finding *tare_repair_finding(const struct tare_model *model, const char *code)
{
    for (size_t i = 0; i < model->n_findings; i++)
        if (!strcmp(model->findings[i].code, code))
            return &model->findings[i];
    return NULL;
}

/* ---- side files ---------------------------------------------------------------------------------------------- */

/* The record of a side file, which is read when it is asked for first. */
static enum tare_code file_of(struct tare_repair *r, const char *name, struct tare_repaired **file,
                              struct tare_error *err)
{
    for (size_t i = 0; i < r->n_files; i++)
        if (!strcmp(r->files[i].name, name)) {
            *file = &r->files[i];
            return TARE_OK;
        }
    struct tare_repaired *f = *file = &r->files[r->n_files];
    if (r->n_files == TARE_REPAIRED_MOST)
        return tare_fail(err, TARE_E_INTERNAL, name, "more side files than repair knows of");
    *f = (struct tare_repaired){.name = tare_arena_text(&r->arena, name)};
    if (!f->name)
        return tare_fail_memory(err);
    const enum tare_code code =
        tare_checkpoint_read(&r->model->checkpoint, name, CONFIG_MOST * 2, &f->old, &f->old_size, err);
    if (code && code != TARE_E_ABSENT)
        return code;
    r->n_files++;
    return TARE_OK;
}

enum tare_code tare_repair_text(struct tare_repair *r, const char *name, const char *text, size_t size,
                                struct tare_error *err)
{
    struct tare_repaired *f = NULL;
    const enum tare_code code = file_of(r, name, &f, err);
    if (code)
        return code;
    char *copy = malloc(size + 1);
    if (!copy)
        return tare_fail_memory(err);
    memcpy(copy, text, size);
    copy[size] = '\0';
    free(f->text);
    f->text = copy;
    f->size = size;
    r->edits.n_files = 0;
    for (size_t i = 0; i < r->n_files; i++)
        if (r->files[i].text)
            r->edited[r->edits.n_files++] =
                (struct tare_edited_file){r->files[i].name, r->files[i].text, r->files[i].size};
    return TARE_OK;
}

/* ---- one key ------------------------------------------------------------------------------------------------- */

/* The object that holds the last key, or NULL. */
static json_t *holder(json_t *top, const char *const *path)
{
    for (; top && path[1]; path++)
        top = json_object_get(top, path[0]);
    return json_is_object(top) ? top : NULL;
}

static const char *last_key(const char *const *path)
{
    while (path[1])
        path++;
    return path[0];
}

/* Notes a change. One of the same key is merged with the earlier one; where both cancel out, none is left. */
static bool record(struct tare_repair *r, const char *file, const char *key, const char *before, const char *after,
                   const char *because)
{
    for (size_t i = 0; i < r->n_changes; i++) {
        struct tare_repair_change *c = &r->changes[i];
        if (strcmp(c->file, file) != 0 || strcmp(c->key, key) != 0)
            continue;
        c->after = tare_arena_text(&r->arena, after);
        c->because = tare_arena_text(&r->arena, because);
        c->kind = after ? "set" : "remove";
        if ((!c->before && !after) || (c->before && after && !strcmp(c->before, after)))
            memmove(c, c + 1, (--r->n_changes - i) * sizeof *c);
        return !r->arena.failed;
    }
    return tare_repair_change(r, file, after ? "set" : "remove", key, before, after, because);
}

/* Edits one key in the text, and checks that jansson reads the result as `want`. */
static enum tare_code edit(struct tare_repair *r, const char *file, const char *text, size_t size,
                           const char *const *path, json_t *want, const json_t *value, struct tare_error *err)
{
    struct tare_text out = {0};
    json_t *got = NULL;
    enum tare_code code = TARE_OK;
    if (!tare_json_edit(&out, text, size, path, value))
        code = out.failed
                   ? tare_fail_memory(err)
                   : tare_fail(err, TARE_E_CONFIG, file, "%s is spelled in a way that cannot be edited", path[0]);
    if (!code)
        code = tare_json_parse(&got, file, out.data, out.size, err);
    if (!code && !json_equal(got, want))
        code = tare_fail(err, TARE_E_INTERNAL, file, "editing %s gave another text than was meant", last_key(path));
    if (!code)
        code = tare_repair_text(r, file, out.data, out.size, err);
    json_decref(got);
    tare_text_release(&out);
    return code;
}

static char *joined(struct tare_repair *r, const char *const *path)
{
    char *text = tare_arena_text(&r->arena, path[0]);
    for (path++; text && *path; path++)
        text = tare_arena_format(&r->arena, "%s.%s", text, *path);
    return text;
}

/* Sets one key. want is the parsed document, and is changed too. */
static enum tare_code set(struct tare_repair *r, struct tare_repaired *f, const char *const *path, json_t *want,
                          json_t *value, const char *because, bool *changed, struct tare_error *err)
{
    json_t *object = holder(want, path);
    const char *key = last_key(path), *name = joined(r, path);
    const json_t *there = json_object_get(object, key);
    if (!object)
        return tare_fail(err, TARE_E_CONFIG, f->name, "there is no object to put %s into", name ? name : key);
    if ((!value && !there) || (value && there && json_equal(there, value)))
        return TARE_OK;
    char *before = tare_json_line(there), *after = tare_json_line(value);
    enum tare_code code = TARE_OK;
    if (!name || (there && !before) || (value && !after) ||
        (value ? json_object_set(object, key, value) : json_object_del(object, key)))
        code = tare_fail_memory(err);
    if (!code)
        code = edit(r, f->name, f->text ? f->text : f->old, f->text ? f->size : f->old_size, path, want, value, err);
    if (!code && !record(r, f->name, name, before, after, because))
        code = tare_fail_memory(err);
    free(before);
    free(after);
    *changed |= !code;
    return code;
}

enum tare_code tare_repair_set(struct tare_repair *r, const char *file, const char *const *path, json_t *value,
                               const char *because, bool *changed, struct tare_error *err)
{
    struct tare_repaired *f = NULL;
    json_t *want = NULL;
    enum tare_code code = file_of(r, file, &f, err);
    if (!code && !f->text && !f->old)
        code = tare_fail(err, TARE_E_ABSENT, file, "no such file");
    if (!code)
        code = tare_json_parse(&want, file, f->text ? f->text : f->old, f->text ? f->size : f->old_size, err);
    if (!code)
        code = set(r, f, path, want, value, because, changed, err);
    json_decref(want);
    json_decref(value);
    return code;
}

static size_t errors_of(const struct tare_model *model)
{
    size_t n = 0;
    for (size_t i = 0; i < model->n_findings; i++)
        n += model->findings[i].level == TARE_ERROR;
    return n;
}

bool tare_repair_better(const struct tare_repair *r, const struct tare_model *trial)
{
    return trial && (!trial->code || (r->model->code && errors_of(trial) < errors_of(r->model)));
}

enum tare_code tare_repair_trial(const struct tare_repair *r, const struct tare_options *options,
                                 const struct tare_edits *edits, struct tare_model **trial, struct tare_error *err)
{
    struct tare_error ignored;
    tare_plan_make(trial, r->path, options, edits, r->stages, &ignored);
    if (!*trial)
        return tare_fail_memory(err);
    (*trial)->checkpoint.edits = NULL;
    return TARE_OK;
}

enum tare_code tare_repair_try(struct tare_repair *r, const char *const *path, const json_t *value, bool headers,
                               struct tare_model **trial, struct tare_error *err)
{
    struct tare_repaired *f = NULL;
    struct tare_edited_file files[TARE_REPAIRED_MOST + 1];
    struct tare_edits edits = r->edits;
    struct tare_options options = r->options;
    struct tare_text out = {0};
    enum tare_code code = file_of(r, "config.json", &f, err);
    *trial = NULL;
    if (code || !(f->text || f->old))
        return code;
    options.no_data |= headers;
    if (tare_json_edit(&out, f->text ? f->text : f->old, f->text ? f->size : f->old_size, path, value)) {
        files[0] = (struct tare_edited_file){"config.json", out.data, out.size}; /* the first of a name counts */
        memcpy(files + 1, r->edited, r->edits.n_files * sizeof *files);
        edits.files = files;
        edits.n_files = r->edits.n_files + 1;
        code = tare_repair_trial(r, &options, &edits, trial, err);
    } else if (out.failed) {
        code = tare_fail_memory(err);
    }
    tare_text_release(&out);
    return code;
}

enum tare_code tare_repair_tensor(struct tare_repair *r, const struct tare_tensor *tensor, const char *to,
                                  const char *because, bool *changed, struct tare_error *err)
{
    struct tare_edited_tensor edit = {tare_arena_text(&r->arena, tensor->name), tare_arena_text(&r->arena, to)};
    const char *file = r->model->checkpoint.files[tensor->file].name;
    if (!edit.from || (to && !edit.to) ||
        !tare_grow(&r->tensors, &r->tensors_room, r->edits.n_tensors + 1, sizeof *r->tensors) ||
        !tare_repair_change(r, file, to ? "rename" : "drop", edit.from, NULL, edit.to, because))
        return tare_fail_memory(err);
    r->tensors[r->edits.n_tensors++] = edit;
    r->edits.tensors = r->tensors;
    *changed = true;
    return TARE_OK;
}

/* ---- rounds -------------------------------------------------------------------------------------------------- */

static enum tare_code replan(struct tare_repair *r, struct tare_error *err)
{
    tare_model_free(r->model);
    r->model = NULL;
    const enum tare_code code = tare_plan_make(&r->model, r->path, &r->options, &r->edits, r->stages, err);
    return r->model ? TARE_OK : code;
}

static bool is_safetensors(const char *name)
{
    const size_t n = strlen(name), m = strlen(".safetensors");
    return n > m && !strcmp(name + n - m, ".safetensors");
}

static enum tare_code rounds(struct tare_repair *r, struct tare_error *err)
{
    static const struct mender {
        enum tare_code (*mend)(struct tare_repair *r, bool *changed, struct tare_error *err);
    } menders[] = {{tare_mend_index}, {tare_mend_quant}, {tare_mend_tensors}, {tare_mend_tie}};
    for (int round = 0; round < ROUNDS; round++) {
        bool changed = false;
        enum tare_code code = replan(r, err);
        if (!code && !round)
            r->report.loaded = !r->model->code;
        if (!code &&
            (r->model->checkpoint.gguf || (r->model->checkpoint.only && !is_safetensors(r->model->checkpoint.only))))
            return TARE_OK; /* The settings of a GGUF file are inside it. */
        for (size_t k = 0; !code && !changed && k < sizeof menders / sizeof *menders; k++)
            code = menders[k].mend(r, &changed, err);
        if (code || !changed)
            return code;
    }
    return tare_fail(err, TARE_E_INTERNAL, r->path, "the menders do not come to an end");
}

static void finish(struct tare_repair *r)
{
    r->report.model = r->path;
    r->report.loads = r->model && !r->model->code;
    r->report.changes = r->changes;
    r->report.n_changes = r->n_changes;
    r->report.notes = r->notes;
    r->report.size = sizeof r->report;
    r->report.changes_stride = sizeof *r->changes;
    r->report.notes_stride = sizeof *r->notes;
    r->report.n_notes = r->n_notes;
}

/* Why the checkpoint still does not load: a note on what could not be settled says more than the plan's own error. */
static enum tare_code fail_plan(const struct tare_repair *r, struct tare_error *err)
{
    const struct tare_error *e = &r->model->error;
    if (r->n_notes)
        return tare_fail(err, e->code, r->notes[0].where, "%s", r->notes[0].text);
    if (err)
        *err = *e;
    return e->code;
}

enum tare_code tare_patch_find(struct tare_repair **repair, const char *path, const struct tare_options *options,
                               tare_stages_fn *stages, struct tare_error *err)
{
    if (!repair || !path)
        return tare_fail(err, TARE_E_ARGUMENT, "", "tare_repair_open needs a place for the patch and a path");
    struct tare_options own;
    *repair = NULL;
    enum tare_code code = tare_sized_read(&own, sizeof own, options, "options", err);
    if (code)
        return code;
    struct tare_repair *r = *repair = calloc(1, sizeof *r);
    if (!r || !(r->path = strdup(path))) {
        free(r);
        *repair = NULL;
        return tare_fail_memory(err);
    }
    r->stages = stages;
    r->options = own;
    tare_threads_hold(own.pool);
    r->edits.files = r->edited;
    code = rounds(r, err);
    if (!code && !r->model->code)
        code = tare_index_rebuild(r, err);
    if (!code && !r->model->code)
        code = tare_header_fits(r, &r->report.not_in_place, err);
    r->options.host = NULL; /* borrowed for the call */
    finish(r);
    if (code == TARE_E_MEMORY || r->arena.failed || !r->model) {
        tare_repair_free(r);
        *repair = NULL;
        return code ? code : tare_fail_memory(err);
    }
    if (code)
        r->report.loads = false;
    return code ? code : r->model->code ? fail_plan(r, err) : TARE_OK;
}

void tare_repair_free(tare_repair *r)
{
    if (!r)
        return;
    tare_model_free(r->model);
    for (size_t i = 0; i < TARE_REPAIRED_MOST; i++) {
        free(r->files[i].old);
        free(r->files[i].text);
    }
    free(r->tensors);
    free(r->changes);
    free(r->notes);
    free(r->path);
    tare_arena_release(&r->arena);
    tare_threads_free(r->options.pool);
    free(r);
}

const struct tare_repair_report *tare_repair_report(const tare_repair *repair)
{
    return repair ? &repair->report : NULL;
}

char *tare_repair_json(const tare_repair *repair)
{
    struct tare_text t = {0};
    if (!repair)
        return NULL;
    const struct tare_repair_report *r = &repair->report;
    tare_text_puts(&t, "{\"model\": ");
    tare_text_json(&t, r->model);
    tare_text_format(&t, ", \"loaded\": %s, \"loads\": %s, \"changes\": [", r->loaded ? "true" : "false",
                     r->loads ? "true" : "false");
    for (size_t i = 0; i < r->n_changes; i++) {
        const struct tare_repair_change *c = &r->changes[i];
        const char *const parts[][2] = {{"file", c->file},     {"kind", c->kind},   {"key", c->key},
                                        {"before", c->before}, {"after", c->after}, {"because", c->because}};
        for (size_t k = 0; k < sizeof parts / sizeof *parts; k++) {
            tare_text_format(&t, "%s\"%s\": ", k ? ", " : i ? ", {" : "{", parts[k][0]);
            tare_text_json(&t, parts[k][1]);
        }
        tare_text_puts(&t, "}");
    }
    tare_text_puts(&t, "], \"notes\": [");
    for (size_t i = 0; i < r->n_notes; i++) {
        tare_text_puts(&t, i ? ", {\"where\": " : "{\"where\": ");
        tare_text_json(&t, r->notes[i].where);
        tare_text_puts(&t, ", \"text\": ");
        tare_text_json(&t, r->notes[i].text);
        tare_text_puts(&t, "}");
    }
    tare_text_puts(&t, "], \"not_in_place\": ");
    tare_text_json(&t, r->not_in_place);
    tare_text_puts(&t, "}");
    if (t.failed)
        tare_text_release(&t);
    return t.data;
}
