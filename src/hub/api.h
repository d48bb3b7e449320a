/* SPDX-License-Identifier: MIT
 * api.h - what the hub says of a repository: the commit of a revision, and its files; and what it finds by words. */
#ifndef TARE_HUB_API_H
#define TARE_HUB_API_H

#include <stddef.h>

#include "base/arena.h"
#include "hub/repo_name.h"
#include "hub/transport.h"

struct tare_hub_file {
    /* A plain relative path. */
    const char *path;
    uint64_t size;
    /* Its content's name in the cache: sha256 of a large file, git's sha1 of a small one. */
    char etag[TARE_HUB_ETAG];
};

/* Zero-initialise; release also after a failure. */
struct tare_hub_tree {
    struct tare_arena arena;
    char commit[TARE_HUB_COMMIT];
    /* Sorted by path; heap. */
    struct tare_hub_file *files;
    size_t n, room;
};

/* Asks which commit a revision is, and then for that commit's files. */
enum tare_code tare_hub_tree_read(struct tare_hub_tree *tree, struct tare_http *http, const struct tare_hub *hub,
                                  const struct tare_hub_name *name, struct tare_error *err);
void tare_hub_tree_release(struct tare_hub_tree *tree);
const struct tare_hub_file *tare_hub_tree_find(const struct tare_hub_tree *tree, const char *path);

/* The address of a file at a commit. NULL when memory ran out; the caller calls free(). */
char *tare_hub_file_url(const struct tare_hub *hub, const char *id, const char *commit, const char *path);

/* A repository that a search found. */
struct tare_hub_found {
    const char *id;
    /* Tags of the hub, as "gguf" and "4-bit"; separated by blanks. */
    const char *tags;
    int64_t downloads, likes;
    /* Of all its files and revisions together; 0: not said. */
    uint64_t bytes;
    bool gated;
};
struct tare_hub_findings {
    struct tare_arena arena;
    struct tare_hub_found *found;
    size_t n, room;
};

/* Text models for the words, the most downloaded first, `limit` at most. */
enum tare_code tare_hub_search(struct tare_hub_findings *findings, struct tare_http *http, const struct tare_hub *hub,
                               const char *words, int limit, struct tare_error *err);
void tare_hub_findings_release(struct tare_hub_findings *findings);

#endif
