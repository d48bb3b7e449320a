/* SPDX-License-Identifier: MIT
 * cache.c - writes and reads the Hugging Face cache; layout and order are huggingface_hub's (docs/hub.md). */
#define _GNU_SOURCE /* flock */

#include "hub/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/locale.h"

static enum tare_code too_long(const char *where, struct tare_error *err)
{
    return tare_fail(err, TARE_E_ARGUMENT, where, "the path of the cache is too long");
}

enum tare_code tare_hub_cache_open(struct tare_hub_cache *cache, const struct tare_hub *hub, const char *id,
                                   struct tare_error *err)
{
    const char *slash = strchr(id, '/');
    const int first = slash ? (int)(slash - id) : 0;
    char name[TARE_HUB_ID + 16];
    snprintf(name, sizeof name, "models--%.*s%s%s", first, id, slash ? "--" : "", slash ? slash + 1 : id);
    cache->hub = hub;
    const int a = snprintf(cache->repo, sizeof cache->repo, "%s/%s", hub->cache, name);
    const int b = snprintf(cache->locks, sizeof cache->locks, "%s/.locks/%s", hub->cache, name);
    return a > 0 && (size_t)a < sizeof cache->repo && b > 0 && (size_t)b < sizeof cache->locks ? TARE_OK
                                                                                               : too_long(id, err);
}

enum tare_code tare_hub_cache_path(const struct tare_hub_cache *cache, char path[TARE_HUB_PATH], struct tare_error *err,
                                   const char *format, ...)
{
    va_list args;
    const int a = snprintf(path, TARE_HUB_PATH, "%s/", cache->repo);
    const size_t at = a < 0 ? 0 : (size_t)a;
    if (at >= TARE_HUB_PATH)
        return too_long(cache->repo, err);
    va_start(args, format);
    const int b = tare_vformat(path + at, TARE_HUB_PATH - at, format, args);
    va_end(args);
    return b > 0 && at + (size_t)b < TARE_HUB_PATH ? TARE_OK : too_long(cache->repo, err);
}

/* ---- folders --------------------------------------------------------------------------------------------------- */

/* Creates the folders of a path whose first `given` bytes may contain links, and whose last part is a file. */
static enum tare_code make_folders(char *path, size_t given, struct tare_error *err)
{
    struct stat info;
    for (char *at = path + 1; (at = strchr(at, '/')); at++) {
        *at = '\0';
        const bool made = mkdir(path, 0777) == 0;
        const int why = errno;
        const bool link = !made && (size_t)(at - path) > given && lstat(path, &info) == 0 && S_ISLNK(info.st_mode);
        const bool folder = made || (stat(path, &info) == 0 && S_ISDIR(info.st_mode));
        enum tare_code code = TARE_OK;
        if (link) {
            code = tare_fail(err, TARE_E_IO, path, "is a link inside of the cache, and nothing is written through it");
        } else if (!folder) {
            errno = why;
            code = tare_fail_system(err, path, "the folder of the cache cannot be made");
        }
        *at = '/';
        if (code)
            return code;
    }
    return TARE_OK;
}

enum tare_code tare_hub_cache_prepare(const struct tare_hub_cache *cache, struct tare_error *err)
{
    static const char tag[] = "Signature: 8a477f597d28d172789f06886806bc55\n"
                              "# This folder is a cache of models from the Hugging Face hub, and can be made again.\n";
    char path[TARE_HUB_PATH];
    enum tare_code code = tare_hub_cache_path(cache, path, err, "blobs/x");
    if (code || (code = make_folders(path, strlen(cache->repo), err)))
        return code;
    const int n = snprintf(path, sizeof path, "%s/x", cache->locks);
    if (n < 0 || (size_t)n >= sizeof path)
        return too_long(cache->locks, err);
    if ((code = make_folders(path, strlen(cache->hub->cache), err)))
        return code;
    snprintf(path, sizeof path, "%s/CACHEDIR.TAG", cache->hub->cache);
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0) {
        const ssize_t written = write(fd, tag, sizeof tag - 1); /* best effort: a tag for backup programs */
        (void)written;
        close(fd);
    }
    return TARE_OK;
}

/* ---- refs ------------------------------------------------------------------------------------------------------ */

bool tare_hub_cache_ref(const struct tare_hub_cache *cache, const char *revision, char commit[TARE_HUB_COMMIT])
{
    char path[TARE_HUB_PATH], text[TARE_HUB_COMMIT + 2];
    if (tare_hub_is_commit(revision)) {
        memcpy(commit, revision, TARE_HUB_COMMIT);
        return true;
    }
    if (tare_hub_cache_path(cache, path, NULL, "refs/%s", revision))
        return false;
    FILE *file = fopen(path, "rb");
    if (!file)
        return false;
    const size_t n = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[n] = '\0';
    text[strcspn(text, "\r\n")] = '\0';
    const size_t digits = strspn(text, "0123456789abcdef");
    if (!digits || text[digits] || digits >= TARE_HUB_COMMIT) /* fewer digits: a folder that a person has made */
        return false;
    memcpy(commit, text, digits + 1);
    return true;
}

enum tare_code tare_hub_cache_set_ref(const struct tare_hub_cache *cache, const char *revision, const char *commit,
                                      struct tare_error *err)
{
    char path[TARE_HUB_PATH], temporary[TARE_HUB_PATH + 32], now[TARE_HUB_COMMIT];
    if (tare_hub_is_commit(revision) || (tare_hub_cache_ref(cache, revision, now) && strcmp(now, commit) == 0))
        return TARE_OK;
    enum tare_code code = tare_hub_cache_path(cache, path, err, "refs/%s", revision);
    if (code || (code = make_folders(path, strlen(cache->repo), err)))
        return code;
    snprintf(temporary, sizeof temporary, "%s.%08lx.tmp", path, (unsigned long)getpid() & 0xffffffffUL);
    const int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
    bool good = fd >= 0 && write(fd, commit, 40) == 40;
    if (fd >= 0)
        good = close(fd) == 0 && good;
    if (good && rename(temporary, path) == 0)
        return TARE_OK;
    code = tare_fail_system(err, path, "cannot be written");
    unlink(temporary);
    return code;
}

/* ---- contents and links ---------------------------------------------------------------------------------------- */

static bool is_file(const char *path, uint64_t size)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode) && (uint64_t)info.st_size == size;
}

bool tare_hub_cache_has_blob(const struct tare_hub_cache *cache, const char *etag, uint64_t size)
{
    char path[TARE_HUB_PATH];
    return !tare_hub_cache_path(cache, path, NULL, "blobs/%s", etag) && is_file(path, size);
}

bool tare_hub_cache_has_file(const struct tare_hub_cache *cache, const char *commit, const char *name, uint64_t size)
{
    char path[TARE_HUB_PATH];
    return !tare_hub_cache_path(cache, path, NULL, "snapshots/%s/%s", commit, name) && is_file(path, size);
}

/* "../../blobs/ETAG", with one "../" more for each folder in the file's name. */
static void write_target(char target[TARE_HUB_PATH], const char *name, const char *etag)
{
    size_t at = 0;
    for (int up = 2; up > 0; up--)
        at += (size_t)snprintf(target + at, TARE_HUB_PATH - at, "../");
    for (; (name = strchr(name, '/')) && at < TARE_HUB_PATH - 128; name++)
        at += (size_t)snprintf(target + at, TARE_HUB_PATH - at, "../");
    snprintf(target + at, TARE_HUB_PATH - at, "blobs/%s", etag);
}

/* Without links the file itself stands in the snapshot. */
static enum tare_code move_in(const struct tare_hub_cache *cache, const char *path, const char *etag,
                              struct tare_error *err)
{
    char blob[TARE_HUB_PATH];
    const enum tare_code code = tare_hub_cache_path(cache, blob, err, "blobs/%s", etag);
    if (code)
        return code;
    return rename(blob, path) == 0 ? TARE_OK : tare_fail_system(err, path, "cannot be moved there");
}

enum tare_code tare_hub_cache_link(const struct tare_hub_cache *cache, const char *commit, const char *name,
                                   const char *etag, struct tare_error *err)
{
    char path[TARE_HUB_PATH], target[TARE_HUB_PATH], now[TARE_HUB_PATH], temporary[TARE_HUB_PATH + 32];
    enum tare_code code = tare_hub_cache_path(cache, path, err, "snapshots/%s/%s", commit, name);
    if (code || (code = make_folders(path, strlen(cache->repo), err)))
        return code;
    if (cache->hub->no_links)
        return move_in(cache, path, etag, err);
    write_target(target, name, etag);
    const ssize_t n = readlink(path, now, sizeof now - 1);
    if (n > 0) {
        now[n] = '\0';
        if (strcmp(now, target) == 0)
            return TARE_OK;
    }
    snprintf(temporary, sizeof temporary, "%s.%08lx.tmp", path, (unsigned long)getpid() & 0xffffffffUL);
    if (symlink(target, temporary) != 0) {
        if (errno == EPERM || errno == EOPNOTSUPP || errno == ENOSYS)
            return move_in(cache, path, etag, err);
        return tare_fail_system(err, path, "cannot be linked");
    }
    if (rename(temporary, path) == 0)
        return TARE_OK;
    code = tare_fail_system(err, path, "cannot be linked");
    unlink(temporary);
    return code;
}

void tare_hub_cache_note_absent(const struct tare_hub_cache *cache, const char *commit, const char *name)
{
    char path[TARE_HUB_PATH];
    if (tare_hub_cache_path(cache, path, NULL, ".no_exist/%s/%s", commit, name) ||
        make_folders(path, strlen(cache->repo), NULL))
        return;
    const int fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd >= 0)
        close(fd);
}

/* ---- locks ----------------------------------------------------------------------------------------------------- */

enum tare_code tare_hub_cache_lock(const struct tare_hub_cache *cache, const char *etag, int *fd,
                                   struct tare_error *err)
{
    char path[TARE_HUB_PATH + 80];
    snprintf(path, sizeof path, "%s/%s.lock", cache->locks, etag);
    *fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0664);
    if (*fd < 0)
        return tare_fail_system(err, path, "the lock cannot be made");
    if (flock(*fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        return TARE_OK; /* a file system without locks: the hash of what was written decides */
    close(*fd);
    *fd = -1;
    return TARE_OK;
}
