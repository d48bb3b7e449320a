/* SPDX-License-Identifier: MIT
 * window.h - a file that is not mapped, at addresses as if it were: a range of the address space as long as the file,
 * of which only what is held has memory.
 *
 * Who wants to read bytes [begin, end) holds them: they are read into their place and stay until they are let go. So
 * the code that decodes rows needs the same pointers as for a mapped file, and memory stays bounded. What nobody holds
 * may be kept for a while, the least recently used goes first.
 */
#ifndef TARE_OPEN_WINDOW_H
#define TARE_OPEN_WINDOW_H

#include "open/bytes.h"

struct tare_chunk;
struct tare_window;

/* What the windows of a checkpoint share. */
struct tare_shelf {
    pthread_mutex_t lock; /* of what follows, and of all chunks */
    pthread_cond_t read;  /* chunks were read, or could not be */
    size_t chunk;         /* bytes of a chunk, the unit of reading: a multiple of a page */
    uint64_t keep;        /* bytes of chunks that nobody holds, at most, or as many as were held at one time */
    bool eager;           /* keep nothing that nobody holds: what is read without a hold is then sure to be seen */
    size_t ahead;         /* bytes that are read ahead by tare_window_hold(.., limit), at most; 0: none */
    uint64_t held, most_held, kept;  /* bytes of chunks: held now, held at most, and kept though nobody holds them */
    struct tare_chunk *first, *last; /* those kept, most recently used first */
};

bool tare_shelf_open(struct tare_shelf *shelf, size_t chunk, size_t ahead); /* false: no memory */
/* How much is kept from now on; 0: the usual 128 MiB. */
void tare_shelf_keep(struct tare_shelf *shelf, uint64_t keep);
void tare_shelf_release(struct tare_shelf *shelf); /* after its windows */

/* A window on a file takes over *bytes, and closes it also after a failure. */
enum tare_code tare_window_open(struct tare_window **window, struct tare_shelf *shelf, struct tare_bytes *bytes,
                                struct tare_error *err);
void tare_window_free(struct tare_window *window); /* NULL is fine */
/* The file, to be read past the window. */
const struct tare_bytes *tare_window_bytes(const struct tare_window *window);
/* Where byte 0 of the file stands. */
unsigned char *tare_window_data(const struct tare_window *window);
/*
 * Read bytes [begin, end), unless they are there, and keep them until tare_window_let_go() of the same range. What lies
 * behind them, up to `limit`, will be wanted next: some of it is read in the same call where reading is slow. Any
 * thread. After a failure nothing is held.
 */
enum tare_code tare_window_hold(struct tare_window *window, uint64_t begin, uint64_t end, uint64_t limit,
                                struct tare_error *err);
void tare_window_let_go(struct tare_window *window, uint64_t begin, uint64_t end);

#endif
