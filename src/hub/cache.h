/* SPDX-License-Identifier: MIT
 * cache.h - the Hugging Face cache of one repository, as huggingface_hub writes and reads it.
 *
 *     .locks/models--ORG--NAME/ETAG.lock         an empty file; who holds flock() on it may write the blob
 *     models--ORG--NAME/blobs/ETAG               contents, each once
 *     models--ORG--NAME/snapshots/COMMIT/PATH    links to them
 *     models--ORG--NAME/refs/REVISION            the commit, without a line end
 *     models--ORG--NAME/.no_exist/COMMIT/PATH    empty: this commit has no such file
 *
 * Nothing is created through a link that stands below models--ORG--NAME, and every name was checked (repo_name.h).
 */
#ifndef TARE_HUB_CACHE_H
#define TARE_HUB_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "hub/hub.h"
#include "hub/repo_name.h"

enum { TARE_HUB_PATH = 4096 };

struct tare_hub_cache {
    const struct tare_hub *hub;
    /* models--ORG--NAME and its folder of locks. */
    char repo[TARE_HUB_PATH];
    char locks[TARE_HUB_PATH];
};

/* Creates nothing. Fails when the path is too long. */
enum tare_code tare_hub_cache_open(struct tare_hub_cache *cache, const struct tare_hub *hub, const char *id,
                                   struct tare_error *err);

/* Writes `name` below the repository's folder into path. Fails when it is too long. */
enum tare_code tare_hub_cache_path(const struct tare_hub_cache *cache, char path[TARE_HUB_PATH], struct tare_error *err,
                                   const char *format, ...) TARE_PRINTF(4, 5);

/* The commit that a revision was when it was last asked for; the revision itself when it is one. */
bool tare_hub_cache_ref(const struct tare_hub_cache *cache, const char *revision, char commit[TARE_HUB_COMMIT]);
enum tare_code tare_hub_cache_set_ref(const struct tare_hub_cache *cache, const char *revision, const char *commit,
                                      struct tare_error *err);

/* Is there a content of that name, and of that size? */
bool tare_hub_cache_has_blob(const struct tare_hub_cache *cache, const char *etag, uint64_t size);
/* Does the snapshot have the file, of that size? */
bool tare_hub_cache_has_file(const struct tare_hub_cache *cache, const char *commit, const char *path, uint64_t size);

/* Makes snapshots/COMMIT/PATH a link to blobs/ETAG; where the system has no links, the content itself moves there. */
enum tare_code tare_hub_cache_link(const struct tare_hub_cache *cache, const char *commit, const char *path,
                                   const char *etag, struct tare_error *err);
/* Notes that the commit has no such file; what goes wrong is of no matter. */
void tare_hub_cache_note_absent(const struct tare_hub_cache *cache, const char *commit, const char *path);

/* Creates the folders for a download, and CACHEDIR.TAG beside them. */
enum tare_code tare_hub_cache_prepare(const struct tare_hub_cache *cache, struct tare_error *err);

/*
 * Takes the lock of a content, without waiting. *fd is -1 when another process holds it; close() gives it up. Where
 * the file system knows no locks, *fd is a file without one.
 */
enum tare_code tare_hub_cache_lock(const struct tare_hub_cache *cache, const char *etag, int *fd,
                                   struct tare_error *err);

#endif
