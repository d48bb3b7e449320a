/* SPDX-License-Identifier: MIT
 * digest.h - files and what their hashes should be. */
#ifndef TARE_AUDIT_DIGEST_H
#define TARE_AUDIT_DIGEST_H

#include "base/hash.h"
#include "open/checkpoint.h"

enum { TARE_BY_HUB, TARE_BY_PROOF, TARE_BYS };

/* A file whose content is hashed. */
struct tare_digest {
    const char *name;
    const char *path; /* NULL: in memory or the host's */
    uint64_t size;
    bool shard;                     /* counts: of the model */
    bool absent;                    /* tare.json names it, and it is not there */
    bool content;                   /* sha256 is wanted even if nobody says what it is */
    const char *expected[TARE_BYS]; /* hex, or NULL */
    char sha256[65], git[41];       /* receives; "" while not asked for */
};
struct tare_digests {
    struct tare_checkpoint at;   /* the same folder; its arena owns names and paths */
    struct tare_digest *digests; /* heap */
    size_t n, room;
    const char *proof_fault; /* why tare.json cannot be used, or NULL */
    struct tare_hashes *hashes;
};

/* Zero-initialise; release it also after a failure, when no thread that hashed is left. The checkpoint, which other
 * threads may use too, must outlive it. */
enum tare_code tare_digests_list(struct tare_digests *all, const struct tare_checkpoint *checkpoint,
                                 struct tare_error *err);
void tare_digests_release(struct tare_digests *all);

/* Hash one file; from any thread, each file once. tick(user, bytes) is called now and then; false from it cancels. */
enum tare_code tare_digest_make(const struct tare_digests *all, struct tare_digest *digest,
                                bool (*tick)(void *user, uint64_t bytes), void *user, struct tare_error *err);
/* Its hash in the words of `by`: 64 digits sha256, 40 git's sha1 of a blob. */
const char *tare_digest_of(const struct tare_digest *digest, int by);

#endif
