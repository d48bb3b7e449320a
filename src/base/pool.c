/* SPDX-License-Identifier: MIT
 * pool.c - one user's threads and scratch memory. */
#include "base/pool.h"

#include <stdlib.h>

struct tare_pool {
    struct tare_threads *threads; /* the pool holds a reference */
    int place;                    /* for tare_threads_run() */
    unsigned char *scratch;
    size_t scratch_size;
};

enum tare_code tare_pool_open_on(struct tare_pool **pool, struct tare_threads *threads, int n, struct tare_error *err)
{
    *pool = NULL;
    struct tare_threads *own = NULL;
    const enum tare_code code = threads ? TARE_OK : tare_threads_open(&own, n, err);
    if (code)
        return code;
    struct tare_pool *made = calloc(1, sizeof *made);
    if (!made) {
        tare_threads_free(own);
        return tare_fail_memory(err);
    }
    tare_threads_hold(threads);
    made->threads = threads ? threads : own;
    *pool = made;
    return TARE_OK;
}

enum tare_code tare_pool_open(struct tare_pool **pool, int n, struct tare_error *err)
{
    return tare_pool_open_on(pool, NULL, n, err);
}

void tare_pool_free(struct tare_pool *pool)
{
    if (!pool)
        return;
    tare_threads_free(pool->threads);
    free(pool->scratch);
    free(pool);
}

void tare_pool_run(struct tare_pool *pool, size_t n, void (*task)(void *user, size_t i, int worker), void *user)
{
    tare_threads_run(pool->threads, &pool->place, n, task, user);
}

enum tare_code tare_pool_reserve(struct tare_pool *pool, size_t bytes, struct tare_error *err)
{
    if (bytes <= pool->scratch_size)
        return TARE_OK;
    if (bytes > SIZE_MAX / 4)
        return tare_fail_memory(err);
    bytes = (bytes + 63) / 64 * 64;
    unsigned char *scratch = aligned_alloc(64, bytes);
    if (!scratch)
        return tare_fail_memory(err);
    free(pool->scratch);
    pool->scratch = scratch;
    pool->scratch_size = bytes;
    return TARE_OK;
}

unsigned char *tare_pool_scratch(const struct tare_pool *pool)
{
    return pool->scratch;
}

size_t tare_pool_scratch_size(const struct tare_pool *pool)
{
    return pool->scratch_size;
}

int tare_pool_threads(const struct tare_pool *pool)
{
    return tare_threads_count(pool->threads);
}
