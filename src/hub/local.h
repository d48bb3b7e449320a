/* SPDX-License-Identifier: MIT
 * local.h - what the cache has of a repository, as the list of files that the hub would give. */
#ifndef TARE_HUB_LOCAL_H
#define TARE_HUB_LOCAL_H

#include "hub/api.h"
#include "hub/cache.h"

/* Lists a snapshot. A link to what is not there is left out, and counted in *broken (may be NULL). etag is the name
 * that a link gives the content, "" of a file that is none. */
enum tare_code tare_local_list(struct tare_hub_tree *tree, const char *snapshot, size_t *broken,
                               struct tare_error *err);

/* Reads a file of a snapshot, at most `most` bytes. The caller calls free(). */
enum tare_code tare_local_read(const char *snapshot, const char *path, size_t most, char **text, size_t *size,
                               struct tare_error *err);

/* The commit of a revision in the cache. Without refs/main, the only snapshot counts as main. */
bool tare_local_commit(const struct tare_hub_cache *cache, const char *revision, char commit[TARE_HUB_COMMIT]);

#endif
