/* SPDX-License-Identifier: MIT
 * bytes.h - one file as a source of bytes: on the disk, in memory, or read by the host. Everything of a checkpoint that
 * is not mapped is read through it. */
#ifndef TARE_OPEN_BYTES_H
#define TARE_OPEN_BYTES_H

#include <pthread.h>
#include <stdbool.h>

#include "base/error.h"

struct tare_witness;

/* The host's list of files and its callback, and the door before it: at most host.parallel calls are inside. */
struct tare_door {
    struct tare_host host;
    struct tare_host_file *files;   /* heap, host.n_files; names are the host's */
    struct tare_witness *witnesses; /* heap, one a file (open/witness.h); NULL: no hash is known */
    int inside;
    pthread_mutex_t lock; /* of inside */
    pthread_cond_t left;  /* a call has returned */
};

/* Copies the host's struct and list, and checks them. Release it after TARE_OK only. */
enum tare_code tare_door_open(struct tare_door *door, const struct tare_host *host, struct tare_error *err);
void tare_door_release(struct tare_door *door);
/* The file of this name, or NULL. */
const struct tare_host_file *tare_door_find(const struct tare_door *door, const char *name);

/* What is kept of a file's grains, or NULL where its hash is not known. */
struct tare_witness *tare_door_witness(const struct tare_door *door, const char *name);

/* A file that is open. Reading it changes nothing: any number of threads. */
struct tare_bytes {
    const char *name; /* for errors */
    uint64_t size;
    const unsigned char *memory;  /* of a file in memory, or NULL */
    struct tare_door *door;       /* of a file of the host, or NULL */
    struct tare_witness *witness; /* of a file of the host whose hash is known, or NULL */
    int fd;                       /* of a file on the disk, or -1 */
};

/* Opens the regular file at path, which is called name in errors; both are borrowed. TARE_E_ABSENT: not there. */
enum tare_code tare_bytes_open(struct tare_bytes *bytes, const char *path, const char *name, struct tare_error *err);
/* Exactly n bytes from offset on, in calls of at most TARE_BYTES_MOST; else an error whose place is the file. */
enum tare_code tare_bytes_read(const struct tare_bytes *bytes, void *to, size_t n, uint64_t offset,
                               struct tare_error *err);
/* The same, past the witness. */
enum tare_code tare_bytes_ask(const struct tare_bytes *bytes, void *to, size_t n, uint64_t offset,
                              struct tare_error *err);
void tare_bytes_close(struct tare_bytes *bytes);

#define TARE_BYTES_MOST ((size_t)64 << 20)

#endif
