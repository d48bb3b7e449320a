/* SPDX-License-Identifier: MIT
 * cached.h - what the whole cache holds, and how a part of it is removed. */
#ifndef TARE_HUB_CACHED_H
#define TARE_HUB_CACHED_H

#include "hub/api.h"
#include "hub/cache.h"

/* A snapshot of a repository. Texts are in the list's arena. */
struct tare_cached {
    const char *id;
    /* "" when there is no snapshot, but a download that was not finished. */
    const char *commit;
    /* Branches and tags that are this commit, "main, v1"; "" when there is none. */
    const char *revisions;
    const char *snapshot;
    /* The GGUF file that the weights are, below snapshot; "" for safetensors, or when there are several. */
    const char *file;
    /* Of the contents that it links to, each counted once. */
    uint64_t bytes;
    size_t files;
    /* Links to contents that are not there. */
    size_t broken;
    /* NULL when a model's weights are all there, else what is amiss. */
    const char *fault;
    /* When a content of it was last read, in seconds since 1970. */
    int64_t used;
};

/* Zero-initialise; release also after a failure. */
struct tare_cached_list {
    struct tare_arena arena;
    /* Sorted by id, then by commit; heap. */
    struct tare_cached *all;
    size_t n, room;
};

/* A cache that does not exist is empty. */
enum tare_code tare_cached_read(struct tare_cached_list *list, const struct tare_hub *hub, struct tare_error *err);
void tare_cached_release(struct tare_cached_list *list);

/* Calls see(user, name, path) for each ref of an open repository that is the commit: "main", "refs/pr/1". path is that of
 * its file, which see() may remove. Links are not followed. */
struct tare_hub_cache;
void tare_cached_refs(const struct tare_hub_cache *cache, const char *commit,
                      void (*see)(void *user, const char *name, const char *path), void *user);

/*
 * Removes a commit of a repository: its snapshot, the refs to it, and the contents that no other snapshot links to; or,
 * when commit is NULL or the last one, all of the repository. Links are removed, never followed. *freed: bytes.
 */
enum tare_code tare_cached_remove(const struct tare_hub *hub, const char *id, const char *commit, uint64_t *freed,
                                  struct tare_error *err);

#endif
