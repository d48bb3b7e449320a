/* SPDX-License-Identifier: MIT
 * cache.c - the chunks of a key and value cache. */
#include "run/cache.h"

#include <stdlib.h>

size_t tare_cache_size(int64_t context)
{
    return sizeof(struct tare_cache) + ((size_t)context / TARE_CACHE_CHUNK + 1) * sizeof(float *);
}

enum tare_code tare_cache_reserve(struct tare_cache *cache, int64_t n, int64_t kv_heads, int64_t head_dim,
                                  struct tare_error *err)
{
    size_t floats;
    if (__builtin_mul_overflow((size_t)kv_heads, (size_t)head_dim, &floats) ||
        __builtin_mul_overflow(floats, (size_t)2 * TARE_CACHE_CHUNK, &floats) || floats > SIZE_MAX / sizeof(float))
        return tare_fail_memory(err);
    while (cache->n * TARE_CACHE_CHUNK < n) {
        float *chunk = malloc(floats * sizeof *chunk);
        if (!chunk)
            return tare_fail_memory(err);
        cache->chunk[cache->n++] = chunk;
    }
    return TARE_OK;
}

void tare_cache_release(struct tare_cache *cache)
{
    for (int64_t i = 0; i < cache->n; i++)
        free(cache->chunk[i]);
    cache->n = 0;
}
