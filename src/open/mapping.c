/* SPDX-License-Identifier: MIT
 * mapping.c - the bytes of one file, mapped; opening a regular file, and reading a range of it. */
#include "open/mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"

static const char *kind_of(mode_t mode)
{
    if (S_ISDIR(mode))
        return "a folder";
    if (S_ISFIFO(mode))
        return "a pipe";
    if (S_ISSOCK(mode))
        return "a socket";
    return "a device";
}

static enum tare_code fail_system(struct tare_error *err, enum tare_code code, const char *name, const char *verb,
                                  int why)
{
    char reason[128] = "";
    if (strerror_r(why, reason, sizeof reason))
        reason[0] = '\0';
    return tare_fail(err, code, name, "cannot be %s: %s", verb, reason);
}

static enum tare_code fail_open(const char *path, const char *name, struct tare_error *err)
{
    const int why = errno;
    struct stat link;
    if (why == ENOENT && !lstat(path, &link) && S_ISLNK(link.st_mode))
        return tare_fail(err, TARE_E_ABSENT, name,
                         "is a link to a file that is not there: the download was not finished, or the cache was "
                         "cleaned; fetch it again");
    if (why == ENOENT || why == ENOTDIR)
        return tare_fail(err, TARE_E_ABSENT, name, "no such file");
    return fail_system(err, TARE_E_IO, name, "opened", why);
}

enum tare_code tare_file_open(int *fd, uint64_t *size, const char *path, const char *name, struct tare_error *err)
{
    struct stat info;
    *fd = -1;
    /* Asked before open(), since opening a device may do something; and again after it, since the name may have
     * changed. */
    if (stat(path, &info))
        return fail_open(path, name, err);
    if (S_ISREG(info.st_mode)) {
        *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (*fd < 0 || fstat(*fd, &info)) {
            const enum tare_code code = fail_open(path, name, err);
            if (*fd >= 0)
                close(*fd);
            *fd = -1;
            return code;
        }
    }
    if (!S_ISREG(info.st_mode)) {
        if (*fd >= 0)
            close(*fd);
        *fd = -1;
        return tare_fail(err, TARE_E_FORMAT, name, "is %s: only regular files are opened", kind_of(info.st_mode));
    }
    *size = (uint64_t)info.st_size;
    return TARE_OK;
}

enum tare_code tare_file_read(int fd, void *buffer, size_t n, uint64_t offset, const char *name, struct tare_error *err)
{
    for (size_t done = 0; done < n;) {
        const ssize_t got = pread(fd, (char *)buffer + done, n - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail_system(err, TARE_E_IO, name, "read", errno);
        if (!got)
            return tare_fail(err, TARE_E_IO, name, "became shorter while it was read: is something writing to it?");
        done += (size_t)got;
    }
    return TARE_OK;
}

static enum tare_code map_pages(struct tare_mapping *mapping, int fd, const char *name, struct tare_error *err)
{
    void *pages = mmap(NULL, (size_t)mapping->size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (pages == MAP_FAILED)
        return fail_system(err, errno == ENOMEM ? TARE_E_MEMORY : TARE_E_IO, name, "mapped", errno);
    mapping->data = pages;
    mapping->kind = TARE_MAPPING_PAGES;
    return TARE_OK;
}

enum tare_code tare_file_same(const char *name, uint64_t now, uint64_t before, struct tare_error *err)
{
    if (now == before)
        return TARE_OK;
    return tare_fail(err, TARE_E_IO, name,
                     "is %" PRIu64 " bytes now and was %" PRIu64 " when it was opened: is something writing to it?",
                     now, before);
}

enum tare_code tare_mapping_open(struct tare_mapping *mapping, const char *path, uint64_t size, struct tare_error *err)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    uint64_t now = 0;
    int fd = -1;
    *mapping = (struct tare_mapping){.data = (const unsigned char *)"", .size = size, .kind = TARE_MAPPING_MEMORY};
    enum tare_code code = tare_file_open(&fd, &now, path, name, err);
    if (code)
        return code;
    code = tare_file_same(name, now, size, err);
    if (!code && size > SIZE_MAX / 2)
        code = tare_fail(err, TARE_E_MEMORY, name, "%" PRIu64 " bytes do not fit the address space", size);
    else if (!code && size) /* mmap refuses nothing at all */
        code = map_pages(mapping, fd, name, err);
    close(fd);
    if (code)
        *mapping = (struct tare_mapping){0};
    return code;
}

void tare_mapping_give_back(const struct tare_mapping *mapping, uint64_t offset, uint64_t size)
{
    if (mapping->kind == TARE_MAPPING_PAGES)
        tare_memory_give_back(mapping->data + offset, (size_t)size);
}

void tare_mapping_release(struct tare_mapping *mapping)
{
    if (mapping->kind == TARE_MAPPING_PAGES)
        munmap((void *)(uintptr_t)mapping->data, (size_t)mapping->size);
    *mapping = (struct tare_mapping){0};
}
