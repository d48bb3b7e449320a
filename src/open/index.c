/* SPDX-License-Identifier: MIT
 * index.c - model.safetensors.index.json: {"metadata": {..}, "weight_map": {tensor: shard, ..}}, as transformers writes
 * it. */
#include "open/index.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/locale.h"
#include "open/locate.h"
#include "open/scan.h"

#define DEEPEST 64 /* of what is skipped; real ones have two levels */

enum place { START, TOP, WEIGHT_MAP, WEIGHT_MAP_START, SKIP };

struct parser {
    struct tare_shard_index *index;
    const char *file_name;
    struct tare_error *err;
    enum place place;
    bool had_map;
    const char *tensor;
    /* What is skipped: the number of each object around, 0 for a list; a key counts as its object's number and its
     * name. */
    uint32_t scopes[DEEPEST], n_scopes;
    int depth;
    struct tare_arena arena;
    struct tare_map keys;
};

static int refuse(struct parser *p, const char *key, const char *format, ...) TARE_PRINTF(3, 4);

static int refuse(struct parser *p, const char *key, const char *format, ...)
{
    char text[sizeof p->err->text], where[sizeof p->err->where];
    va_list args;
    va_start(args, format);
    tare_vformat(text, sizeof text, format, args);
    va_end(args);
    snprintf(where, sizeof where, "%s%s%s", p->file_name, key ? ": " : "", key ? key : "");
    tare_fail(p->err, TARE_E_FORMAT, where, "%s", text);
    return 0;
}

static int refuse_memory(struct parser *p)
{
    tare_fail_memory(p->err);
    return 0;
}

/* ---- values -------------------------------------------------------------------------------------------------- */

/* A value that is no string: fine where it is skipped. */
static int other_value(struct parser *p, const char *found)
{
    switch (p->place) {
    case START:
        return refuse(p, NULL, "the index is %s, not an object: fetch it again", found);
    case WEIGHT_MAP_START:
        return refuse(p, "weight_map", "is %s; an object, tensor to shard, is expected: fetch it again", found);
    case WEIGHT_MAP:
        return refuse(p, p->tensor, "its shard is %s; the name of a file is expected", found);
    default:
        if (!p->depth)
            p->place = TOP;
        return 1;
    }
}

static int on_null(void *context)
{
    return other_value(context, "null");
}

static int on_boolean(void *context, int value)
{
    return other_value(context, value ? "true" : "false");
}

static int on_number(void *context, const char *digits, size_t n)
{
    (void)digits;
    (void)n;
    return other_value(context, "a number");
}

static int find_shard(struct parser *p, const char *name, size_t n, uint32_t *shard)
{
    struct tare_shard_index *index = p->index;
    *shard = tare_map_get(&index->by_shard, name, n);
    if (*shard != TARE_MAP_NONE)
        return 1;
    if (!tare_name_is_plain(name, n) || n <= strlen(".safetensors") || name[0] == '.' ||
        memcmp(name + n - strlen(".safetensors"), ".safetensors", strlen(".safetensors")) != 0)
        return refuse(p, p->tensor,
                      "its shard is \"%s\"; the plain name of a .safetensors file in the same folder is expected",
                      tare_scan_word(name, n).text);
    const char *copy = tare_arena_copy(&index->arena, name, n);
    *shard = (uint32_t)index->n_shards;
    if (!copy || !tare_grow(&index->shards, &index->shards_room, index->n_shards + 1, sizeof *index->shards) ||
        !tare_map_put(&index->by_shard, copy, n, *shard, NULL))
        return refuse_memory(p);
    index->shards[index->n_shards++] = (struct tare_index_shard){.name = copy};
    return 1;
}

static int on_string(void *context, const unsigned char *text, size_t n)
{
    struct parser *p = context;
    uint32_t shard;
    if (p->place != WEIGHT_MAP)
        return other_value(p, "a string");
    if (!find_shard(p, (const char *)text, n, &shard))
        return 0;
    p->index->entries[p->index->n_entries - 1].shard = shard;
    p->index->shards[shard].tensors++;
    return 1;
}

/* ---- keys ---------------------------------------------------------------------------------------------------- */

static int tensor_key(struct parser *p, const char *key, size_t n)
{
    struct tare_shard_index *index = p->index;
    uint32_t before;
    if (!(p->tensor = tare_arena_copy(&index->arena, key, n)) ||
        !tare_grow(&index->entries, &index->entries_room, index->n_entries + 1, sizeof *index->entries) ||
        !tare_map_put(&index->by_tensor, p->tensor, n, (uint32_t)index->n_entries, &before))
        return refuse_memory(p);
    if (before != TARE_MAP_NONE)
        return refuse(p, p->tensor, "stands twice in weight_map: which shard is meant is not said");
    index->entries[index->n_entries++].name = p->tensor;
    return 1;
}

/* A key of an object that is skipped, or of the top level: only not twice. */
static int other_key(struct parser *p, const char *key, size_t n)
{
    const uint32_t scope = p->depth ? p->scopes[p->depth - 1] : 0;
    char *scoped = tare_arena_alloc(&p->arena, sizeof scope + n);
    uint32_t before;
    if (!scoped)
        return refuse_memory(p);
    memcpy(scoped, &scope, sizeof scope);
    memcpy(scoped + sizeof scope, key, n);
    if (!tare_map_put(&p->keys, scoped, sizeof scope + n, 0, &before))
        return refuse_memory(p);
    if (before != TARE_MAP_NONE)
        return refuse(p, tare_scan_word(key, n).text, "this key stands twice: which one counts is not said");
    return 1;
}

static int on_key(void *context, const unsigned char *key, size_t n)
{
    struct parser *p = context;
    if (memchr(key, 0, n))
        return refuse(p, NULL, "a name has U+0000 in it (\"%s\"): the file is damaged or made to deceive",
                      tare_scan_word(key, n).text);
    if (p->place == WEIGHT_MAP)
        return tensor_key(p, (const char *)key, n);
    if (!other_key(p, (const char *)key, n))
        return 0;
    if (p->place == TOP)
        p->place = n == strlen("weight_map") && !memcmp(key, "weight_map", n) ? WEIGHT_MAP_START : SKIP;
    return 1;
}

/* ---- objects and lists --------------------------------------------------------------------------------------- */

static int skip_into(struct parser *p, uint32_t scope)
{
    if (p->depth == DEEPEST)
        return refuse(p, NULL, "is nested more than %d deep: the file is damaged", DEEPEST);
    p->scopes[p->depth++] = scope;
    return 1;
}

static int on_start_map(void *context)
{
    struct parser *p = context;
    if (p->place == SKIP)
        return skip_into(p, ++p->n_scopes);
    if (p->place == WEIGHT_MAP)
        return other_value(p, "an object");
    p->had_map = p->had_map || p->place == WEIGHT_MAP_START;
    p->place = p->place == START ? TOP : WEIGHT_MAP;
    return 1;
}

static int on_end(void *context)
{
    struct parser *p = context;
    if (p->place == SKIP)
        p->depth--;
    if (!p->depth)
        p->place = TOP;
    return 1;
}

static int on_start_array(void *context)
{
    struct parser *p = context;
    return p->place == SKIP ? skip_into(p, 0) : other_value(p, "a list");
}

enum tare_code tare_index_parse(struct tare_shard_index *index, const char *file_name, const char *text, size_t n,
                                struct tare_error *err)
{
    static const yajl_callbacks callbacks = {
        .yajl_null = on_null,
        .yajl_boolean = on_boolean,
        .yajl_number = on_number,
        .yajl_string = on_string,
        .yajl_start_map = on_start_map,
        .yajl_map_key = on_key,
        .yajl_end_map = on_end,
        .yajl_start_array = on_start_array,
        .yajl_end_array = on_end,
    };
    struct tare_error own = {0};
    struct parser p = {.index = index, .file_name = file_name, .err = err ? err : &own};
    enum tare_code code = tare_scan(file_name, "the index", text, n, &callbacks, &p, p.err);
    tare_map_release(&p.keys);
    tare_arena_release(&p.arena);
    if (!code && !p.had_map)
        return tare_fail(err, TARE_E_FORMAT, file_name, "has no weight_map: this is no index of safetensors files");
    if (!code && !index->n_shards)
        return tare_fail(err, TARE_E_FORMAT, file_name,
                         "its weight_map is empty, so no shard counts: fetch it again, or remove it to read all files");
    return code;
}

void tare_index_release(struct tare_shard_index *index)
{
    free(index->entries);
    free(index->shards);
    tare_map_release(&index->by_tensor);
    tare_map_release(&index->by_shard);
    tare_arena_release(&index->arena);
    *index = (struct tare_shard_index){0};
}
