/* SPDX-License-Identifier: MIT
 * sum.c - sha256, and git's sha1, which is that of "blob SIZE\0" and the content. */
#include "hub/sum.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

struct tare_hub_sum {
    struct tare_hashes *hashes;
    struct tare_hash *hash;
};

struct tare_hub_sum *tare_hub_sum_begin(const char *etag, uint64_t size)
{
    const bool git = strlen(etag) == 40;
    char head[40];
    struct tare_hub_sum *sum = calloc(1, sizeof *sum);
    const int n = snprintf(head, sizeof head, "blob %" PRIu64, size);
    if (sum && (sum->hashes = tare_hashes_open()) &&
        (sum->hash = tare_hash_begin(sum->hashes, git ? TARE_HASH_SHA1 : TARE_HASH_SHA256)) &&
        (!git || tare_hash_add(sum->hash, head, (size_t)n + 1)))
        return sum;
    tare_hub_sum_free(sum);
    return NULL;
}

bool tare_hub_sum_add(struct tare_hub_sum *sum, const void *bytes, size_t n)
{
    return tare_hash_add(sum->hash, bytes, n);
}

bool tare_hub_sum_end(struct tare_hub_sum *sum, const char *etag)
{
    char hex[TARE_HASH_ROOM];
    return tare_hash_end(sum->hash, hex) && strcmp(hex, etag) == 0;
}

void tare_hub_sum_free(struct tare_hub_sum *sum)
{
    if (!sum)
        return;
    if (sum->hash)
        tare_hash_free(sum->hash);
    if (sum->hashes)
        tare_hashes_free(sum->hashes);
    free(sum);
}
