/* SPDX-License-Identifier: MIT
 * partial.h - a content that is being downloaded: in parts, several at once, and over any number of processes.
 *
 * It lies in blobs/ETAG.74617265.incomplete, beside ETAG.7461726d.incomplete, which notes how far each part has come.
 * The names have huggingface_hub's form (a content, eight hex digits, .incomplete), which its releases neither resume
 * nor take for a content. blobs/ETAG.incomplete, which releases before 2.0 left behind, is taken over as a beginning:
 * its content is anybody's, so that the hash of the whole decides. The caller holds the content's lock.
 */
#ifndef TARE_HUB_PARTIAL_H
#define TARE_HUB_PARTIAL_H

#include <stddef.h>

#include "hub/cache.h"
#include "hub/sum.h"

struct tare_partial_part {
    uint64_t first, size;
    /* Bytes that are in the file. */
    uint64_t done;
    /* A request for the rest is under way; the caller's mark. */
    bool taken;
};

/* Zero-initialise, with fd and map -1; release also after a failure. */
struct tare_partial {
    char etag[TARE_HUB_ETAG];
    char path[TARE_HUB_PATH], map_path[TARE_HUB_PATH], blob[TARE_HUB_PATH];
    int fd, map;
    uint64_t size;
    struct tare_partial_part *parts;
    size_t n_parts;
    /* Some bytes were there when it was opened: they may be wrong without anyone's fault. */
    bool resumed;
    /* The hash of the first `hashed` bytes. */
    struct tare_hub_sum *hash;
    uint64_t hashed;
    /* Of the parts, together. */
    uint64_t done;
    unsigned char *buffer;
};

/* Opens it, or begins it, in parts of `part` bytes. */
enum tare_code tare_partial_open(struct tare_partial *partial, const struct tare_hub_cache *cache, const char *etag,
                                 uint64_t size, uint64_t part, struct tare_error *err);
/* The bytes that follow those that part `at` has. */
enum tare_code tare_partial_write(struct tare_partial *partial, size_t at, const void *bytes, size_t n,
                                  struct tare_error *err);
/* Forgets all bytes, and has `part` bytes in a part from now on. */
enum tare_code tare_partial_restart(struct tare_partial *partial, uint64_t part, struct tare_error *err);
/* Hashes what has come in order and is not hashed yet, `most` bytes at most. */
enum tare_code tare_partial_hash(struct tare_partial *partial, uint64_t most, struct tare_error *err);
/* When all bytes are there and hashed: is it the content that its name says? */
bool tare_partial_is_right(struct tare_partial *partial);
/* Gives it its name in blobs/. */
enum tare_code tare_partial_keep(struct tare_partial *partial, struct tare_error *err);
/* Removes it. */
void tare_partial_remove(struct tare_partial *partial);
/* Closes the files, which stay. */
void tare_partial_release(struct tare_partial *partial);

#endif
