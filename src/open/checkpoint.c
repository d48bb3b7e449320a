/* SPDX-License-Identifier: MIT
 * checkpoint.c - stage 1, open: find the shards, read their headers, hold them against the index; and the side files. */
#include "open/checkpoint.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/pool.h"
#include "open/edits.h"
#include "open/gguf/gguf.h"
#include "open/locate.h"
#include "open/safetensors.h"
#include "open/shards.h"

#define HEAD_USUAL ((size_t)128 << 10) /* bytes: headers of a thousand tensors are shorter */

/* ---- headers ------------------------------------------------------------------------------------------------- */

/* A side file that was given in memory, or that was made of the metadata of a GGUF file; NULL: there is none. */
static const struct tare_memory_file *memory_file(const struct tare_checkpoint *checkpoint, const char *name)
{
    const struct tare_memory_file *files = checkpoint->gguf ? checkpoint->made : checkpoint->memory;
    const size_t n = checkpoint->gguf ? checkpoint->n_made : checkpoint->n_memory;
    for (size_t i = 0; i < n; i++)
        if (!strcmp(files[i].name, name))
            return &files[i];
    return NULL;
}

static enum tare_code parse_header(struct tare_checkpoint *checkpoint, size_t at, const char *header, uint64_t n,
                                   size_t *room, struct tare_error *err)
{
    const struct tare_file *file = &checkpoint->files[at];
    return tare_safetensors_parse(file->name, (uint32_t)at, header, (size_t)n, file->size, &checkpoint->arena,
                                  &checkpoint->tensors, &checkpoint->n_tensors, room, err);
}

static enum tare_code open_memory(struct tare_checkpoint *checkpoint, size_t at, size_t *room, struct tare_error *err)
{
    struct tare_file *file = &checkpoint->files[at];
    const struct tare_memory_file *memory = memory_file(checkpoint, file->name);
    assert(memory); /* the listing is made of them */
    uint64_t n = 0;
    file->size = memory->size;
    file->mapping = tare_arena_alloc(&checkpoint->arena, sizeof *file->mapping);
    if (!file->mapping)
        return tare_fail_memory(err);
    *file->mapping = (struct tare_mapping){.data = memory->data, .size = memory->size, .kind = TARE_MAPPING_MEMORY};
    const enum tare_code code = tare_safetensors_length(file->name, memory->data, memory->size, &n, err);
    return code ? code : parse_header(checkpoint, at, (const char *)memory->data + 8, n, room, err);
}

/* The header of a shard that is read, not yet parsed. */
struct head {
    char *text; /* heap: the 8 bytes of its length, then its n bytes */
    uint64_t n;
    enum tare_code code;
    struct tare_error error;
};

/* Reads only the header, because the data may be larger than memory or far away: in one call where it has a usual
 * length. */
static enum tare_code read_head(const struct tare_checkpoint *checkpoint, struct tare_file *file, struct head *head,
                                struct tare_error *err)
{
    struct tare_bytes bytes;
    enum tare_code code = tare_checkpoint_bytes(checkpoint, file->name, &bytes, err);
    if (code)
        return code;
    file->size = bytes.size;
    const size_t usual = file->size < HEAD_USUAL ? (size_t)file->size : HEAD_USUAL;
    head->text = calloc(HEAD_USUAL, 1);
    code = head->text ? tare_bytes_read(&bytes, head->text, usual, 0, err) : tare_fail_memory(err);
    if (!code)
        code = tare_safetensors_length(file->name, (const unsigned char *)head->text, file->size, &head->n, err);
    if (!code && head->n + 8 > usual) {
        char *longer = realloc(head->text, (size_t)head->n + 8);
        head->text = longer ? longer : head->text;
        code = longer ? tare_bytes_read(&bytes, longer + usual, (size_t)head->n + 8 - usual, usual, err)
                      : tare_fail_memory(err);
    }
    tare_bytes_close(&bytes);
    return code;
}

/* ---- several headers at once, as the host allows ---- */

struct heads {
    struct tare_checkpoint *checkpoint;
    struct head *list; /* one a file */
};

static void read_one(void *user, size_t i, int worker)
{
    const struct heads *heads = user;
    struct head *head = &heads->list[i];
    (void)worker;
    head->code = read_head(heads->checkpoint, &heads->checkpoint->files[i], head, &head->error);
}

/* Their errors stay in the list: the first of a file counts. */
static enum tare_code read_together(struct heads *heads, struct tare_error *err)
{
    const struct tare_checkpoint *checkpoint = heads->checkpoint;
    const int most = checkpoint->door->host.parallel;
    const int threads = checkpoint->n_files < (size_t)most ? (int)checkpoint->n_files : most;
    struct tare_pool *pool = NULL;
    const enum tare_code code = tare_pool_open(&pool, threads, err);
    if (!code)
        tare_pool_run(pool, checkpoint->n_files, read_one, heads);
    tare_pool_free(pool);
    return code;
}

static enum tare_code open_shards(struct tare_checkpoint *checkpoint, size_t *room, struct tare_error *err)
{
    struct heads heads = {checkpoint, calloc(checkpoint->n_files + 1, sizeof *heads.list)};
    if (!heads.list)
        return tare_fail_memory(err);
    const bool together = checkpoint->door && checkpoint->door->host.parallel > 1 && checkpoint->n_files > 1;
    enum tare_code code = together ? read_together(&heads, err) : TARE_OK;
    for (size_t i = 0; i < checkpoint->n_files && !code; i++) {
        struct head *head = &heads.list[i];
        if (!together)
            read_one(&heads, i, 0);
        if ((code = head->code) && err)
            *err = head->error;
        if (!code)
            code = parse_header(checkpoint, i, head->text + 8, head->n, room, err);
        free(head->text);
        head->text = NULL;
    }
    for (size_t i = 0; i < checkpoint->n_files; i++)
        free(heads.list[i].text);
    free(heads.list);
    return code;
}

static int by_name(const void *left, const void *right)
{
    const struct tare_tensor *a = left, *b = right;
    return strcmp(a->name, b->name);
}

/* Sort, refuse what lies in two files, and make names findable. */
static enum tare_code sort_tensors(struct tare_checkpoint *checkpoint, struct tare_error *err)
{
    struct tare_tensor *tensors = checkpoint->tensors;
    const size_t n = checkpoint->n_tensors;
    if (n)
        qsort(tensors, n, sizeof *tensors, by_name);
    if (!tare_map_reserve(&checkpoint->by_name, n))
        return tare_fail_memory(err);
    for (size_t i = 0; i < n; i++) {
        if (i && !strcmp(tensors[i].name, tensors[i - 1].name)) {
            const uint32_t a = tensors[i - 1].file, b = tensors[i].file;
            return tare_fail(err, TARE_E_FORMAT, tensors[i].name,
                             "lies both in %s and in %s: which one counts is not said; remove the file that does not "
                             "belong to the model",
                             checkpoint->files[a < b ? a : b].name, checkpoint->files[a < b ? b : a].name);
        }
        if (!tare_map_put(&checkpoint->by_name, tensors[i].name, strlen(tensors[i].name), (uint32_t)i, NULL))
            return tare_fail_memory(err);
    }
    return TARE_OK;
}

enum tare_code tare_checkpoint_open(struct tare_checkpoint *checkpoint, const char *path,
                                    const struct tare_options *options, struct tare_error *err)
{
    struct tare_shard_index index = {0};
    const char *index_name = NULL;
    size_t room = 0;
    enum tare_code code = tare_checkpoint_locate(checkpoint, path, options, err);
    if (checkpoint->gguf) {
        code = code ? code : tare_gguf_list(checkpoint, err);
        return code ? code : sort_tensors(checkpoint, err);
    }
    if (!code)
        code = tare_shards_choose(checkpoint, &index, &index_name, err);
    for (size_t i = 0; i < checkpoint->n_files && !code && checkpoint->memory; i++)
        code = open_memory(checkpoint, i, &room, err);
    if (!code && !checkpoint->memory)
        code = open_shards(checkpoint, &room, err);
    if (!code)
        code = sort_tensors(checkpoint, err);
    if (!code && index_name)
        code = tare_shards_agree(checkpoint, &index, index_name, err);
    if (!code && checkpoint->edits && checkpoint->edits->n_tensors) {
        tare_edits_apply(checkpoint->edits, checkpoint);
        code = sort_tensors(checkpoint, err);
    }
    if (index_name && !(checkpoint->index = tare_arena_text(&checkpoint->arena, index_name)) && !code)
        code = tare_fail_memory(err);
    tare_index_release(&index);
    return code;
}

void tare_checkpoint_release(struct tare_checkpoint *checkpoint)
{
    tare_checkpoint_close(checkpoint);
    for (size_t i = 0; i < checkpoint->n_made; i++)
        free((void *)(uintptr_t)checkpoint->made[i].data);
    if (checkpoint->gguf)
        tare_gguf_release(checkpoint->gguf);
    free(checkpoint->files);
    free(checkpoint->tensors);
    free(checkpoint->remarks);
    tare_map_release(&checkpoint->by_name);
    tare_arena_release(&checkpoint->arena);
    if (checkpoint->has_shelf)
        tare_shelf_release(&checkpoint->shelf);
    if (checkpoint->door)
        tare_door_release(checkpoint->door);
    free(checkpoint->door);
    if (checkpoint->has_lock)
        pthread_mutex_destroy(&checkpoint->lock);
    *checkpoint = (struct tare_checkpoint){0};
}

const struct tare_tensor *tare_checkpoint_find(const struct tare_checkpoint *checkpoint, const char *name)
{
    const uint32_t at = tare_map_get(&checkpoint->by_name, name, strlen(name));
    return at == TARE_MAP_NONE ? NULL : &checkpoint->tensors[at];
}

/* ---- side files ---------------------------------------------------------------------------------------------- */

static enum tare_code fail_large(const char *name, uint64_t size, uint64_t most, struct tare_error *err)
{
    return tare_fail(err, TARE_E_FORMAT, name,
                     "is %" PRIu64 " bytes, more than the %" PRIu64 " that such a file may have", size, most);
}

static enum tare_code read_memory(const struct tare_checkpoint *checkpoint, const char *name, uint64_t most,
                                  char **data, size_t *size, struct tare_error *err)
{
    const struct tare_memory_file *file = memory_file(checkpoint, name);
    if (!file)
        return tare_fail(err, TARE_E_ABSENT, name, "no such file");
    if (file->size > most)
        return fail_large(name, file->size, most, err);
    if (!(*data = malloc(file->size + 1)))
        return tare_fail_memory(err);
    if (file->size)
        memcpy(*data, file->data, file->size);
    (*data)[file->size] = '\0';
    *size = file->size;
    return TARE_OK;
}

static enum tare_code read_edited(const struct tare_edited_file *file, char **data, size_t *size,
                                  struct tare_error *err)
{
    if (!file->text)
        return tare_fail(err, TARE_E_ABSENT, file->name, "no such file");
    if (!(*data = malloc(file->size + 1)))
        return tare_fail_memory(err);
    memcpy(*data, file->text, file->size);
    (*data)[file->size] = '\0';
    *size = file->size;
    return TARE_OK;
}

/* Room for a path; the systems that tare runs on open none that is longer. */
struct path {
    char text[4096];
};

static bool folder_path(const struct tare_checkpoint *checkpoint, const char *name, struct path *path)
{
    /* cppcheck-suppress ctuuninitvar ; it is what is written */
    const int n = snprintf(path->text, sizeof path->text, "%s/%s", checkpoint->folder, name);
    return n >= 0 && (size_t)n < sizeof path->text;
}

enum tare_code tare_checkpoint_bytes(const struct tare_checkpoint *checkpoint, const char *name,
                                     struct tare_bytes *bytes, struct tare_error *err)
{
    struct path path;
    *bytes = (struct tare_bytes){.name = name, .fd = -1};
    if (checkpoint->folder && folder_path(checkpoint, name, &path))
        return tare_bytes_open(bytes, path.text, name, err);
    if (checkpoint->folder)
        return tare_fail(err, TARE_E_IO, name, "the path to it is too long");
    const struct tare_host_file *file = checkpoint->door ? tare_door_find(checkpoint->door, name) : NULL;
    if (file) {
        *bytes = (struct tare_bytes){.name = file->name, .size = file->bytes, .door = checkpoint->door, .fd = -1};
        bytes->witness = tare_door_witness(checkpoint->door, file->name);
        return TARE_OK;
    }
    for (size_t i = 0; i < checkpoint->n_memory; i++)
        if (!strcmp(checkpoint->memory[i].name, name)) {
            bytes->size = checkpoint->memory[i].size;
            bytes->memory = bytes->size ? checkpoint->memory[i].data : (const unsigned char *)"";
            return TARE_OK;
        }
    return tare_fail(err, TARE_E_ABSENT, name, "no such file");
}

/* The whole file and a NUL. */
static enum tare_code read_whole(const struct tare_bytes *bytes, char **data, struct tare_error *err)
{
    char *text = bytes->size < SIZE_MAX ? malloc((size_t)bytes->size + 1) : NULL;
    if (!text)
        return tare_fail_memory(err);
    const enum tare_code code = tare_bytes_read(bytes, text, (size_t)bytes->size, 0, err);
    if (code) {
        free(text);
        return code;
    }
    text[bytes->size] = '\0';
    *data = text;
    return TARE_OK;
}

enum tare_code tare_checkpoint_read(const struct tare_checkpoint *checkpoint, const char *name, uint64_t most,
                                    char **data, size_t *size, struct tare_error *err)
{
    struct tare_bytes bytes;
    *data = NULL;
    *size = 0;
    if (!tare_name_is_plain(name, strlen(name)))
        return tare_fail(err, TARE_E_ARGUMENT, name, "is no plain file name");
    const struct tare_edited_file *edited = tare_edits_file(checkpoint->edits, name);
    if (edited)
        return read_edited(edited, data, size, err);
    if (checkpoint->memory || checkpoint->gguf)
        return read_memory(checkpoint, name, most, data, size, err);
    enum tare_code code = tare_checkpoint_bytes(checkpoint, name, &bytes, err);
    if (code)
        return code;
    code = bytes.size > most ? fail_large(name, bytes.size, most, err) : read_whole(&bytes, data, err);
    if (!code)
        *size = (size_t)bytes.size;
    tare_bytes_close(&bytes);
    return code;
}

/* A link that leads nowhere counts: to pass over it in silence would lose what it stands for. */
bool tare_checkpoint_has(const struct tare_checkpoint *checkpoint, const char *name)
{
    struct stat info;
    struct path path;
    const struct tare_edited_file *edited = tare_edits_file(checkpoint->edits, name);
    if (edited)
        return edited->text != NULL;
    if (checkpoint->memory || checkpoint->gguf)
        return memory_file(checkpoint, name) != NULL;
    if (checkpoint->door)
        return tare_door_find(checkpoint->door, name) != NULL;
    return checkpoint->folder && folder_path(checkpoint, name, &path) && !lstat(path.text, &info);
}
