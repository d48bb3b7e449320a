/* SPDX-License-Identifier: MIT
 * partial.c - a content that is being downloaded. Bytes go into the file first and into the map afterwards, so that
 * after a kill the map never claims more than there is. */
#include "hub/partial.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/flush.h"
#include "hub/sum.h"

/* The map: this line, 64 bytes, then for each part `done` in eight bytes. */
#define HEAD_FORM "tare part map 1 size %020" PRIu64 " part %015" PRIu64
enum { PART_AT = 47, HEAD = 64, ITEM = sizeof(uint64_t) };
#define STEP ((size_t)1 << 20)

static enum tare_code fail_write(const struct tare_partial *partial, struct tare_error *err)
{
    const int number = errno;
    const bool space = number == ENOSPC || number == EDQUOT || number == EFBIG;
    const enum tare_code code = tare_fail_system(err, partial->blob, "cannot be written");
    return space ? tare_fail(err, TARE_E_SPACE, partial->blob,
                             "no space left in the cache; what has come stays, and is not fetched again")
                 : code;
}

static bool write_at(int fd, const void *bytes, size_t n, uint64_t at)
{
    for (const char *from = bytes; n;) {
        const ssize_t written = pwrite(fd, from, n, (off_t)at);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        from += written;
        at += (uint64_t)written;
        n -= (size_t)written;
    }
    return true;
}

static bool read_at(int fd, void *bytes, size_t n, uint64_t at)
{
    for (char *to = bytes; n;) {
        const ssize_t got = pread(fd, to, n, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        to += got;
        at += (uint64_t)got;
        n -= (size_t)got;
    }
    return true;
}

/* ---- parts ----------------------------------------------------------------------------------------------------- */

static enum tare_code cut(struct tare_partial *partial, uint64_t part, struct tare_error *err)
{
    free(partial->parts);
    partial->n_parts = partial->size ? (size_t)((partial->size + part - 1) / part) : 0;
    partial->parts = calloc(partial->n_parts + 1, sizeof *partial->parts);
    partial->done = partial->hashed = 0;
    if (!partial->parts)
        return tare_fail_memory(err);
    for (size_t i = 0; i < partial->n_parts; i++) {
        struct tare_partial_part *p = &partial->parts[i];
        p->first = i * part;
        p->size = partial->size - p->first < part ? partial->size - p->first : part;
    }
    tare_hub_sum_free(partial->hash);
    partial->hash = tare_hub_sum_begin(partial->etag, partial->size);
    return partial->hash ? TARE_OK : tare_fail_memory(err);
}

static bool write_map(const struct tare_partial *partial, uint64_t part)
{
    char head[HEAD + 1] = "";
    snprintf(head, sizeof head, HEAD_FORM, partial->size, part);
    if (ftruncate(partial->map, 0) != 0 || !write_at(partial->map, head, HEAD, 0))
        return false;
    for (size_t i = 0; i < partial->n_parts; i++)
        if (!write_at(partial->map, &partial->parts[i].done, ITEM, HEAD + ITEM * i))
            return false;
    return true;
}

/* Reads the map that an earlier run has left; false when there is none that fits. */
static bool read_map(struct tare_partial *partial, struct tare_error *err)
{
    char head[HEAD + 1] = "", same[HEAD + 1] = "";
    struct stat info;
    if (!read_at(partial->map, head, HEAD, 0))
        return false;
    const uint64_t part = strtoull(head + PART_AT, NULL, 10);
    snprintf(same, sizeof same, HEAD_FORM, partial->size, part);
    if (memcmp(head, same, HEAD) != 0 || part < STEP || fstat(partial->fd, &info) || cut(partial, part, err))
        return false;
    for (size_t i = 0; i < partial->n_parts; i++) {
        struct tare_partial_part *p = &partial->parts[i];
        if (!read_at(partial->map, &p->done, ITEM, HEAD + ITEM * i) || p->done > p->size ||
            (p->done && p->first + p->done > (uint64_t)info.st_size))
            return false;
        partial->done += p->done;
    }
    return true;
}

/* Takes over what an older client has left as the first bytes. */
static bool adopt(struct tare_partial *partial, const struct tare_hub_cache *cache, uint64_t part)
{
    char old[TARE_HUB_PATH];
    struct stat info;
    if (tare_hub_cache_path(cache, old, NULL, "blobs/%s.incomplete", partial->etag) || lstat(old, &info) ||
        !S_ISREG(info.st_mode) || info.st_nlink != 1 || info.st_size <= 0 || (uint64_t)info.st_size > partial->size)
        return false;
    const int fd = open(old, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || rename(old, partial->path) != 0) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    close(partial->fd);
    partial->fd = fd;
    uint64_t left = (uint64_t)info.st_size;
    partial->done = left;
    for (size_t i = 0; i < partial->n_parts && left; i++) {
        partial->parts[i].done = left < partial->parts[i].size ? left : partial->parts[i].size;
        left -= partial->parts[i].done;
    }
    return write_map(partial, part);
}

static int open_own(const char *path)
{
    return open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
}

enum tare_code tare_partial_open(struct tare_partial *partial, const struct tare_hub_cache *cache, const char *etag,
                                 uint64_t size, uint64_t part, struct tare_error *err)
{
    snprintf(partial->etag, sizeof partial->etag, "%s", etag);
    partial->size = size;
    enum tare_code code = tare_hub_cache_path(cache, partial->blob, err, "blobs/%s", etag);
    code = code ? code : tare_hub_cache_path(cache, partial->path, err, "blobs/%s.74617265.incomplete", etag);
    code = code ? code : tare_hub_cache_path(cache, partial->map_path, err, "blobs/%s.7461726d.incomplete", etag);
    if (code)
        return code;
    partial->fd = open_own(partial->path);
    partial->map = partial->fd < 0 ? -1 : open_own(partial->map_path);
    partial->buffer = malloc(STEP);
    if (partial->fd < 0 || partial->map < 0)
        return fail_write(partial, err);
    if (!partial->buffer)
        return tare_fail_memory(err);
    if (read_map(partial, err)) {
        partial->resumed = partial->done != 0;
        return TARE_OK;
    }
    if ((code = tare_partial_restart(partial, part, err)))
        return code;
    partial->resumed = adopt(partial, cache, part);
    return TARE_OK;
}

enum tare_code tare_partial_restart(struct tare_partial *partial, uint64_t part, struct tare_error *err)
{
    const enum tare_code code = cut(partial, part, err);
    partial->resumed = false;
    if (code)
        return code;
    return ftruncate(partial->fd, 0) == 0 && write_map(partial, part) ? TARE_OK : fail_write(partial, err);
}

/* ---- bytes ----------------------------------------------------------------------------------------------------- */

enum tare_code tare_partial_write(struct tare_partial *partial, size_t at, const void *bytes, size_t n,
                                  struct tare_error *err)
{
    struct tare_partial_part *part = &partial->parts[at];
    const uint64_t to = part->first + part->done;
    if (!write_at(partial->fd, bytes, n, to))
        return fail_write(partial, err);
    part->done += n;
    partial->done += n;
    if (!write_at(partial->map, &part->done, ITEM, HEAD + ITEM * at))
        return fail_write(partial, err);
    if (to == partial->hashed) {
        if (!tare_hub_sum_add(partial->hash, bytes, n))
            return tare_fail(err, TARE_E_INTERNAL, partial->blob, "it cannot be hashed");
        partial->hashed += n;
    }
    return TARE_OK;
}

/* How many bytes from the beginning are there without a gap. */
static uint64_t frontier(const struct tare_partial *partial)
{
    size_t low = 0;
    if (partial->n_parts) /* parts before the hashed bytes are full */
        low = (size_t)(partial->hashed / partial->parts[0].size);
    uint64_t end = partial->hashed;
    for (size_t i = low; i < partial->n_parts; i++) {
        end = partial->parts[i].first + partial->parts[i].done;
        if (partial->parts[i].done < partial->parts[i].size)
            break;
    }
    return end;
}

enum tare_code tare_partial_hash(struct tare_partial *partial, uint64_t most, struct tare_error *err)
{
    const uint64_t end = frontier(partial);
    const uint64_t stop = end - partial->hashed > most ? partial->hashed + most : end;
    while (partial->hashed < stop) {
        const size_t n = stop - partial->hashed < STEP ? (size_t)(stop - partial->hashed) : STEP;
        if (!read_at(partial->fd, partial->buffer, n, partial->hashed))
            return tare_fail_system(err, partial->path, "cannot be read back");
        if (!tare_hub_sum_add(partial->hash, partial->buffer, n))
            return tare_fail(err, TARE_E_INTERNAL, partial->blob, "it cannot be hashed");
        partial->hashed += n;
    }
    return TARE_OK;
}

/* ---- the end --------------------------------------------------------------------------------------------------- */

bool tare_partial_is_right(struct tare_partial *partial)
{
    return partial->hashed == partial->size && tare_hub_sum_end(partial->hash, partial->etag);
}

enum tare_code tare_partial_keep(struct tare_partial *partial, struct tare_error *err)
{
    struct stat info;
    if (fstat(partial->fd, &info) || (uint64_t)info.st_size != partial->size)
        return tare_fail(err, TARE_E_IO, partial->path, "was changed by another program while it was written");
    if (tare_flush(partial->fd)) /* else a power cut may leave the name and not the bytes */
        return tare_fail_system(err, partial->path, "bringing it to the disk");
    if (rename(partial->path, partial->blob) != 0)
        return tare_fail_system(err, partial->blob, "cannot be given its name");
    unlink(partial->map_path);
    return TARE_OK;
}

void tare_partial_remove(struct tare_partial *partial)
{
    unlink(partial->map_path);
    unlink(partial->path);
}

void tare_partial_release(struct tare_partial *partial)
{
    if (partial->fd >= 0)
        close(partial->fd);
    if (partial->map >= 0)
        close(partial->map);
    tare_hub_sum_free(partial->hash);
    free(partial->parts);
    free(partial->buffer);
    *partial = (struct tare_partial){.fd = -1, .map = -1};
}
