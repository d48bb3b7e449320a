/* SPDX-License-Identifier: MIT
 * memcpy.c - memcpy IN OUT THREADS: a file copied into a fresh one through two mappings; prints seconds, and CPU
 * seconds. What bench/convert.py holds tare against: nothing that makes a file of so many bytes does less.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct part {
    pthread_t thread;
    const char *from;
    char *to;
    size_t n;
};

static void *copy(void *user)
{
    const struct part *part = user;
    memcpy(part->to, part->from, part->n);
    return NULL;
}

static double seconds(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int fail(const char *what)
{
    perror(what);
    return 1;
}

int main(int argc, char **argv)
{
    struct part parts[64];
    struct stat stat;
    const int threads = argc == 4 ? atoi(argv[3]) : 0;
    if (threads < 1 || threads > 64)
        return fprintf(stderr, "memcpy IN OUT THREADS\n"), 2;
    const double start = seconds(CLOCK_MONOTONIC);
    const int in = open(argv[1], O_RDONLY), out = open(argv[2], O_RDWR | O_CREAT | O_EXCL, 0666);
    if (in < 0 || out < 0 || fstat(in, &stat) || ftruncate(out, stat.st_size))
        return fail("memcpy");
    const size_t size = (size_t)stat.st_size;
    const char *from = mmap(NULL, size, PROT_READ, MAP_PRIVATE, in, 0);
    char *to = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, out, 0);
    if (from == MAP_FAILED || to == MAP_FAILED)
        return fail("memcpy");
    for (int k = 0; k < threads; k++) {
        const size_t first = size / (size_t)threads * (size_t)k;
        parts[k] = (struct part){.from = from + first, .to = to + first, .n = size / (size_t)threads};
        if (k == threads - 1)
            parts[k].n = size - first;
        if (pthread_create(&parts[k].thread, NULL, copy, &parts[k]))
            return fail("memcpy");
    }
    for (int k = 0; k < threads; k++)
        pthread_join(parts[k].thread, NULL);
    if (fsync(out) || close(out))
        return fail("memcpy");
    printf("%.6f %.6f\n", seconds(CLOCK_MONOTONIC) - start, seconds(CLOCK_PROCESS_CPUTIME_ID));
    return 0;
}
