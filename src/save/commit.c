/* SPDX-License-Identifier: MIT
 * commit.c - a folder that appears under its name only when it is complete and on the disk, or not at all.
 *
 * It is written as ".NAME.tare-XXXXXXXX" beside the output and renamed. A process that is killed leaves that folder,
 * never NAME.
 */
#if defined(__linux__)
#define _GNU_SOURCE /* fallocate() and renameat2(): POSIX has neither the one without emulation nor the other */
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "save/save.h"

#define WRITE_AT_ONCE ((size_t)1 << 30) /* Linux writes at most 2^31 - 4096 bytes a call */

static enum tare_code fail_system(struct tare_error *err, const char *where, const char *what)
{
    const int number = errno;
    const bool space = number == ENOSPC || number == EDQUOT || number == EFBIG;
    return tare_fail(err, space ? TARE_E_SPACE : TARE_E_IO, where, "%s: %s", what, strerror(number));
}

/* The last part of a path, slashes at its end not counted; *parent receives what lies before it. Both are the caller's.
 */
static bool split(const char *path, char **parent, char **name)
{
    size_t end = strlen(path), start;
    while (end > 1 && path[end - 1] == '/')
        end--;
    for (start = end; start > 0 && path[start - 1] != '/'; start--)
        ;
    *name = strndup(path + start, end - start);
    *parent = start ? strndup(path, start) : strdup(".");
    return *parent && *name;
}

/* Is `inner` the folder `outer` or inside of it? Both as realpath() gives them. */
static bool within(const char *inner, const char *outer)
{
    const size_t n = strlen(outer);
    return !strncmp(inner, outer, n) && (inner[n] == '/' || inner[n] == 0 || (n && outer[n - 1] == '/'));
}

static enum tare_code refuse_input(const struct tare_folder *folder, const char *parent, const char *input,
                                   struct tare_error *err)
{
    char *there = realpath(parent, NULL), *here = realpath(input, NULL);
    const bool inside = there && here && within(there, here);
    free(there);
    free(here);
    if (inside)
        return tare_fail(err, TARE_E_ARGUMENT, folder->wanted, "the output lies in the input, %s", input);
    return TARE_OK;
}

static enum tare_code make_temporary(struct tare_folder *folder, struct tare_error *err)
{
    const size_t room = strlen(folder->name) + 32;
    folder->temporary = malloc(room);
    if (!folder->temporary)
        return tare_fail_memory(err);
    for (unsigned k = 0;; k++) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        const uint32_t mark = ((uint32_t)now.tv_nsec ^ (uint32_t)getpid() << 16 ^ (uint32_t)now.tv_sec) + k;
        snprintf(folder->temporary, room, ".%s.tare-%08" PRIx32, folder->name, mark);
        if (!mkdirat(folder->parent, folder->temporary, 0777))
            break;
        if (errno != EEXIST || k == 1000) {
            const enum tare_code code = fail_system(err, folder->wanted, "making a folder beside it");
            free(folder->temporary);
            folder->temporary = NULL;
            return code;
        }
    }
    folder->fd = openat(folder->parent, folder->temporary, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return folder->fd < 0 ? fail_system(err, folder->wanted, "opening the folder beside it") : TARE_OK;
}

static enum tare_code refuse_existing(const struct tare_folder *folder, struct tare_error *err)
{
    struct stat there;
    if (!fstatat(folder->parent, folder->name, &there, AT_SYMLINK_NOFOLLOW))
        return tare_fail(err, TARE_E_EXISTS, folder->wanted, "exists already; tare writes into a new folder only");
    return errno == ENOENT ? TARE_OK : fail_system(err, folder->wanted, "looking for it");
}

enum tare_code tare_folder_begin(struct tare_folder *folder, const char *wanted, const char *input,
                                 struct tare_error *err)
{
    folder->wanted = wanted;
    folder->parent = folder->fd = -1;
    char *parent = NULL;
    if (!split(wanted, &parent, &folder->name)) {
        free(parent);
        return tare_fail_memory(err);
    }
    enum tare_code code = TARE_OK;
    if (!*folder->name || !strcmp(folder->name, ".") || !strcmp(folder->name, ".."))
        code = tare_fail(err, TARE_E_EXISTS, wanted, "is no name for a new folder");
    else if ((folder->parent = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        code = errno == ENOENT ? tare_fail(err, TARE_E_ABSENT, parent, "no such folder to write %s into", folder->name)
                               : fail_system(err, parent, "opening it");
    else if (!(code = refuse_existing(folder, err)) && input)
        code = refuse_input(folder, parent, input, err);
    free(parent);
    return code ? code : make_temporary(folder, err);
}

/* Set room aside, so that a full disk shows at once. Where the file system has no such call, only the size is set. */
static int reserve(int fd, uint64_t size)
{
#if defined(__linux__)
    int result;
    do
        result = fallocate(fd, 0, 0, (off_t)size);
    while (result && errno == EINTR);
    if (!result || (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL))
        return result;
#endif
    return ftruncate(fd, (off_t)size);
}

enum tare_code tare_folder_create(struct tare_folder *folder, const char *name, uint64_t size, int *fd,
                                  struct tare_error *err)
{
    *fd = openat(folder->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (*fd < 0)
        return fail_system(err, name, "creating it");
    if (!size || !reserve(*fd, size))
        return TARE_OK;
    const enum tare_code code = fail_system(err, name, "setting its bytes aside");
    close(*fd);
    *fd = -1;
    return code;
}

enum tare_code tare_folder_write(int fd, const char *name, const void *data, size_t n, uint64_t offset,
                                 struct tare_error *err)
{
    const unsigned char *bytes = data;
    while (n) {
        const ssize_t done = pwrite(fd, bytes, n < WRITE_AT_ONCE ? n : WRITE_AT_ONCE, (off_t)offset);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0) {
            if (!done)
                errno = EIO;
            return fail_system(err, name, "writing it");
        }
        bytes += done;
        offset += (uint64_t)done;
        n -= (size_t)done;
    }
    return TARE_OK;
}

enum tare_code tare_folder_finish(int fd, const char *name, struct tare_error *err)
{
    enum tare_code code = TARE_OK;
    if (fsync(fd))
        code = fail_system(err, name, "bringing it to the disk");
    if (close(fd) && !code)
        code = fail_system(err, name, "closing it");
    return code;
}

enum tare_code tare_folder_put(struct tare_folder *folder, const char *name, const void *data, size_t n,
                               struct tare_error *err)
{
    int fd;
    enum tare_code code = tare_folder_create(folder, name, 0, &fd, err);
    if (code)
        return code;
    if ((code = tare_folder_write(fd, name, data, n, 0, err))) {
        close(fd);
        return code;
    }
    return tare_folder_finish(fd, name, err);
}

/* rename() would replace an empty folder that appeared meanwhile; renameat2() does not, where the file system has it.
 */
static int rename_new(int old, const char *from, int new, const char *to)
{
#if defined(__linux__) && defined(RENAME_NOREPLACE)
    if (!renameat2(old, from, new, to, RENAME_NOREPLACE))
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
#endif
    if (old == new) /* a folder: one that is not empty is not replaced */
        return renameat(old, from, new, to);
    return linkat(old, from, new, to, 0) ? -1 : unlinkat(old, from, 0);
}

enum tare_code tare_folder_commit(struct tare_folder *folder, struct tare_error *err)
{
    if (fsync(folder->fd))
        return fail_system(err, folder->wanted, "bringing it to the disk");
    const char *single = folder->single;
    if (rename_new(single ? folder->fd : folder->parent, single ? single : folder->temporary, folder->parent,
                   folder->name)) {
        if (errno == EEXIST || errno == ENOTEMPTY || errno == ENOTDIR)
            return tare_fail(err, TARE_E_EXISTS, folder->wanted, "appeared while it was written; it is left as it is");
        return fail_system(err, folder->wanted, "renaming it");
    }
    if (!single) {
        free(folder->temporary);
        folder->temporary = NULL;
    }
    if (fsync(folder->parent))
        return fail_system(err, folder->wanted, "complete, but the folder above it was not brought to the disk");
    return TARE_OK;
}

static void remove_files(int fd)
{
    const int again = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    DIR *list = again < 0 ? NULL : fdopendir(again);
    if (!list) {
        if (again >= 0)
            close(again);
        return;
    }
    for (const struct dirent *entry; (entry = readdir(list));)
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            unlinkat(fd, entry->d_name, 0);
    closedir(list);
}

void tare_folder_release(struct tare_folder *folder)
{
    if (!folder->wanted)
        return;
    if (folder->temporary && folder->fd >= 0)
        remove_files(folder->fd);
    if (folder->temporary)
        unlinkat(folder->parent, folder->temporary, AT_REMOVEDIR);
    if (folder->fd >= 0)
        close(folder->fd);
    if (folder->parent >= 0)
        close(folder->parent);
    free(folder->name);
    free(folder->temporary);
    *folder = (struct tare_folder){0};
}
