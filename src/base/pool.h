/* SPDX-License-Identifier: MIT
 * pool.h - one user's way to threads, of its own or shared with others. */
#ifndef TARE_BASE_POOL_H
#define TARE_BASE_POOL_H

#include "base/error.h"
#include "base/threads.h"

struct tare_pool;

/* With threads of its own. n: 0 means one for each core that this process may use; 1 runs every task in the caller. */
enum tare_code tare_pool_open(struct tare_pool **pool, int n, struct tare_error *err);
/* With the given threads, to which it holds a reference; where they are NULL, with n of its own. */
enum tare_code tare_pool_open_on(struct tare_pool **pool, struct tare_threads *threads, int n, struct tare_error *err);
void tare_pool_free(struct tare_pool *pool);
int tare_pool_threads(const struct tare_pool *pool);
/*
 * Call task(user, i, worker) once for each i in [0, n) from all threads, the caller's included, and return when all are
 * done. worker is in [0, threads), and no two tasks have the same one at the same time. Tasks are handed out in order,
 * one at a time; a pool runs one call at a time, while pools that share threads may run theirs at the same time.
 * No task may wait for another one: there need not be more than one thread at work.
 * Between calls that follow one another closely the threads spin for a few microseconds before they sleep: decode makes
 * hundreds of calls a token.
 */
void tare_pool_run(struct tare_pool *pool, size_t n, void (*task)(void *user, size_t i, int worker), void *user);

/* Memory that the callers of a pool share, aligned to 64 bytes. It keeps its content from one call to the next, unless
 * it grows: then it is new. It never shrinks. */
enum tare_code tare_pool_reserve(struct tare_pool *pool, size_t bytes, struct tare_error *err);
unsigned char *tare_pool_scratch(const struct tare_pool *pool); /* NULL before the first tare_pool_reserve() */
size_t tare_pool_scratch_size(const struct tare_pool *pool);

#endif
