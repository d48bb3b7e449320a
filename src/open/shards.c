/* SPDX-License-Identifier: MIT
 * shards.c - which files of a folder count: those that the index names, or else every *.safetensors that is no adapter.
 */
#include "open/shards.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "open/edits.h"
#include "open/locate.h"
#include "open/safetensors.h"

#define INDEX_NAME "model.safetensors.index.json"

static bool starts(const char *name, const char *start)
{
    return !strncmp(name, start, strlen(start));
}

/* PEFT: adapter_model.safetensors and its shards; mlx-lm: adapters.safetensors, 0000100_adapters.safetensors. */
static bool is_adapter(const char *name)
{
    return starts(name, "adapter_model") || tare_ends_with(name, "adapters.safetensors");
}

/* Mistral's own names for what model*.safetensors hold too. */
static bool is_consolidated(const char *name)
{
    return starts(name, "consolidated");
}

static bool is_shard(const char *name)
{
    return tare_ends_with(name, ".safetensors");
}

static enum tare_code remark(struct tare_checkpoint *checkpoint, enum tare_level level, const char *code,
                             const char *where, const char *text, struct tare_error *err)
{
    if (!tare_grow(&checkpoint->remarks, &checkpoint->remarks_room, checkpoint->n_remarks + 1,
                   sizeof *checkpoint->remarks))
        return tare_fail_memory(err);
    checkpoint->remarks[checkpoint->n_remarks++] =
        (struct tare_remark){.level = level, .code = code, .where = where, .text = text};
    return TARE_OK;
}

/* A .safetensors file that is not read. */
static enum tare_code remark_left_out(struct tare_checkpoint *checkpoint, const char *name, struct tare_error *err)
{
    if (is_adapter(name))
        return remark(checkpoint, TARE_NOTE, "adapter-not-read", name,
                      "is an adapter and not read; to have its effect, merge it into the model first", err);
    if (is_consolidated(name))
        return remark(checkpoint, TARE_NOTE, "consolidated-not-read", name,
                      "holds the weights a second time, under Mistral's own names, and is not read", err);
    return remark(
        checkpoint, TARE_WARNING, "file-outside-index", name,
        "is not named in the index and not read; remove it if it is left over, or fetch the index again if the "
        "model needs it",
        err);
}

/* ---- the index ----------------------------------------------------------------------------------------------- */

/* Its name, or NULL when there is none. */
static enum tare_code find_index(const struct tare_listing *listing, const char **name, struct tare_error *err)
{
    *name = NULL;
    if (tare_listing_has(listing, INDEX_NAME)) {
        *name = INDEX_NAME;
        return TARE_OK;
    }
    bool model = false;
    for (size_t i = 0; i < listing->n; i++)
        model = model || (is_shard(listing->names[i]) && starts(listing->names[i], "model"));
    for (size_t i = 0; i < listing->n; i++) {
        const char *candidate = listing->names[i];
        if (!tare_ends_with(candidate, ".safetensors.index.json") || is_adapter(candidate) ||
            (model && is_consolidated(candidate)))
            continue;
        if (*name)
            return tare_fail(
                err, TARE_E_FORMAT, candidate,
                "is a second index beside %s: which one counts is not said; remove one, or name the right one "
                "%s",
                *name, INDEX_NAME);
        *name = candidate;
    }
    return TARE_OK;
}

static enum tare_code check_present(const struct tare_shard_index *index, const struct tare_listing *listing,
                                    const char *index_name, struct tare_error *err)
{
    const struct tare_index_shard *first = NULL;
    size_t absent = 0;
    for (size_t i = 0; i < index->n_shards; i++) {
        const struct tare_index_shard *shard = &index->shards[i];
        if (tare_listing_has(listing, shard->name))
            continue;
        absent++;
        if (!first || strcmp(shard->name, first->name) < 0)
            first = shard;
    }
    if (!absent)
        return TARE_OK;
    if (tare_listing_has(listing, "model.safetensors"))
        return tare_fail(err, TARE_E_ABSENT, first->name,
                         "is not there, and %s places %" PRIu32
                         " tensor%s in it; if model.safetensors is all there is, the "
                         "index is left over: remove it, or `tare repair` makes it anew",
                         index_name, first->tensors, first->tensors == 1 ? "" : "s");
    return tare_fail(err, TARE_E_ABSENT, first->name,
                     "is not there, and %s places %" PRIu32
                     " tensor%s in it (%zu of %zu shards are not there): the download "
                     "was not finished; fetch it again",
                     index_name, first->tensors, first->tensors == 1 ? "" : "s", absent, index->n_shards);
}

static enum tare_code read_index(struct tare_checkpoint *checkpoint, struct tare_shard_index *index, const char *name,
                                 struct tare_error *err)
{
    char *text = NULL;
    size_t size = 0;
    enum tare_code code = tare_checkpoint_read(checkpoint, name, TARE_HEADER_MOST, &text, &size, err);
    if (code)
        return code;
    code = tare_index_parse(index, name, text, size, err);
    free(text);
    return code;
}

/* ---- the files ----------------------------------------------------------------------------------------------- */

static enum tare_code add_file(struct tare_checkpoint *checkpoint, size_t *room, const char *name,
                               struct tare_error *err)
{
    if (!tare_grow(&checkpoint->files, room, checkpoint->n_files + 1, sizeof *checkpoint->files))
        return tare_fail_memory(err);
    struct tare_file file = {.name = tare_arena_text(&checkpoint->arena, name)};
    if (checkpoint->folder)
        file.path = tare_checkpoint_path(checkpoint, name);
    if (!file.name || (checkpoint->folder && !file.path))
        return tare_fail_memory(err);
    checkpoint->files[checkpoint->n_files++] = file;
    return TARE_OK;
}

static enum tare_code add_indexed(struct tare_checkpoint *checkpoint, struct tare_shard_index *index,
                                  const struct tare_listing *listing, struct tare_error *err)
{
    enum tare_code code = TARE_OK;
    size_t room = 0;
    for (size_t i = 0; i < listing->n && !code; i++) {
        const char *name = listing->names[i];
        const uint32_t shard = tare_map_get(&index->by_shard, name, strlen(name));
        if (shard != TARE_MAP_NONE) {
            index->shards[shard].file = (uint32_t)checkpoint->n_files;
            code = add_file(checkpoint, &room, name, err);
        } else if (is_shard(name)) {
            code = remark_left_out(checkpoint, name, err);
        }
    }
    return code;
}

/* The number of files in the set that "model-00001-of-00003.safetensors" belongs to, by its name, and where "-of-"
 * ends; or 0. */
static long set_size(const char *name, size_t *start)
{
    const char *of = strstr(name, "-of-");
    char *end;
    if (!of || of[4] < '0' || of[4] > '9')
        return 0;
    const char *digits = of;
    while (digits > name && digits[-1] >= '0' && digits[-1] <= '9')
        digits--;
    const long size = strtol(of + 4, &end, 10);
    *start = (size_t)(digits - name);
    return digits < of && !strcmp(end, ".safetensors") ? size : 0;
}

/* Without an index the names alone say that a shard is absent. Strict loading then lists what is missing; this says
 * why. */
static enum tare_code remark_absent(struct tare_checkpoint *checkpoint, struct tare_error *err)
{
    long here = 0;
    for (size_t i = 0; i < checkpoint->n_files; i += (size_t)here) {
        const char *name = checkpoint->files[i].name;
        size_t start = 0, other = 0;
        const long size = set_size(name, &start);
        here = 1;
        while (size && i + (size_t)here < checkpoint->n_files &&
               set_size(checkpoint->files[i + (size_t)here].name, &other) == size && other == start &&
               !strncmp(name, checkpoint->files[i + (size_t)here].name, start))
            here++;
        if (here >= size)
            continue;
        const char *text =
            tare_arena_format(&checkpoint->arena,
                              "is one of %ld files by its name, and %ld of them are read: fetch the others, or "
                              "give the folder in which they lie",
                              size, here);
        const enum tare_code code =
            text ? remark(checkpoint, TARE_WARNING, "shards-absent", name, text, err) : tare_fail_memory(err);
        if (code)
            return code;
    }
    return TARE_OK;
}

static enum tare_code add_all(struct tare_checkpoint *checkpoint, const struct tare_listing *listing,
                              struct tare_error *err)
{
    enum tare_code code = TARE_OK;
    size_t room = 0;
    bool model = false;
    for (size_t i = 0; i < listing->n; i++)
        model = model || (is_shard(listing->names[i]) && starts(listing->names[i], "model"));
    for (size_t i = 0; i < listing->n && !code; i++) {
        const char *name = listing->names[i];
        if (!is_shard(name))
            continue;
        if (is_adapter(name) || (model && is_consolidated(name)))
            code = remark_left_out(checkpoint, name, err);
        else
            code = add_file(checkpoint, &room, name, err);
    }
    return code ? code : remark_absent(checkpoint, err);
}

/* Called when there are no weights: the error names what the folder has instead. */
static enum tare_code fail_empty(const struct tare_checkpoint *checkpoint, const struct tare_listing *listing,
                                 struct tare_error *err)
{
    static const char *const pickles[] = {".bin", ".pt", ".pth", ".ckpt", ".pkl"};
    const char *pickle = NULL, *adapter = NULL;
    for (size_t i = 0; i < listing->n; i++) {
        const char *name = listing->names[i];
        adapter = is_shard(name) && is_adapter(name) ? name : adapter;
        for (size_t k = 0; k < sizeof pickles / sizeof *pickles; k++)
            pickle = tare_ends_with(name, pickles[k]) ? name : pickle;
    }
    if (adapter)
        return tare_fail(err, TARE_E_ABSENT, checkpoint->path,
                         "no safetensors found but an adapter, %s: merge it into its base model and give that folder",
                         adapter);
    if (pickle)
        return tare_fail(err, TARE_E_UNKNOWN, pickle,
                         "no pickle is opened, since opening one runs code from it, and no safetensors are beside it: "
                         "convert it to safetensors where you trust it");
    return tare_fail(err, TARE_E_ABSENT, checkpoint->path,
                     "no safetensors found: give the folder in which config.json and model.safetensors lie");
}

static enum tare_code choose_only(struct tare_checkpoint *checkpoint, struct tare_error *err)
{
    const char *name = checkpoint->only;
    const struct tare_listing one = {.names = (char *[]){(char *)(uintptr_t)name}, .n = 1};
    size_t room = 0;
    enum tare_code code = is_shard(name) ? add_file(checkpoint, &room, name, err) : fail_empty(checkpoint, &one, err);
    if (!code)
        return remark_absent(checkpoint, err);
    if (is_shard(name) || code != TARE_E_ABSENT)
        return code;
    return tare_fail(err, TARE_E_UNKNOWN, name,
                     "is no .safetensors or .gguf file: give one, or the folder of the model");
}

enum tare_code tare_shards_choose(struct tare_checkpoint *checkpoint, struct tare_shard_index *index,
                                  const char **index_name, struct tare_error *err)
{
    struct tare_listing listing = {0};
    *index_name = NULL;
    if (checkpoint->only)
        return choose_only(checkpoint, err);
    enum tare_code code = tare_listing_read(&listing, checkpoint, err);
    if (!code && !(checkpoint->edits && checkpoint->edits->no_index))
        code = find_index(&listing, index_name, err);
    if (!code && *index_name) {
        code = read_index(checkpoint, index, *index_name, err);
        if (!code)
            code = check_present(index, &listing, *index_name, err);
        if (!code)
            code = add_indexed(checkpoint, index, &listing, err);
    } else if (!code) {
        code = add_all(checkpoint, &listing, err);
        if (!code && !checkpoint->n_files)
            code = fail_empty(checkpoint, &listing, err);
    }
    tare_listing_release(&listing);
    return code;
}

/* ---- afterwards ---------------------------------------------------------------------------------------------- */

enum tare_code tare_shards_agree(const struct tare_checkpoint *checkpoint, const struct tare_shard_index *index,
                                 const char *index_name, struct tare_error *err)
{
    char where[sizeof err->where];
    for (size_t i = 0; i < checkpoint->n_tensors; i++) {
        const struct tare_tensor *t = &checkpoint->tensors[i];
        const char *file = checkpoint->files[t->file].name;
        const uint32_t entry = tare_map_get(&index->by_tensor, t->name, strlen(t->name));
        if (entry != TARE_MAP_NONE && index->shards[index->entries[entry].shard].file == t->file)
            continue;
        snprintf(where, sizeof where, "%s: %s", index_name, t->name);
        if (entry == TARE_MAP_NONE)
            return tare_fail(
                err, TARE_E_FORMAT, where,
                "lies in %s and is absent from the index: index and shards are of different versions; fetch "
                "both again, or `tare repair` makes the index from the shards",
                file);
        return tare_fail(
            err, TARE_E_FORMAT, where,
            "the index places it in %s, and it lies in %s: index and shards are of different versions; fetch "
            "both again, or `tare repair` makes the index from the shards",
            index->shards[index->entries[entry].shard].name, file);
    }
    for (size_t i = 0; i < index->n_entries && index->n_entries != checkpoint->n_tensors; i++) {
        if (tare_checkpoint_find(checkpoint, index->entries[i].name))
            continue;
        snprintf(where, sizeof where, "%s: %s", index_name, index->entries[i].name);
        return tare_fail(
            err, TARE_E_FORMAT, where,
            "the index places it in %s, which has no such tensor: index and shards are of different versions; "
            "fetch both again, or `tare repair` makes the index from the shards",
            index->shards[index->entries[i].shard].name);
    }
    return TARE_OK;
}
