/* SPDX-License-Identifier: MIT
 * fetch.h - gets files of a commit into the cache: several at once, large ones in several ranges at once. */
#ifndef TARE_HUB_FETCH_H
#define TARE_HUB_FETCH_H

#include "hub/api.h"
#include "hub/cache.h"

struct tare_fetch {
    struct tare_http *http;
    const struct tare_hub *hub;
    const struct tare_hub_cache *cache;
    const char *id, *commit;
    /* Counted in: bytes that are there already, of all that is shown as the whole. */
    uint64_t base, total;
};

/* Gets the n files; each is checked, has its name in blobs/ and its link in the snapshot afterwards. After a failure
 * what has come stays, and the next call continues. */
enum tare_code tare_fetch_files(const struct tare_fetch *fetch, const struct tare_hub_file *const *files, size_t n,
                                struct tare_error *err);

#endif
