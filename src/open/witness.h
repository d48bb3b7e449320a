/* SPDX-License-Identifier: MIT
 * witness.h - what was read of a file whose hash is known: a checksum of each grain. A file is read in pieces, out of
 * order and some of it twice, while its hash is that of its bytes in order: a grain that is read again must have the sum
 * that it had before, so that what was used is what was hashed.
 */
#ifndef TARE_OPEN_WITNESS_H
#define TARE_OPEN_WITNESS_H

#include <pthread.h>
#include <xxhash.h>

#include "open/bytes.h"

#define TARE_GRAIN ((size_t)128 << 10) /* bytes; the last grain of a file is shorter */

struct tare_witness {
    const char *sha256;   /* borrowed; 64 digits */
    uint64_t size;        /* bytes of the file */
    size_t n;             /* grains */
    XXH128_hash_t *sums;  /* heap; {0, 0}: not read yet */
    pthread_mutex_t lock; /* of sums and fresh */
    size_t *fresh;        /* heap: grains that were read and are not in the journal yet */
    size_t n_fresh, fresh_room;
};

/* One for each file of the door, those without a hash left zeroed. NULL and TARE_OK: no file has one. */
enum tare_code tare_witnesses_open(struct tare_witness **list, const struct tare_host *host,
                                   const struct tare_host_file *files, struct tare_error *err);
void tare_witnesses_free(struct tare_witness *list, size_t n);

/* tare_bytes_read() of such a file, by whole grains. TARE_E_FORMAT: they are other bytes than before. Any thread. */
enum tare_code tare_witness_read(const struct tare_bytes *bytes, void *to, size_t n, uint64_t offset,
                                 struct tare_error *err);

/* Takes a sum that an earlier run noted; false: this run has read something else there. */
bool tare_witness_recall(struct tare_witness *witness, size_t grain, XXH128_hash_t sum);
/* All grains that have a sum count as fresh; false: no memory. */
bool tare_witness_refresh(struct tare_witness *witness);

#endif
