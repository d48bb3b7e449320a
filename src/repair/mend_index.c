/* SPDX-License-Identifier: MIT
 * mend_index.c - model.safetensors.index.json, made anew from the headers of the shards. */
#include <stdlib.h>
#include <string.h>

#include "repair/repair.h"

#define INDEX_NAME "model.safetensors.index.json"

/* Were all headers read, and each tensor found once? */
static bool opened(const struct tare_model *model)
{
    return model->checkpoint.n_tensors && model->checkpoint.by_name.count == model->checkpoint.n_tensors;
}

/* Planning failed at the index. Would all shards make one checkpoint without it? */
static enum tare_code try_without(struct tare_repair *r, bool *changed, struct tare_error *err)
{
    struct tare_edits without = r->edits;
    struct tare_model *trial = NULL;
    without.no_index = true;
    const enum tare_code code = tare_repair_trial(r, &r->options, &without, &trial, err);
    if (code)
        return code;
    *changed = opened(trial) && !tare_repair_finding(trial, "shards-absent");
    tare_model_free(trial);
    return TARE_OK;
}

enum tare_code tare_mend_index(struct tare_repair *r, bool *changed, struct tare_error *err)
{
    const struct tare_checkpoint *c = &r->model->checkpoint;
    enum tare_code code = TARE_OK;
    if (r->edits.no_index || c->only)
        return TARE_OK;
    if (!r->model->config) {
        if (r->model->code && c->path && (!opened(r->model) || c->index))
            code = try_without(r, changed, err);
    } else if (c->n_files > 1 && !c->index) {
        if (tare_repair_finding(r->model, "shards-absent"))
            tare_repair_note(r, INDEX_NAME, "is not there; without all shards none is made");
        else
            *changed = true;
    }
    r->edits.no_index = *changed;
    return code;
}

/* ---- the text ------------------------------------------------------------------------------------------------ */

/* {"metadata": what was there, and the total size, "weight_map": name -> file, by name}. NULL: no memory. */
static json_t *index_of(const struct tare_checkpoint *c, const json_t *old)
{
    json_t *top = json_object(), *map = json_object(), *total;
    json_t *metadata = json_deep_copy(json_object_get(old, "metadata"));
    uint64_t bytes = 0;
    bool room = top && map;
    for (size_t i = 0; room && i < c->n_tensors; i++) {
        bytes += c->tensors[i].size;
        room = !json_object_set_new(map, c->tensors[i].name, json_string(c->files[c->tensors[i].file].name));
    }
    if (!json_is_object(metadata)) {
        json_decref(metadata);
        metadata = json_object();
    }
    total = json_integer((json_int_t)bytes);
    room = room && metadata && total && !json_object_set(metadata, "total_size", total) &&
           !json_object_set(top, "metadata", metadata) && !json_object_set(top, "weight_map", map);
    json_decref(total);
    json_decref(metadata);
    json_decref(map);
    if (room)
        return top;
    json_decref(top);
    return NULL;
}

/* Counts what differs between two weight_maps: tensors in another file, new tensors, and tensors that are gone. */
static void compare(const json_t *was, const json_t *is, size_t *moved, size_t *added, size_t *gone)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)is, key, value)
    {
        const json_t *before = json_object_get(was, key);
        *added += !before;
        *moved += before && !json_equal(before, value);
    }
    json_object_foreach((json_t *)(uintptr_t)was, key, value) *gone += !json_object_get(is, key);
}

static enum tare_code record(struct tare_repair *r, const char *name, bool there, const json_t *was, const json_t *is,
                             struct tare_error *err)
{
    const struct tare_checkpoint *c = &r->model->checkpoint;
    size_t moved = 0, added = 0, gone = 0;
    compare(was, is, &moved, &added, &gone);
    const char *before = !there ? NULL
                         : was  ? tare_arena_format(&r->arena,
                                                    "%zu tensors: %zu in another file, %zu left out, %zu "
                                                     "that no shard has",
                                                    json_object_size(was), moved, added, gone)
                                : "no index that can be read";
    const char *after = tare_arena_format(&r->arena, "%zu tensor%s in %zu file%s", c->n_tensors,
                                          c->n_tensors == 1 ? "" : "s", c->n_files, c->n_files == 1 ? "" : "s");
    const bool update = !r->edits.no_index;
    return tare_repair_change(r, name, update ? "update" : "rebuild", "", before, after,
                              update  ? "tensors of it are renamed or dropped"
                              : there ? "the headers of the shards say where each tensor lies"
                                      : "the model has several shards and no index; their headers say where each "
                                        "tensor lies")
               ? TARE_OK
               : tare_fail_memory(err);
}

enum tare_code tare_index_rebuild(struct tare_repair *r, struct tare_error *err)
{
    const struct tare_checkpoint *c = &r->model->checkpoint;
    const char *name = !r->edits.no_index && c->index ? c->index : INDEX_NAME;
    json_t *old = NULL;
    char *text = NULL;
    size_t size = 0;
    if (!r->edits.no_index && !(c->index && r->edits.n_tensors))
        return TARE_OK;
    enum tare_code code = tare_checkpoint_read(c, name, SIZE_MAX / 2, &text, &size, err);
    const bool there = !code;
    if (code && code != TARE_E_ABSENT)
        return code;
    if (there)
        tare_json_parse(&old, name, text, size, NULL);
    free(text);
    json_t *index = index_of(c, old);
    text = index ? json_dumps(index, JSON_INDENT(2)) : NULL;
    code = text ? tare_repair_text(r, name, text, strlen(text), err) : tare_fail_memory(err);
    if (!code)
        code = record(r, name, there, json_object_get(old, "weight_map"), json_object_get(index, "weight_map"), err);
    free(text);
    json_decref(index);
    json_decref(old);
    return code;
}
