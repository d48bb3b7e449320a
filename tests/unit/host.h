/* SPDX-License-Identifier: MIT
 * host.h - a host that reads the files of a folder, counts, and fails when a test wants it. */
#ifndef TARE_TESTS_HOST_H
#define TARE_TESTS_HOST_H

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fixture.h"

#define HOST_FILES 16

struct host {
    char *folder;
    char names[HOST_FILES][64];
    struct tare_host_file files[HOST_FILES];
    struct tare_host host;
    struct tare_options options;
    atomic_long calls, inside, most_inside;
    atomic_llong bytes, longest;
    long fail_at;       /* the call that fails, from 0 on; -1: none does */
    int code;           /* what it returns */
    const char *reason; /* what it says; NULL: nothing */
    int wait_for;       /* calls of shards wait until that many are inside */
    pthread_mutex_t lock;
    pthread_cond_t more;
};

/* Waits, for ten seconds at most, until enough calls are inside at the same moment. */
static inline void host_wait(struct host *h)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 10;
    pthread_mutex_lock(&h->lock);
    pthread_cond_broadcast(&h->more);
    while (h->most_inside < h->wait_for && !pthread_cond_timedwait(&h->more, &h->lock, &until))
        ;
    pthread_mutex_unlock(&h->lock);
}

static inline int host_read(void *user, const char *name, uint64_t offset, void *dst, size_t length,
                            struct tare_error *err)
{
    struct host *h = user;
    const long call = atomic_fetch_add(&h->calls, 1), inside = atomic_fetch_add(&h->inside, 1) + 1;
    long most = h->most_inside;
    while (inside > most && !atomic_compare_exchange_weak(&h->most_inside, &most, inside))
        ;
    long long longest = h->longest;
    while ((long long)length > longest && !atomic_compare_exchange_weak(&h->longest, &longest, (long long)length))
        ;
    h->bytes += (long long)length;
    if (h->wait_for && strstr(name, ".safetensors") && !strstr(name, "index"))
        host_wait(h);
    int result = 0;
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", h->folder, name);
    if (call == h->fail_at) {
        result = h->code;
        if (h->reason)
            snprintf(err->text, sizeof err->text, "%s", h->reason);
    } else {
        const int fd = open(path, O_RDONLY);
        result = fd < 0 || !length || pread(fd, dst, length, (off_t)offset) != (ssize_t)length ? -1 : 0;
        if (fd >= 0)
            close(fd);
    }
    atomic_fetch_sub(&h->inside, 1);
    return result;
}

/* The files of a folder, all of them with their true sizes. */
static inline struct host *host_of(const char *folder)
{
    struct host *h = calloc(1, sizeof *h);
    DIR *list = opendir(folder);
    struct stat info;
    char path[1024];
    assert_true(h && list);
    h->folder = strdup(folder);
    h->fail_at = -1;
    h->host = (struct tare_host)TARE_HOST_INIT;
    h->options = (struct tare_options)TARE_OPTIONS_INIT;
    for (struct dirent *entry; (entry = readdir(list));) {
        const size_t i = h->host.n_files;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (stat(path, &info) || !S_ISREG(info.st_mode) || i == HOST_FILES)
            continue;
        snprintf(h->names[i], sizeof h->names[i], "%.63s", entry->d_name);
        h->files[i] = (struct tare_host_file){.name = h->names[i], .bytes = (uint64_t)info.st_size};
        h->host.n_files++;
    }
    closedir(list);
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->more, NULL);
    h->host.files = h->files;
    h->host.read = host_read;
    h->host.user = h;
    h->options.host = &h->host;
    return h;
}

static inline void host_free(struct host *h)
{
    pthread_mutex_destroy(&h->lock);
    pthread_cond_destroy(&h->more);
    free(h->folder);
    free(h);
}

static inline struct tare_host_file *host_file(struct host *h, const char *name)
{
    for (size_t i = 0; i < h->host.n_files; i++)
        if (!strcmp(h->names[i], name))
            return &h->files[i];
    fail_msg("no file %s", name);
    return NULL;
}

#endif
