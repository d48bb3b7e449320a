/* SPDX-License-Identifier: MIT
 * kill_at.c - preloaded into tare by resume.py: the process gets TARE_KILL_SIGNAL at the TARE_KILL_AT-th call that
 * changes a file (from 0 on, before the call), and says into TARE_KILL_COUNT how many there were.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

ssize_t pwrite64(int fd, const void *data, size_t n, off_t offset);
int fallocate64(int fd, int mode, off_t offset, off_t size);
int ftruncate64(int fd, off_t size);

static atomic_long calls;

static void count(void)
{
    const char *at = getenv("TARE_KILL_AT"), *number = getenv("TARE_KILL_SIGNAL");
    const long call = atomic_fetch_add(&calls, 1);
    if (at && number && call == strtol(at, NULL, 10))
        kill(getpid(), (int)strtol(number, NULL, 10));
}

__attribute__((destructor)) static void say(void)
{
    const char *path = getenv("TARE_KILL_COUNT");
    FILE *file = path ? fopen(path, "w") : NULL;
    if (!file)
        return;
    fprintf(file, "%ld\n", atomic_load(&calls));
    fclose(file);
}

ssize_t pwrite64(int fd, const void *data, size_t n, off_t offset)
{
    count();
    return syscall(SYS_pwrite64, fd, data, n, offset);
}

int fallocate64(int fd, int mode, off_t offset, off_t size)
{
    count();
    return (int)syscall(SYS_fallocate, fd, mode, offset, size);
}

int ftruncate64(int fd, off_t size)
{
    count();
    return (int)syscall(SYS_ftruncate, fd, size);
}

int fsync(int fd)
{
    count();
    return (int)syscall(SYS_fsync, fd);
}

int renameat2(int from, const char *old, int to, const char *new, unsigned flags)
{
    count();
    return (int)syscall(SYS_renameat2, from, old, to, new, flags);
}

int mkdirat(int at, const char *path, mode_t mode)
{
    count();
    return (int)syscall(SYS_mkdirat, at, path, mode);
}

int unlinkat(int at, const char *path, int flags)
{
    count();
    return (int)syscall(SYS_unlinkat, at, path, flags);
}
