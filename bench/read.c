/* SPDX-License-Identifier: MIT
 * read.c - read FILE THREADS read|map: every byte of a file, by threads that share it; prints seconds. What
 * bench/verify.py holds tare against: read(2) into a buffer that is used again, or a mapping of which each word is
 * added up.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 1 << 20 };

struct part {
    pthread_t thread;
    int fd;
    const char *map; /* NULL: read(2) */
    size_t at, n;
    uint64_t sum;
};

static void *run(void *user)
{
    struct part *part = user;
    if (part->map) {
        const char *from = part->map + part->at;
        for (size_t i = 0; i + 8 <= part->n; i += 8) {
            uint64_t word;
            memcpy(&word, from + i, sizeof word);
            part->sum += word;
        }
        return NULL;
    }
    char *buffer = malloc(BUFFER);
    for (size_t done = 0; buffer && done < part->n;) {
        const size_t n = part->n - done < BUFFER ? part->n - done : BUFFER;
        const ssize_t got = pread(part->fd, buffer, n, (off_t)(part->at + done));
        if (got <= 0)
            break;
        done += (size_t)got;
    }
    free(buffer);
    return NULL;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

int main(int argc, char **argv)
{
    struct part parts[64];
    struct stat stat;
    const int threads = argc == 4 ? atoi(argv[2]) : 0;
    if (threads < 1 || threads > 64)
        return fprintf(stderr, "read FILE THREADS read|map\n"), 2;
    const double start = seconds();
    const int fd = open(argv[1], O_RDONLY);
    if (fd < 0 || fstat(fd, &stat))
        return perror(argv[1]), 1;
    const size_t size = (size_t)stat.st_size, share = size / (size_t)threads;
    const char *map = strcmp(argv[3], "map") ? NULL : mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED)
        return perror(argv[1]), 1;
    uint64_t sum = 0;
    for (int k = 0; k < threads; k++) {
        parts[k] = (struct part){.fd = fd, .map = map, .at = share * (size_t)k, .n = share};
        if (k == threads - 1)
            parts[k].n = size - parts[k].at;
        if (pthread_create(&parts[k].thread, NULL, run, &parts[k]))
            return perror("thread"), 1;
    }
    for (int k = 0; k < threads; k++) {
        pthread_join(parts[k].thread, NULL);
        sum += parts[k].sum;
    }
    printf("%.6f %llu\n", seconds() - start, (unsigned long long)sum);
    return 0;
}
