/* SPDX-License-Identifier: MIT
 * threads.h - the threads behind pools: workers of our own or the host's, which help all callers that have work. */
#ifndef TARE_BASE_THREADS_H
#define TARE_BASE_THREADS_H

#include "tare.h"

/* One more owner: each takes one tare_threads_free(). NULL is fine. */
void tare_threads_hold(struct tare_threads *threads);
/*
 * Calls task(user, i, worker) once for each i in [0, n), and returns when all are done. worker is in [0,
 * tare_threads_count()), and two tasks of one call that run at the same time have different ones. Tasks are handed out
 * in order, one at a time.
 *
 * Any number of calls may run at the same time, and one may be made from within a task of another one. *place is a
 * caller's own number, 0 at first, by which its next call finds the memory of the last.
 */
void tare_threads_run(struct tare_threads *threads, int *place, size_t n,
                      void (*task)(void *user, size_t i, int worker), void *user);

#endif
