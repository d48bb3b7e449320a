/* SPDX-License-Identifier: MIT
 * safetensors.c - a safetensors header -> tensors, every bound checked.
 * Format: 8 bytes little-endian n, n bytes of JSON, the data (huggingface/safetensors, README.md, "Format"). */
#include "open/safetensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/locale.h"
#include "open/scan.h"

enum place { TOP, ENTRIES, ENTRY_VALUE, ENTRY, FIELD, LIST, METADATA, METADATA_VALUE };
enum field { DTYPE = 1, SHAPE = 2, OFFSETS = 4, ALL_FIELDS = 7 };

struct parser {
    const char *file_name;
    uint32_t file;
    const char *header;
    size_t n;
    uint64_t data_start;
    struct tare_arena *arena;
    struct tare_tensor **tensors;
    size_t *n_tensors, *room;
    size_t first; /* tensors before it belong to other files */
    struct tare_map names, metadata;
    struct tare_arena keys; /* of __metadata__, those with escapes */
    struct tare_error *err;

    enum place place;
    bool in_metadata, had_metadata;
    const char *name; /* of the entry being read */
    unsigned had;     /* enum field, by bits */
    enum field field;
    enum tare_dtype dtype;
    int64_t *list; /* the numbers of shape or data_offsets */
    size_t n_list, list_room;
    int rank;
    const int64_t *shape;
    uint64_t begin, end;
};

/* A byte range of the data, to be sorted. */
struct range {
    uint64_t begin, end;
    const char *name;
};

int64_t tare_shape_count(int rank, const int64_t *shape)
{
    int64_t count = 1;
    for (int i = 0; i < rank; i++)
        if (!shape[i])
            return 0;
    for (int i = 0; i < rank; i++) {
        if (shape[i] < 1 || count > INT64_MAX / shape[i])
            return -1;
        count *= shape[i];
    }
    return count;
}

/* Refuse something of tensor `name` (NULL: of the file); returns 0, as a callback of yajl does to stop. */
static int refuse(struct parser *p, enum tare_code code, const char *name, const char *format, ...) TARE_PRINTF(4, 5);

static int refuse(struct parser *p, enum tare_code code, const char *name, const char *format, ...)
{
    char text[sizeof p->err->text], where[sizeof p->err->where];
    va_list args;
    va_start(args, format);
    tare_vformat(text, sizeof text, format, args);
    va_end(args);
    snprintf(where, sizeof where, "%s%s%s", p->file_name, name ? ": " : "", name ? name : "");
    tare_fail(p->err, code, where, "%s", text);
    return 0;
}

static int refuse_memory(struct parser *p)
{
    tare_fail_memory(p->err);
    return 0;
}

/* ---- values -------------------------------------------------------------------------------------------------- */

static const char *field_name(enum field field)
{
    return field == DTYPE ? "dtype" : field == SHAPE ? "shape" : "data_offsets";
}

/* A value of the wrong type: what was found and what belongs there. */
static int refuse_type(struct parser *p, const char *found)
{
    switch (p->place) {
    case TOP:
        return refuse(p, TARE_E_FORMAT, NULL, "the header is %s, not an object: this is no safetensors file", found);
    case ENTRY_VALUE:
        return refuse(p, TARE_E_FORMAT, p->name,
                      "its entry in the header is %s; an object with dtype, shape and data_offsets is expected", found);
    case METADATA_VALUE:
        return refuse(p, TARE_E_FORMAT, "__metadata__", "a value is %s; only strings are allowed", found);
    case LIST:
        return refuse(p, TARE_E_FORMAT, p->name, "%s holds %s; whole numbers from 0 to 2^63 - 1 are expected",
                      field_name(p->field), found);
    default:
        return refuse(p, TARE_E_FORMAT, p->name, "%s is %s; %s is expected", field_name(p->field), found,
                      p->field == DTYPE ? "a string" : "a list of whole numbers");
    }
}

static int on_null(void *context)
{
    struct parser *p = context;
    if (p->place != ENTRY_VALUE || !p->in_metadata)
        return refuse_type(p, "null");
    p->place = ENTRIES; /* "__metadata__": null, as mlx's save_safetensors writes it without metadata, is none */
    return 1;
}

static int on_boolean(void *context, int value)
{
    return refuse_type(context, value ? "true" : "false");
}

static int on_number(void *context, const char *digits, size_t n)
{
    struct parser *p = context;
    uint64_t value;
    if (p->place != LIST)
        return refuse_type(p, "a number");
    if (!tare_scan_integer(digits, n, &value))
        return refuse_type(p, tare_scan_word(digits, n).text);
    if (!tare_grow(&p->list, &p->list_room, p->n_list + 1, sizeof *p->list))
        return refuse_memory(p);
    p->list[p->n_list++] = (int64_t)value;
    return 1;
}

static int on_string(void *context, const unsigned char *text, size_t n)
{
    struct parser *p = context;
    if (p->place == METADATA_VALUE) {
        p->place = METADATA;
        return 1;
    }
    if (p->place != FIELD || p->field != DTYPE)
        return refuse_type(p, "a string");
    for (unsigned i = 0; i < TARE_DTYPE_COUNT; i++) {
        const char *name = tare_dtype_name((enum tare_dtype)i);
        if (strlen(name) == n && !memcmp(name, text, n)) {
            p->dtype = (enum tare_dtype)i;
            p->place = ENTRY;
            return 1;
        }
    }
    return refuse(p, TARE_E_UNKNOWN, p->name,
                  "dtype \"%s\" is not known to tare (it reads BOOL, U8 to U64, I8 to I64, "
                  "F8_E4M3, F8_E5M2, F8_E8M0, F16, BF16, F32, F64)",
                  tare_scan_word(text, n).text);
}

/* ---- keys ---------------------------------------------------------------------------------------------------- */

static int entry_name(struct parser *p, const unsigned char *key, size_t n)
{
    uint32_t before;
    if (memchr(key, 0, n))
        return refuse(p, TARE_E_FORMAT, NULL,
                      "the name of a tensor has U+0000 in it (\"%s\"): the file is damaged or "
                      "made to deceive",
                      tare_scan_word(key, n).text);
    p->had = 0;
    p->place = ENTRY_VALUE;
    p->in_metadata = n == strlen("__metadata__") && !memcmp(key, "__metadata__", n);
    if (p->in_metadata) {
        p->name = "__metadata__";
        if (p->had_metadata)
            return refuse(p, TARE_E_FORMAT, p->name, "stands twice in the header: which one counts is not said");
        p->had_metadata = true;
        return 1;
    }
    if (!(p->name = tare_arena_copy(p->arena, (const char *)key, n)) ||
        !tare_map_put(&p->names, p->name, n, 0, &before))
        return refuse_memory(p);
    if (before != TARE_MAP_NONE)
        return refuse(p, TARE_E_FORMAT, p->name, "stands twice in the header: which data is meant is not said");
    return 1;
}

static int entry_field(struct parser *p, const unsigned char *key, size_t n)
{
    static const enum field fields[] = {DTYPE, SHAPE, OFFSETS};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        const char *name = field_name(fields[i]);
        if (strlen(name) != n || memcmp(name, key, n) != 0)
            continue;
        if (p->had & fields[i])
            return refuse(p, TARE_E_FORMAT, p->name, "its entry has %s twice: which one counts is not said", name);
        p->had |= fields[i];
        p->field = fields[i];
        p->place = FIELD;
        return 1;
    }
    return refuse(p, TARE_E_FORMAT, p->name,
                  "its entry has the key \"%s\"; exactly dtype, shape and data_offsets are "
                  "expected",
                  tare_scan_word(key, n).text);
}

static int metadata_key(struct parser *p, const unsigned char *key, size_t n)
{
    const char *kept = (const char *)key;
    uint32_t before;
    if (memchr(key, 0, n))
        return refuse(p, TARE_E_FORMAT, "__metadata__", "a key has U+0000 in it (\"%s\")", tare_scan_word(key, n).text);
    /* A key without escapes lies in the header itself; one with them in a buffer that yajl uses again. */
    const uintptr_t at = (uintptr_t)key, start = (uintptr_t)p->header;
    if (at < start || at - start > p->n)
        kept = tare_arena_copy(&p->keys, kept, n);
    if (!kept || !tare_map_put(&p->metadata, kept, n, 0, &before))
        return refuse_memory(p);
    if (before != TARE_MAP_NONE)
        return refuse(p, TARE_E_FORMAT, "__metadata__", "the key \"%s\" stands twice", tare_scan_word(key, n).text);
    p->place = METADATA_VALUE;
    return 1;
}

static int on_key(void *context, const unsigned char *key, size_t n)
{
    struct parser *p = context;
    if (p->place == ENTRIES)
        return entry_name(p, key, n);
    return p->place == METADATA ? metadata_key(p, key, n) : entry_field(p, key, n);
}

/* ---- objects and lists --------------------------------------------------------------------------------------- */

static int on_start_map(void *context)
{
    struct parser *p = context;
    if (p->place == TOP)
        p->place = ENTRIES;
    else if (p->place == ENTRY_VALUE)
        p->place = p->in_metadata ? METADATA : ENTRY;
    else
        return refuse_type(p, "an object");
    return 1;
}

static int entry_end(struct parser *p)
{
    for (unsigned field = DTYPE; field <= OFFSETS; field <<= 1)
        if (!(p->had & field))
            return refuse(p, TARE_E_FORMAT, p->name, "its entry has no %s", field_name((enum field)field));
    const int64_t count = tare_shape_count(p->rank, p->shape);
    const uint64_t item = tare_dtype_size(p->dtype);
    if (count < 0 || (uint64_t)count > (uint64_t)INT64_MAX / item)
        return refuse(p, TARE_E_FORMAT, p->name,
                      "the product of its shape does not fit 63 bits: the header is damaged");
    if (p->begin > p->end)
        return refuse(p, TARE_E_FORMAT, p->name, "data_offsets run backwards, from %" PRIu64 " to %" PRIu64, p->begin,
                      p->end);
    if (p->end - p->begin != (uint64_t)count * item)
        return refuse(p, TARE_E_FORMAT, p->name,
                      "data_offsets span %" PRIu64 " bytes, its shape needs %" PRIu64 " of %s: the header is damaged",
                      p->end - p->begin, (uint64_t)count * item, tare_dtype_name(p->dtype));
    if (!tare_grow(p->tensors, p->room, *p->n_tensors + 1, sizeof **p->tensors))
        return refuse_memory(p);
    (*p->tensors)[(*p->n_tensors)++] = (struct tare_tensor){
        .name = p->name,
        .dtype = p->dtype,
        .rank = p->rank,
        .shape = p->shape,
        .file = p->file,
        .offset = p->data_start + p->begin,
        .size = p->end - p->begin,
    };
    return 1;
}

static int on_end_map(void *context)
{
    struct parser *p = context;
    if (p->place == ENTRY && !entry_end(p))
        return 0;
    p->place = p->place == ENTRIES ? TOP : ENTRIES;
    return 1;
}

static int on_start_array(void *context)
{
    struct parser *p = context;
    if (p->place != FIELD || p->field == DTYPE)
        return refuse_type(p, "a list");
    p->place = LIST;
    p->n_list = 0;
    return 1;
}

static int on_end_array(void *context)
{
    struct parser *p = context;
    p->place = ENTRY;
    if (p->field == OFFSETS) {
        if (p->n_list != 2)
            return refuse(p, TARE_E_FORMAT, p->name, "data_offsets has %zu numbers; two are expected, begin and end",
                          p->n_list);
        p->begin = (uint64_t)p->list[0];
        p->end = (uint64_t)p->list[1];
        return 1;
    }
    int64_t *shape = tare_arena_array(p->arena, p->n_list, sizeof *shape);
    if (!shape)
        return refuse_memory(p);
    if (p->n_list)
        memcpy(shape, p->list, p->n_list * sizeof *shape);
    p->shape = shape;
    p->rank = (int)p->n_list; /* at most TARE_HEADER_MOST / 2 */
    return 1;
}

/* ---- the whole file ------------------------------------------------------------------------------------------ */

static int by_begin(const void *left, const void *right)
{
    const struct range *a = left, *b = right;
    if (a->begin != b->begin)
        return a->begin < b->begin ? -1 : 1;
    return (a->end > b->end) - (a->end < b->end); /* empty tensors before the one that starts where they lie */
}

/* The ranges must be contiguous from 0 to the end of the file. Then no two overlap, and every byte belongs to one. */
static int check_ranges(struct parser *p, struct range *ranges, size_t n, uint64_t file_size)
{
    const uint64_t data = file_size - p->data_start;
    uint64_t end = 0;
    if (n)
        qsort(ranges, n, sizeof *ranges, by_begin);
    for (size_t i = 0; i < n; i++) {
        const struct range *r = &ranges[i];
        if (r->begin < end)
            return refuse(p, TARE_E_FORMAT, r->name,
                          "its data begin at %" PRIu64 ", within \"%s\", which ends at %" PRIu64
                          ": the header is damaged",
                          r->begin, tare_scan_word(ranges[i - 1].name, strlen(ranges[i - 1].name)).text, end);
        if (r->begin > end)
            return refuse(p, TARE_E_FORMAT, r->name,
                          "its data begin at %" PRIu64 "; %" PRIu64
                          " bytes before it belong to no tensor: the header is damaged",
                          r->begin, r->begin - end);
        end = r->end;
    }
    if (end > data)
        return refuse(p, TARE_E_FORMAT, NULL,
                      "file is %" PRIu64 " bytes, its header says %" PRIu64
                      ": the download was cut short; fetch it again",
                      file_size, p->data_start + end);
    if (end < data)
        return refuse(p, TARE_E_FORMAT, NULL,
                      "file is %" PRIu64 " bytes, its header says %" PRIu64
                      ": what follows the last tensor belongs to none; fetch it again",
                      file_size, p->data_start + end);
    return 1;
}

static enum tare_code check_file(struct parser *p, uint64_t file_size)
{
    const size_t n = *p->n_tensors - p->first;
    struct range *ranges = n ? malloc(n * sizeof *ranges) : NULL;
    if (n && !ranges)
        return tare_fail_memory(p->err);
    for (size_t i = 0; i < n; i++) {
        const struct tare_tensor *t = &(*p->tensors)[p->first + i];
        const uint64_t begin = t->offset - p->data_start;
        ranges[i] = (struct range){begin, begin + t->size, t->name};
    }
    const enum tare_code code = check_ranges(p, ranges, n, file_size) ? TARE_OK : p->err->code;
    free(ranges);
    return code;
}

enum tare_code tare_safetensors_length(const char *file_name, const unsigned char *first, uint64_t file_size,
                                       uint64_t *n, struct tare_error *err)
{
    static const struct {
        const char *first, *text;
    } others[] = {
        {"version ", "is a Git LFS pointer, not the weights: run `git lfs pull`, or fetch it again"},
        {"<!DOCTYP", "is a web page, not the weights: fetch it again"},
        {"<!doctyp", "is a web page, not the weights: fetch it again"},
        {"<html", "is a web page, not the weights: fetch it again"},
        {"GGUF", "is a GGUF file under another name: tare does not read GGUF yet"},
        {"PK\x03\x04",
         "is a PyTorch pickle under another name: tare runs no code of a checkpoint; convert it to safetensors"},
        {"\x80\x02",
         "is a Python pickle under another name: tare runs no code of a checkpoint; convert it to safetensors"},
    };
    if (file_size < 8)
        return tare_fail(err, TARE_E_FORMAT, file_name,
                         "file is %" PRIu64
                         " bytes, too short for a safetensors file: the download was cut short; fetch "
                         "it again",
                         file_size);
    *n = 0;
    for (int i = 7; i >= 0; i--)
        *n = *n << 8 | first[i];
    if (*n <= TARE_HEADER_MOST && *n <= file_size - 8)
        return TARE_OK;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (!memcmp(first, others[i].first, strlen(others[i].first)))
            return tare_fail(err, TARE_E_FORMAT, file_name, "%s", others[i].text);
    if (*n > TARE_HEADER_MOST)
        return tare_fail(err, TARE_E_FORMAT, file_name,
                         "its header would be %" PRIu64 " bytes, %u are the limit: this is "
                         "no safetensors file",
                         *n, TARE_HEADER_MOST);
    return tare_fail(err, TARE_E_FORMAT, file_name,
                     "file is %" PRIu64 " bytes, its header says %" PRIu64
                     ": the download was cut short; fetch it again",
                     file_size, *n);
}

enum tare_code tare_safetensors_parse(const char *file_name, uint32_t file, const char *header, size_t n,
                                      uint64_t file_size, struct tare_arena *arena, struct tare_tensor **tensors,
                                      size_t *n_tensors, size_t *room, struct tare_error *err)
{
    static const yajl_callbacks callbacks = {
        .yajl_null = on_null,
        .yajl_boolean = on_boolean,
        .yajl_number = on_number,
        .yajl_string = on_string,
        .yajl_start_map = on_start_map,
        .yajl_map_key = on_key,
        .yajl_end_map = on_end_map,
        .yajl_start_array = on_start_array,
        .yajl_end_array = on_end_array,
    };
    struct tare_error own = {0};
    struct parser p = {
        .file_name = file_name,
        .file = file,
        .header = header,
        .n = n,
        .data_start = 8 + (uint64_t)n,
        .arena = arena,
        .tensors = tensors,
        .n_tensors = n_tensors,
        .room = room,
        .first = *n_tensors,
        .err = err ? err : &own,
    };
    if (n > TARE_HEADER_MOST || p.data_start > file_size)
        return tare_fail(err, TARE_E_FORMAT, file_name, "its header of %zu bytes does not fit the file or the limit",
                         n);
    enum tare_code code = tare_scan(file_name, "the header", header, n, &callbacks, &p, p.err);
    if (!code)
        code = check_file(&p, file_size);
    free(p.list);
    tare_map_release(&p.names);
    tare_map_release(&p.metadata);
    tare_arena_release(&p.keys);
    return code;
}
