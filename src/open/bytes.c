/* SPDX-License-Identifier: MIT
 * bytes.c - reads ranges of a file: pread(2), memory, or the host's callback. */
#include "open/bytes.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sized.h"
#include "open/mapping.h"
#include "open/witness.h"

/* ---- the host ------------------------------------------------------------------------------------------------ */

const struct tare_host_file *tare_door_find(const struct tare_door *door, const char *name)
{
    for (size_t i = 0; i < door->host.n_files; i++)
        if (!strcmp(door->files[i].name, name))
            return &door->files[i];
    return NULL;
}

static enum tare_code copy_files(struct tare_door *door, struct tare_error *err)
{
    const struct tare_host *host = &door->host;
    enum tare_code code = tare_sized_list_check(host->files, host->n_files, host->files_stride, sizeof *door->files,
                                                "options.host.files", err);
    if (code)
        return code;
    door->files = calloc(host->n_files + 1, sizeof *door->files);
    if (!door->files)
        return tare_fail_memory(err);
    for (size_t i = 0; i < host->n_files; i++) {
        const struct tare_host_file *file = tare_sized_at(host->files, i, host->files_stride, sizeof *file);
        if (!file->name || !*file->name)
            return tare_fail(err, TARE_E_ARGUMENT, "options.host.files", "file %zu has no name", i);
        if (file->bytes > INT64_MAX)
            return tare_fail(err, TARE_E_ARGUMENT, "options.host.files", "%s has more than 2^63 - 1 bytes", file->name);
        door->files[i] = *file;
    }
    return TARE_OK;
}

static enum tare_code make_lock(struct tare_door *door, struct tare_error *err)
{
    if (pthread_mutex_init(&door->lock, NULL))
        return tare_fail_memory(err);
    if (!pthread_cond_init(&door->left, NULL))
        return TARE_OK;
    pthread_mutex_destroy(&door->lock);
    return tare_fail_memory(err);
}

enum tare_code tare_door_open(struct tare_door *door, const struct tare_host *host, struct tare_error *err)
{
    *door = (struct tare_door){0};
    enum tare_code code = tare_sized_read(&door->host, sizeof door->host, host, "options.host", err);
    if (!code && !door->host.read)
        code = tare_fail(err, TARE_E_ARGUMENT, "options.host", "it has no function that reads");
    if (!code)
        code = copy_files(door, err);
    if (!code)
        code = tare_witnesses_open(&door->witnesses, &door->host, door->files, err);
    if (!code)
        code = make_lock(door, err);
    if (code) {
        tare_witnesses_free(door->witnesses, door->host.n_files);
        free(door->files);
    }
    return code;
}

void tare_door_release(struct tare_door *door)
{
    pthread_cond_destroy(&door->left);
    pthread_mutex_destroy(&door->lock);
    tare_witnesses_free(door->witnesses, door->host.n_files);
    free(door->files);
}

struct tare_witness *tare_door_witness(const struct tare_door *door, const char *name)
{
    const struct tare_host_file *file = door->witnesses ? tare_door_find(door, name) : NULL;
    struct tare_witness *witness = file ? &door->witnesses[file - door->files] : NULL;
    return witness && witness->sha256 ? witness : NULL;
}

/* What the host said, made whole: a code that is one, a place, a sentence. */
static enum tare_code fail_host(const struct tare_bytes *bytes, int result, struct tare_error *why, uint64_t offset,
                                size_t n, struct tare_error *err)
{
    const bool known = result > TARE_OK && result <= TARE_E_INTERNAL;
    why->where[sizeof why->where - 1] = why->text[sizeof why->text - 1] = '\0';
    return tare_fail(err, known ? (enum tare_code)result : TARE_E_IO, *why->where ? why->where : bytes->name,
                     "%s%sbytes %" PRIu64 " to %" PRIu64 " could not be read", why->text, *why->text ? "; " : "",
                     offset, offset + n);
}

static enum tare_code read_host(const struct tare_bytes *bytes, void *to, size_t n, uint64_t offset,
                                struct tare_error *err)
{
    struct tare_door *door = bytes->door;
    struct tare_error why = {0};
    pthread_mutex_lock(&door->lock);
    while (door->inside && door->inside >= door->host.parallel)
        pthread_cond_wait(&door->left, &door->lock);
    door->inside++;
    pthread_mutex_unlock(&door->lock);
    const int result = door->host.read(door->host.user, bytes->name, offset, to, n, &why);
    pthread_mutex_lock(&door->lock);
    door->inside--;
    pthread_cond_signal(&door->left);
    pthread_mutex_unlock(&door->lock);
    return result ? fail_host(bytes, result, &why, offset, n, err) : TARE_OK;
}

/* ---- any file ------------------------------------------------------------------------------------------------ */

enum tare_code tare_bytes_open(struct tare_bytes *bytes, const char *path, const char *name, struct tare_error *err)
{
    *bytes = (struct tare_bytes){.name = name, .fd = -1};
    return tare_file_open(&bytes->fd, &bytes->size, path, name, err);
}

enum tare_code tare_bytes_read(const struct tare_bytes *bytes, void *to, size_t n, uint64_t offset,
                               struct tare_error *err)
{
    const bool inside = offset <= bytes->size && n <= bytes->size - offset;
    return bytes->witness && inside ? tare_witness_read(bytes, to, n, offset, err)
                                    : tare_bytes_ask(bytes, to, n, offset, err);
}

enum tare_code tare_bytes_ask(const struct tare_bytes *bytes, void *to, size_t n, uint64_t offset,
                              struct tare_error *err)
{
    if (offset > bytes->size || n > bytes->size - offset)
        return tare_fail(err, TARE_E_IO, bytes->name, "bytes %" PRIu64 " to %" PRIu64 " were asked for of %" PRIu64,
                         offset, offset + n, bytes->size);
    if (bytes->memory) {
        if (n)
            memcpy(to, bytes->memory + offset, n);
        return TARE_OK;
    }
    enum tare_code code = TARE_OK;
    for (size_t done = 0, part; !code && done < n; done += part) {
        unsigned char *at = (unsigned char *)to + done;
        part = n - done < TARE_BYTES_MOST ? n - done : TARE_BYTES_MOST;
        code = bytes->door ? read_host(bytes, at, part, offset + done, err)
                           : tare_file_read(bytes->fd, at, part, offset + done, bytes->name, err);
    }
    return code;
}

void tare_bytes_close(struct tare_bytes *bytes)
{
    if (bytes->fd >= 0)
        close(bytes->fd);
    *bytes = (struct tare_bytes){.fd = -1};
}
