/* SPDX-License-Identifier: MIT
 * data.c - the bytes of tensors: at an address where files are mapped or in memory, else held piece by piece. */
#include <stdlib.h>
#include <string.h>

#include "open/checkpoint.h"

#define KEEP_MOST ((uint64_t)2 << 30)

static enum tare_code open_window(struct tare_checkpoint *checkpoint, struct tare_file *file, struct tare_error *err)
{
    struct tare_bytes bytes;
    enum tare_code code = tare_checkpoint_bytes(checkpoint, file->name, &bytes, err);
    if (code)
        return code;
    if (!(code = tare_file_same(file->name, bytes.size, file->size, err)))
        return tare_window_open(&file->window, &checkpoint->shelf, &bytes, err);
    tare_bytes_close(&bytes);
    return code;
}

enum tare_code tare_checkpoint_see(struct tare_checkpoint *checkpoint, struct tare_file *file, struct tare_error *err)
{
    if (file->mapping || file->window)
        return TARE_OK;
    if (checkpoint->windowed)
        return open_window(checkpoint, file, err);
    struct tare_mapping *mapping = tare_arena_alloc(&checkpoint->arena, sizeof *mapping);
    if (!mapping)
        return tare_fail_memory(err);
    const enum tare_code code = tare_mapping_open(mapping, file->path, file->size, err);
    if (!code)
        file->mapping = mapping;
    return code;
}

void tare_checkpoint_close(struct tare_checkpoint *checkpoint)
{
    for (size_t i = 0; i < checkpoint->n_files; i++) {
        tare_window_free(checkpoint->files[i].window);
        if (checkpoint->files[i].mapping)
            tare_mapping_release(checkpoint->files[i].mapping);
    }
    for (size_t i = 0; i < checkpoint->n_copies; i++) {
        free(checkpoint->copies[i]->data);
        free(checkpoint->copies[i]);
    }
    free(checkpoint->copies);
    tare_map_release(&checkpoint->by_place);
}

void tare_checkpoint_keep(struct tare_checkpoint *checkpoint, bool largest)
{
    uint64_t most = 0;
    if (!checkpoint->door || checkpoint->door->witnesses) /* where hashes are known, all is used as it goes by */
        return;
    for (size_t i = 0; i < checkpoint->n_tensors && largest; i++)
        if (checkpoint->tensors[i].size > most)
            most = checkpoint->tensors[i].size;
    tare_shelf_keep(&checkpoint->shelf, most < KEEP_MOST ? most : KEEP_MOST);
}

/* ---- addresses ------------------------------------------------------------------------------------------------- */

/* Within the file: the parser, and who opened it, saw to it. */
enum tare_code tare_tensor_address(struct tare_checkpoint *checkpoint, const struct tare_tensor *tensor,
                                   const void **data, struct tare_error *err)
{
    struct tare_file *file = &checkpoint->files[tensor->file];
    pthread_mutex_lock(&checkpoint->lock);
    const enum tare_code code = tare_checkpoint_see(checkpoint, file, err);
    if (!code)
        *data = (file->window ? tare_window_data(file->window) : file->mapping->data) + tensor->offset;
    pthread_mutex_unlock(&checkpoint->lock);
    return code;
}

enum tare_code tare_tensor_read(struct tare_checkpoint *checkpoint, const struct tare_tensor *tensor, uint64_t at,
                                size_t n, void *to, struct tare_error *err)
{
    const void *data = NULL;
    const enum tare_code code = tare_tensor_address(checkpoint, tensor, &data, err);
    const struct tare_window *window = checkpoint->files[tensor->file].window;
    if (!code && window)
        return tare_bytes_read(tare_window_bytes(window), to, n, tensor->offset + at, err);
    if (!code && n)
        memcpy(to, (const unsigned char *)data + at, n);
    return code;
}

void tare_tensor_give_back(struct tare_checkpoint *checkpoint, const struct tare_tensor *tensor)
{
    pthread_mutex_lock(&checkpoint->lock);
    const struct tare_mapping *mapping = checkpoint->files[tensor->file].mapping;
    pthread_mutex_unlock(&checkpoint->lock);
    if (mapping)
        tare_mapping_give_back(mapping, tensor->offset, tensor->size);
}

/* ---- copies ---------------------------------------------------------------------------------------------------- */

static const struct tare_copy *find_copy(const struct tare_checkpoint *checkpoint, const uint64_t place[2])
{
    const uint32_t at = tare_map_get(&checkpoint->by_place, (const char *)place, 2 * sizeof *place);
    return at == TARE_MAP_NONE ? NULL : checkpoint->copies[at];
}

/* The checkpoint owns *copy afterwards. If another thread was faster, its copy counts. */
static enum tare_code add_copy(struct tare_checkpoint *checkpoint, struct tare_copy *copy, const void **data,
                               struct tare_error *err)
{
    enum tare_code code = TARE_OK;
    pthread_mutex_lock(&checkpoint->lock);
    const struct tare_copy *before = find_copy(checkpoint, copy->place);
    if (!before &&
        tare_grow(&checkpoint->copies, &checkpoint->copies_room, checkpoint->n_copies + 1,
                  sizeof *checkpoint->copies) &&
        tare_map_put(&checkpoint->by_place, (const char *)copy->place, sizeof copy->place,
                     (uint32_t)checkpoint->n_copies, NULL)) {
        checkpoint->copies[checkpoint->n_copies++] = copy;
        *data = copy->data;
        copy = NULL;
    } else if (before) {
        *data = before->data;
    } else {
        code = tare_fail_memory(err);
    }
    pthread_mutex_unlock(&checkpoint->lock);
    if (copy)
        free(copy->data);
    free(copy);
    return code;
}

static enum tare_code read_copy(struct tare_checkpoint *checkpoint, const struct tare_tensor *tensor,
                                const struct tare_file *file, const void **data, struct tare_error *err)
{
    struct tare_copy *copy = calloc(1, sizeof *copy);
    if (copy && tensor->size < SIZE_MAX)
        copy->data = malloc((size_t)tensor->size + 1);
    if (!copy || !copy->data) {
        free(copy);
        return tare_fail_memory(err);
    }
    copy->place[0] = tensor->file;
    copy->place[1] = tensor->offset;
    const enum tare_code code =
        tare_bytes_read(tare_window_bytes(file->window), copy->data, (size_t)tensor->size, tensor->offset, err);
    if (!code)
        return add_copy(checkpoint, copy, data, err);
    free(copy->data);
    free(copy);
    return code;
}

enum tare_code tare_tensor_data(struct tare_checkpoint *checkpoint, const struct tare_tensor *tensor, const void **data,
                                struct tare_error *err)
{
    const struct tare_file *file = &checkpoint->files[tensor->file];
    const uint64_t place[2] = {tensor->file, tensor->offset};
    const enum tare_code code = tare_tensor_address(checkpoint, tensor, data, err);
    if (code || !checkpoint->windowed || !tensor->size)
        return code;
    pthread_mutex_lock(&checkpoint->lock);
    const struct tare_copy *copy = find_copy(checkpoint, place);
    if (copy)
        *data = copy->data;
    pthread_mutex_unlock(&checkpoint->lock);
    return copy ? TARE_OK : read_copy(checkpoint, tensor, file, data, err);
}

/* ---- holds ----------------------------------------------------------------------------------------------------- */

enum tare_code tare_holds_add(struct tare_holds *holds, struct tare_checkpoint *checkpoint,
                              const struct tare_tensor *tensor, uint64_t begin, uint64_t end, struct tare_error *err)
{
    const void *address;
    if (!checkpoint->windowed || begin >= end)
        return TARE_OK;
    if (!tare_grow(&holds->list, &holds->room, holds->n + 1, sizeof *holds->list))
        return tare_fail_memory(err);
    enum tare_code code = tare_tensor_address(checkpoint, tensor, &address, err); /* opens the window */
    if (code)
        return code;
    const struct tare_held held = {checkpoint->files[tensor->file].window, tensor->offset + begin,
                                   tensor->offset + end};
    const struct tare_bytes *bytes = tare_window_bytes(held.window);
    const uint64_t next = bytes->witness ? bytes->size : tensor->offset + tensor->size; /* tiles come in file order */
    code = tare_window_hold(held.window, held.begin, held.end, next, err);
    if (!code)
        holds->list[holds->n++] = held;
    return code;
}

void tare_holds_let_go(struct tare_holds *holds)
{
    for (size_t i = 0; i < holds->n; i++)
        tare_window_let_go(holds->list[i].window, holds->list[i].begin, holds->list[i].end);
    holds->n = 0;
}

void tare_holds_release(struct tare_holds *holds)
{
    tare_holds_let_go(holds);
    free(holds->list);
    *holds = (struct tare_holds){0};
}
