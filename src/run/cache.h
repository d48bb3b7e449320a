/* SPDX-License-Identifier: MIT
 * cache.h - keys and values of one layer, in float32, by chunks of positions so that memory grows with the text and
 * nothing moves.
 */
#ifndef TARE_RUN_CACHE_H
#define TARE_RUN_CACHE_H

#include "base/error.h"

#include <stdint.h>

#define TARE_CACHE_CHUNK 128 /* positions */

/* A layer's state. A chunk holds keys (kv_heads, TARE_CACHE_CHUNK, head_dim), then values in the same shape. */
struct tare_cache {
    int64_t n;      /* chunks that exist */
    float *chunk[]; /* context / TARE_CACHE_CHUNK, rounded up */
};

size_t tare_cache_size(int64_t context);
/* Chunks for positions [0, n). After a failure the cache holds what it held. */
enum tare_code tare_cache_reserve(struct tare_cache *cache, int64_t n, int64_t kv_heads, int64_t head_dim,
                                  struct tare_error *err);
void tare_cache_release(struct tare_cache *cache);

#endif
