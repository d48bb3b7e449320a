/* SPDX-License-Identifier: MIT
 * header.c - a shard's header with other names, or without some tensors, and the shard that goes with it. Data ranges
 * stay contiguous: what follows a dropped tensor moves up.
 */
#if defined(__linux__)
#define _GNU_SOURCE /* FICLONE lies in linux/fs.h */
#endif
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#if defined(__linux__)
#include <linux/fs.h>
#endif

#include "open/safetensors.h"
#include "repair/repair.h"
#include "save/save.h"

#define AT_ONCE ((size_t)1 << 20)

struct range {
    const char *name;
    uint64_t begin, end;
    json_t *entry; /* borrowed */
    bool dropped;
};

/* A shard's header, old and new. */
struct header {
    uint64_t old_size, file_size; /* of the JSON; of the file */
    json_t *json;
    struct range *ranges; /* heap; by begin */
    size_t n;
    char *text; /* the new one; heap */
    size_t size;
    struct tare_map edits; /* name -> index in the repair's edits of tensors */
};

static void release(struct header *h)
{
    tare_map_release(&h->edits);
    json_decref(h->json);
    free(h->ranges);
    free(h->text);
}

static const struct tare_edited_tensor *edit_of(const struct tare_repair *r, const struct header *h, const char *name)
{
    const uint32_t at = tare_map_get(&h->edits, name, strlen(name));
    return at == TARE_MAP_NONE ? NULL : &r->edits.tensors[at];
}

bool tare_header_changes(const struct tare_repair *r, size_t file)
{
    for (size_t i = 0; i < r->n_changes; i++)
        if ((!strcmp(r->changes[i].kind, "rename") || !strcmp(r->changes[i].kind, "drop")) &&
            !strcmp(r->changes[i].file, r->model->checkpoint.files[file].name))
            return true;
    return false;
}

static int by_begin(const void *left, const void *right)
{
    const struct range *a = left, *b = right;
    if (a->begin != b->begin)
        return a->begin < b->begin ? -1 : 1;
    return (a->end > b->end) - (a->end < b->end);
}

static enum tare_code read_header(struct header *h, const struct tare_file *file, struct tare_error *err)
{
    unsigned char first[8] = {0};
    char *text = NULL;
    int fd = -1;
    enum tare_code code = tare_file_open(&fd, &h->file_size, file->path, file->name, err);
    if (code)
        return code;
    code = tare_file_read(fd, first, sizeof first, 0, file->name, err);
    if (!code)
        code = tare_safetensors_length(file->name, first, h->file_size, &h->old_size, err);
    if (!code && !(text = malloc((size_t)h->old_size + 1)))
        code = tare_fail_memory(err);
    if (!code)
        code = tare_file_read(fd, text, (size_t)h->old_size, sizeof first, file->name, err);
    if (!code)
        code = tare_json_parse(&h->json, file->name, text, (size_t)h->old_size, err);
    free(text);
    close(fd);
    return code;
}

static enum tare_code list_ranges(struct header *h, const struct tare_repair *r, struct tare_error *err)
{
    const char *name;
    json_t *entry;
    for (size_t i = 0; i < r->edits.n_tensors; i++)
        if (!tare_map_put(&h->edits, r->edits.tensors[i].from, strlen(r->edits.tensors[i].from), (uint32_t)i, NULL))
            return tare_fail_memory(err);
    h->ranges = calloc(json_object_size(h->json) + 1, sizeof *h->ranges);
    if (!h->ranges)
        return tare_fail_memory(err);
    json_object_foreach(h->json, name, entry)
    {
        const json_t *offsets = json_object_get(entry, "data_offsets");
        const struct tare_edited_tensor *edit = edit_of(r, h, name);
        if (strcmp(name, "__metadata__") != 0)
            h->ranges[h->n++] =
                (struct range){name, (uint64_t)json_integer_value(json_array_get(offsets, 0)),
                               (uint64_t)json_integer_value(json_array_get(offsets, 1)), entry, edit && !edit->to};
    }
    qsort(h->ranges, h->n, sizeof *h->ranges, by_begin);
    return TARE_OK;
}

/* Writes the entries in the order of their data, as other programs do. */
static bool new_json(const struct header *h, const struct tare_repair *r, json_t *top)
{
    json_t *metadata = json_object_get(h->json, "__metadata__");
    uint64_t at = 0;
    if (metadata && json_object_set(top, "__metadata__", metadata))
        return false;
    for (size_t i = 0; i < h->n; i++) {
        const struct range *range = &h->ranges[i];
        const struct tare_edited_tensor *edit = edit_of(r, h, range->name);
        const uint64_t size = range->end - range->begin;
        if (range->dropped)
            continue;
        json_t *entry = json_copy(range->entry);
        json_t *offsets = json_pack("[I, I]", (json_int_t)at, (json_int_t)(at + size));
        if (!entry || !offsets || json_object_set(entry, "data_offsets", offsets) ||
            json_object_set(top, edit ? edit->to : range->name, entry))
            at = UINT64_MAX;
        json_decref(entry);
        json_decref(offsets);
        if (at == UINT64_MAX)
            return false;
        at += size;
    }
    return true;
}

static enum tare_code make(struct header *h, const struct tare_repair *r, size_t file, struct tare_error *err)
{
    enum tare_code code = read_header(h, &r->model->checkpoint.files[file], err);
    if (!code)
        code = list_ranges(h, r, err);
    if (code)
        return code;
    json_t *top = json_object();
    if (top && new_json(h, r, top))
        h->text = json_dumps(top, JSON_COMPACT);
    json_decref(top);
    h->size = h->text ? strlen(h->text) : 0;
    return h->text ? TARE_OK : tare_fail_memory(err);
}

enum tare_code tare_header_fits(struct tare_repair *r, const char **why, struct tare_error *err)
{
    const struct tare_checkpoint *c = &r->model->checkpoint;
    *why = NULL;
    for (size_t i = 0; i < r->n_changes && !*why; i++)
        if (!strcmp(r->changes[i].kind, "drop"))
            *why = tare_arena_format(
                &r->arena, "%s: without %s its bytes would be a hole in the file; -o DIR writes the shard anew",
                r->changes[i].file, r->changes[i].key);
    for (size_t k = 0; k < c->n_files && !*why && c->folder; k++) {
        struct header h = {0};
        if (!tare_header_changes(r, k))
            continue;
        const enum tare_code code = make(&h, r, k, err);
        if (!code && h.size > h.old_size)
            *why = tare_arena_format(&r->arena,
                                     "%s: the new header has %zu bytes, the old one has room for %" PRIu64
                                     "; -o DIR writes the shard anew",
                                     c->files[k].name, h.size, h.old_size);
        release(&h);
        if (code)
            return code;
    }
    return r->arena.failed ? tare_fail_memory(err) : TARE_OK;
}

/* Copies n bytes from one offset of a file to another offset of another file. */
static enum tare_code move_bytes(int from, uint64_t at, int to, uint64_t there, uint64_t n, const char *name,
                                 struct tare_error *err)
{
    unsigned char *buffer = malloc(AT_ONCE);
    enum tare_code code = buffer ? TARE_OK : tare_fail_memory(err);
    while (n && !code) {
        const size_t run = n < AT_ONCE ? (size_t)n : AT_ONCE;
        code = tare_file_read(from, buffer, run, at, name, err);
        if (!code)
            code = tare_folder_write(to, name, buffer, run, there, err);
        at += run;
        there += run;
        n -= run;
    }
    free(buffer);
    return code;
}

static bool clone_file(int from, int to)
{
#if defined(__linux__) && defined(FICLONE)
    return !ioctl(to, FICLONE, from);
#else
    (void)from;
    (void)to;
    return false;
#endif
}

enum tare_code tare_file_copy(const char *path, const char *name, int fd, struct tare_error *err)
{
    uint64_t size = 0;
    int from = -1;
    enum tare_code code = tare_file_open(&from, &size, path, name, err);
    if (code)
        return code;
    if (!clone_file(from, fd))
        code = move_bytes(from, 0, fd, 0, size, name, err);
    close(from);
    return code;
}

static enum tare_code write_head(const struct header *h, uint64_t room, int fd, const char *name,
                                 struct tare_error *err)
{
    unsigned char first[8];
    char spaces[64];
    memset(spaces, ' ', sizeof spaces);
    for (int i = 0; i < 8; i++)
        first[i] = (unsigned char)(room >> 8 * i);
    enum tare_code code = tare_folder_write(fd, name, first, sizeof first, 0, err);
    if (!code)
        code = tare_folder_write(fd, name, h->text, h->size, sizeof first, err);
    for (uint64_t at = h->size; !code && at < room; at += sizeof spaces)
        code = tare_folder_write(fd, name, spaces, room - at < sizeof spaces ? (size_t)(room - at) : sizeof spaces,
                                 sizeof first + at, err);
    return code;
}

/* Copies the data after the new header. Neighbours that both stay are copied together. */
static enum tare_code write_data(const struct header *h, const struct tare_file *file, uint64_t room, int fd,
                                 struct tare_error *err)
{
    uint64_t to = 8 + room, size = 0;
    int from = -1;
    enum tare_code code = tare_file_open(&from, &size, file->path, file->name, err);
    for (size_t i = 0; i < h->n && !code;) {
        size_t k = i;
        while (k < h->n && !h->ranges[k].dropped)
            k++;
        if (k > i) {
            const uint64_t n = h->ranges[k - 1].end - h->ranges[i].begin;
            code = move_bytes(from, 8 + h->old_size + h->ranges[i].begin, fd, to, n, file->name, err);
            to += n;
        }
        i = k + 1;
    }
    if (from >= 0)
        close(from);
    return code;
}

enum tare_code tare_header_write(const struct tare_repair *r, size_t at, int fd, bool keep, struct tare_error *err)
{
    const struct tare_file *file = &r->model->checkpoint.files[at];
    struct header h = {0};
    enum tare_code code = make(&h, r, at, err);
    const uint64_t room = keep ? h.old_size : (h.size + 7) / 8 * 8; /* safetensors aligns the data to 8 bytes */
    if (!code && keep && h.size > room)
        code = tare_fail(err, TARE_E_TARGET, file->name, "the new header does not fit the old one's room");
    if (!code && keep)
        code = tare_file_copy(file->path, file->name, fd, err);
    else if (!code)
        code = write_data(&h, file, room, fd, err);
    if (!code)
        code = write_head(&h, room, fd, file->name, err);
    release(&h);
    return code;
}
