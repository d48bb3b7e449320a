/* SPDX-License-Identifier: MIT
 * commit.c - a folder that appears under its name only when it is complete and on the disk, or not at all.
 *
 * Beside the output NAME stands ".NAME.tare-partial", whose file "lock" is locked by whoever works in it; the output is
 * its folder "files", which is renamed to NAME when it is complete, and journal.c keeps its notes beside that. A
 * process that is killed leaves .NAME.tare-partial, never NAME; the next one with the same arguments continues from
 * there.
 */
#if defined(__linux__)
#define _GNU_SOURCE /* fallocate() and renameat2(): POSIX has neither the one without emulation nor the other */
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/flush.h"
#include "save/save.h"

#define RECORD_MOST 512 /* of the name of a record beside a single file */
#define FILES "files"
#define LOCK "lock"                     /* a file: NFS locks no folder */
#define WRITE_AT_ONCE ((size_t)1 << 30) /* Linux writes at most 2^31 - 4096 bytes a call */

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

/* Removes the files of one folder; returns false when one could not be removed. */
static bool remove_files(int fd)
{
    const int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = again < 0 ? NULL : fdopendir(again);
    bool clean = list != NULL;
    if (!list) {
        if (again >= 0)
            close(again);
        return false;
    }
    for (const struct dirent *entry; (entry = readdir(list));)
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            clean &= !unlinkat(fd, entry->d_name, 0);
    closedir(list);
    return clean;
}

static bool same_file(int fd, int folder, const char *name)
{
    struct stat open, named;
    return !fstat(fd, &open) && !fstatat(folder, name, &named, AT_SYMLINK_NOFOLLOW) && open.st_dev == named.st_dev &&
           open.st_ino == named.st_ino;
}

/* Are folder and lock still those that have the names? Another process may have finished and removed them. */
static bool still_there(const struct tare_folder *folder)
{
    return same_file(folder->hold, folder->parent, folder->temporary) && same_file(folder->lock, folder->hold, LOCK);
}

static void let_go(struct tare_folder *folder)
{
    if (folder->lock >= 0)
        close(folder->lock);
    if (folder->hold >= 0)
        close(folder->hold);
    folder->hold = folder->lock = -1;
}

/* Open and lock; errno is EWOULDBLOCK where another has it, ENOENT where the folder went away meanwhile. */
static bool take_lock(struct tare_folder *folder)
{
    folder->lock = openat(folder->hold, LOCK, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666);
    if (folder->lock < 0)
        return false;
    int result;
    do
        result = flock(folder->lock, LOCK_EX | LOCK_NB);
    while (result && errno == EINTR);
    return !result;
}

/* Refuses to use a temporary folder that holds files of another program. */
static enum tare_code fail_odd(const struct tare_folder *folder, struct tare_error *err)
{
    return tare_fail(err, TARE_E_EXISTS, folder->wanted, "%s, in which tare would make it, %s; remove it",
                     folder->temporary, "holds what tare did not write");
}

/* Make the folder beside the output, or open the one that an earlier run left, and lock it. */
static enum tare_code lock_temporary(struct tare_folder *folder, struct tare_error *err)
{
    for (int tries = 0; tries < 100; tries++) {
        if (mkdirat(folder->parent, folder->temporary, 0777) && errno != EEXIST)
            return tare_fail_system(err, folder->wanted, "making a folder beside it");
        folder->hold = openat(folder->parent, folder->temporary, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (folder->hold < 0 && errno == ENOENT)
            continue; /* whoever had it has just finished */
        if (folder->hold < 0)
            return errno == ENOTDIR || errno == ELOOP
                       ? fail_odd(folder, err)
                       : tare_fail_system(err, folder->wanted, "opening the folder beside it");
        const bool locked = take_lock(folder), gone = !locked && errno == ENOENT;
        if (locked && still_there(folder))
            return TARE_OK;
        const enum tare_code code =
            locked || gone ? TARE_OK
            : errno == EWOULDBLOCK
                ? tare_fail(err, TARE_E_EXISTS, folder->wanted,
                            "is being written by another tare just now (it has locked %s)", folder->temporary)
                : tare_fail_system(err, folder->wanted, "locking the folder beside it");
        let_go(folder);
        if (code)
            return code;
    }
    return tare_fail(err, TARE_E_EXISTS, folder->wanted, "others make and remove %s all the time", folder->temporary);
}

static enum tare_code open_files(struct tare_folder *folder, struct tare_error *err)
{
    if (mkdirat(folder->hold, FILES, 0777) && errno != EEXIST)
        return tare_fail_system(err, folder->wanted, "making a folder beside it");
    folder->fd = openat(folder->hold, FILES, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder->fd < 0)
        return errno == ENOTDIR || errno == ELOOP
                   ? fail_odd(folder, err)
                   : tare_fail_system(err, folder->wanted, "opening the folder beside it");
    return TARE_OK;
}

static enum tare_code refuse_existing(const struct tare_folder *folder, struct tare_error *err)
{
    struct stat there;
    if (!fstatat(folder->parent, folder->name, &there, AT_SYMLINK_NOFOLLOW))
        return tare_fail(err, TARE_E_EXISTS, folder->wanted, "exists already; tare writes into a new folder only");
    return errno == ENOENT ? TARE_OK : tare_fail_system(err, folder->wanted, "looking for it");
}

/* Whether the file or folder that will get the output's name is still in the temporary folder. */
static bool has_files(const struct tare_folder *folder)
{
    char name[64];
    snprintf(name, sizeof name, FILES "%s%s", folder->single ? "/" : "", folder->single ? folder->single : "");
    return !faccessat(folder->hold, name, F_OK, 0);
}

/* A run that was killed after it had given the output its name left what it had beside it. */
static void tidy(struct tare_folder *folder)
{
    folder->hold = openat(folder->parent, folder->temporary, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder->hold >= 0 && take_lock(folder) && still_there(folder) && !has_files(folder)) {
        unlinkat(folder->hold, FILES "/tare.json", 0);
        unlinkat(folder->hold, FILES, AT_REMOVEDIR);
        remove_files(folder->hold);
        unlinkat(folder->parent, folder->temporary, AT_REMOVEDIR);
    }
    let_go(folder);
}

static enum tare_code begin(struct tare_folder *folder, struct tare_error *err)
{
    enum tare_code code = refuse_existing(folder, err);
    if (code) {
        tidy(folder);
        return code;
    }
    if ((code = lock_temporary(folder, err)))
        return code;
    folder->keep = !faccessat(folder->hold, FILES, F_OK, 0); /* until we know better: another's work */
    code = refuse_existing(folder, err);                     /* it may have been finished while we waited */
    return code ? code : open_files(folder, err);
}

static bool name_temporary(struct tare_folder *folder, const char *parent)
{
    const size_t room = strlen(folder->name) + sizeof "..tare-partial", all = strlen(parent) + room + sizeof "//" FILES;
    folder->temporary = malloc(room);
    folder->path = malloc(all);
    if (!folder->temporary || !folder->path)
        return false;
    snprintf(folder->temporary, room, ".%s.tare-partial", folder->name);
    snprintf(folder->path, all, "%s/%s/%s", parent, folder->temporary, FILES);
    return true;
}

enum tare_code tare_folder_begin(struct tare_folder *folder, const char *wanted, const char *input,
                                 struct tare_error *err)
{
    folder->wanted = wanted;
    folder->parent = folder->hold = folder->lock = folder->fd = -1;
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
                               : tare_fail_system(err, parent, "opening it");
    else if (!input || !(code = refuse_input(folder, parent, input, err)))
        code = name_temporary(folder, parent) ? begin(folder, err) : tare_fail_memory(err);
    free(parent);
    return code;
}

enum tare_code tare_folder_clear(struct tare_folder *folder, struct tare_error *err)
{
    folder->keep = false;
    unlinkat(folder->hold, TARE_JOURNAL, 0);
    return remove_files(folder->fd) ? TARE_OK : fail_odd(folder, err);
}

enum tare_code tare_folder_keep_only(struct tare_folder *folder, bool (*keep)(const void *user, const char *name),
                                     const void *user, struct tare_error *err)
{
    char **names = NULL;
    size_t n = 0;
    enum tare_code code = tare_folder_list(folder, &names, &n, err);
    for (size_t k = 0; !code && k < n; k++)
        if (!keep(user, names[k]) && unlinkat(folder->fd, names[k], 0))
            code = fail_odd(folder, err);
    tare_folder_list_free(names, n);
    return code;
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
    *fd = openat(folder->fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (*fd < 0)
        return tare_fail_system(err, name, "creating it");
    if (!size || !reserve(*fd, size))
        return TARE_OK;
    const enum tare_code code = tare_fail_system(err, name, "setting its bytes aside");
    close(*fd);
    *fd = -1;
    return code;
}

enum tare_code tare_folder_beside(struct tare_folder *folder, const char *name, bool create, int *fd,
                                  struct tare_error *err)
{
    const int flags = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | (create ? O_CREAT | O_EXCL : 0);
    *fd = openat(folder->hold, name, flags, 0666);
    return *fd >= 0 || !create ? TARE_OK : tare_fail_system(err, folder->wanted, "making a file beside it");
}

bool tare_folder_read(const struct tare_folder *folder, const char *name, int *fd)
{
    *fd = openat(folder->fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    return *fd >= 0;
}

bool tare_folder_size(const struct tare_folder *folder, const char *name, uint64_t *size)
{
    struct stat info;
    if (fstatat(folder->fd, name, &info, AT_SYMLINK_NOFOLLOW))
        return false;
    *size = (uint64_t)info.st_size;
    return true;
}

bool tare_folder_reopen(struct tare_folder *folder, const char *name, uint64_t size, int *fd)
{
    struct stat info;
    *fd = openat(folder->fd, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (*fd >= 0 && !fstat(*fd, &info) && S_ISREG(info.st_mode) && (uint64_t)info.st_size == size)
        return true;
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    return false;
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
            return tare_fail_system(err, name, "writing it");
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
    if (tare_flush(fd))
        code = tare_fail_system(err, name, "bringing it to the disk");
    if (close(fd) && !code)
        code = tare_fail_system(err, name, "closing it");
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

/* rename() would replace an empty folder that appeared meanwhile; renameat2() and macOS's renameatx_np() do not, where the
 * file system has them. */
static int rename_new(int old, const char *from, int new, const char *to)
{
#if defined(__linux__) && defined(RENAME_NOREPLACE)
    if (!renameat2(old, from, new, to, RENAME_NOREPLACE))
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
#elif defined(RENAME_EXCL)
    if (!renameatx_np(old, from, new, to, RENAME_EXCL))
        return 0;
    if (errno != EINVAL && errno != ENOTSUP)
        return -1;
#endif
    if (old == new) /* a folder: one that is not empty is not replaced */
        return renameat(old, from, new, to);
    return linkat(old, from, new, to, 0) ? -1 : unlinkat(old, from, 0);
}

/* The record of a single file stands beside it: NAME.tare.json; false: that is too long a name. */
static bool name_record(const struct tare_folder *folder, char name[RECORD_MOST])
{
    const int n = snprintf(name, RECORD_MOST, "%s.tare.json", folder->name);
    errno = ENAMETOOLONG;
    return n > 0 && n < RECORD_MOST;
}

enum tare_code tare_folder_commit(struct tare_folder *folder, struct tare_error *err)
{
    if (tare_flush(folder->fd))
        return tare_fail_system(err, folder->wanted, "bringing it to the disk");
    const char *single = folder->single;
    char record[RECORD_MOST];
    if (single && (!name_record(folder, record) || renameat(folder->fd, "tare.json", folder->parent, record)))
        return tare_fail_system(err, folder->wanted, "renaming tare.json beside it");
    if (rename_new(single ? folder->fd : folder->hold, single ? single : FILES, folder->parent, folder->name)) {
        const int reason = errno;
        if (single)
            unlinkat(folder->parent, record, 0); /* a record of nothing */
        errno = reason;
        if (errno == EEXIST || errno == ENOTEMPTY || errno == ENOTDIR)
            return tare_fail(err, TARE_E_EXISTS, folder->wanted, "appeared while it was written; it is left as it is");
        return tare_fail_system(err, folder->wanted, "renaming it");
    }
    if (!single) {
        close(folder->fd);
        folder->fd = -1;
    }
    if (tare_flush(folder->parent))
        return tare_fail_system(err, folder->wanted, "complete, but the folder above it was not brought to the disk");
    return TARE_OK;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

enum tare_code tare_folder_list(const struct tare_folder *folder, char ***names, size_t *n, struct tare_error *err)
{
    const int again = openat(folder->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = again < 0 ? NULL : fdopendir(again);
    size_t room = 0;
    enum tare_code code = TARE_OK;
    *names = NULL;
    *n = 0;
    if (!list) {
        code = tare_fail_system(err, folder->wanted, "listing it");
        if (again >= 0)
            close(again);
        return code;
    }
    for (const struct dirent *entry; !code && (entry = readdir(list));) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        if (!tare_grow(names, &room, *n + 1, sizeof **names) || !((*names)[*n] = strdup(entry->d_name)))
            code = tare_fail_memory(err);
        else
            ++*n;
    }
    closedir(list);
    if (*n)
        qsort(*names, *n, sizeof **names, by_text);
    return code;
}

void tare_folder_list_free(char **names, size_t n)
{
    for (size_t k = 0; k < n; k++)
        free(names[k]);
    free(names);
}

void tare_folder_release(struct tare_folder *folder)
{
    if (!folder->wanted)
        return;
    if (folder->hold >= 0 && !folder->keep) {
        if (folder->fd >= 0)
            remove_files(folder->fd);
        unlinkat(folder->hold, FILES, AT_REMOVEDIR);
        unlinkat(folder->hold, TARE_JOURNAL, 0);
        unlinkat(folder->hold, TARE_CALIBRATION, 0);
        unlinkat(folder->hold, LOCK, 0);
        unlinkat(folder->parent, folder->temporary, AT_REMOVEDIR);
    }
    if (folder->fd >= 0)
        close(folder->fd);
    let_go(folder);
    if (folder->parent >= 0)
        close(folder->parent);
    free(folder->name);
    free(folder->temporary);
    free(folder->path);
    *folder = (struct tare_folder){0};
}
