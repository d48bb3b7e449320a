/* SPDX-License-Identifier: MIT
 *
 * tare/threads.h - threads that plans, sessions, conversions, diffs and verifications share; or the host's own ones.
 * A part of tare.h, which says what holds for all of it.
 *
 * Who works where: the options of a call may name threads; else those of the plan are taken, when its options name
 * some; else the call has threads of its own, and all sessions of one model have such threads together.
 *
 *     tare_threads *threads = NULL;
 *     struct tare_session_options options = TARE_SESSION_OPTIONS_INIT;
 *     if (!tare_threads_open(&threads, 0, &error)) {
 *         options.pool = threads;
 *         code = tare_session_open(&session, model, &options, &error);
 *     }
 *     tare_threads_free(threads);
 *
 * What may run at the same moment: everything. Any number of the host's threads may be inside calls that use the same
 * tare_threads, each with objects of its own (a session belongs to one thread at a time, as ever). Nobody queues: a
 * call begins at once in the thread that makes it, and workers that are free help it. A call never waits for work that
 * has not begun, only for pieces that a worker is already doing, so calls may also be made from within a callback of
 * another call, as from a progress function. (One exception: a progress function is called one call at a time, so where
 * the host's run() does other work of the host while it waits, a progress function must not use the pool whose work it
 * reports.) Results do not depend on threads to the bit, neither on their number nor on whose they are.
 */
#ifndef TARE_THREADS_H
#define TARE_THREADS_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Reference counted: sessions, models and running calls hold it. Any thread. */
typedef struct tare_threads tare_threads;

/*
 * Start threads.
 *
 *   threads  receives them, or NULL; owned, tare_threads_free()
 *   n        how many work on one call, the thread that makes it included: n - 1 are started. 0: one for each core that
 *            this process may use; 1: every call is done by its caller alone; at most 4096
 *
 * The threads block all signals. They sleep while there is no work, and spin for some microseconds before they do. When
 * the system refuses a thread there are fewer, see tare_threads_count(). TARE_E_ARGUMENT: n is out of range. Any thread.
 */
TARE_API enum tare_code tare_threads_open(tare_threads **threads, int n, struct tare_error *err);

/* What a host's pool is given to call; task_user is the pointer that came with it. */
typedef void (*tare_task_fn)(void *task_user, int index);

/* The host's own pool. */
struct tare_threads_options {
    /* sizeof(struct tare_threads_options). */
    size_t size;
    /* How many threads work on one call at most, that of the caller included, 1 to 4096; 0: one for each core. Work
     * memory is laid out for that many. */
    int n;
    /*
     * Calls task(task_user, index) for each index in [0, n), from whatever threads, and returns when all have returned.
     *
     *   user       the pointer of these options
     *   n          at most the n of these options
     *   task       may be called at the same moment from several threads, one after another, or by the caller of run()
     *              itself; which index is called where and in which order is of no account
     *
     * Each call of task takes pieces of the work until none is left. No piece waits for another one, so a host with
     * fewer threads than n, or with one, is as right as any, and what no call of task has taken when run() returns is
     * done by tare's caller. run() is called from every thread that calls tare, also at the same moment from several
     * ones, and from within task, where a callback of the host calls tare again. It is called some hundred times a
     * token, so it should take a few microseconds. It must neither throw nor jump out. No task may be called after the
     * tare_threads are gone.
     */
    void (*run)(void *user, int n, tare_task_fn task, void *task_user);
    void *user;
};
#define TARE_THREADS_OPTIONS_INIT TARE_SIZED(tare_threads_options)

/* Fill with the defaults, for languages without the macro; size is sizeof(struct tare_threads_options). Any thread. */
TARE_API void tare_threads_options_init(struct tare_threads_options *options, size_t size);

/*
 * Work in the host's own threads; tare then starts none.
 *
 *   threads  receives them, or NULL; owned, tare_threads_free()
 *   options  copied; options->user must be valid until the last reference to *threads is gone
 *
 * TARE_E_ARGUMENT: there is no `run`, or n is out of range. Any thread.
 */
TARE_API enum tare_code tare_threads_open_host(tare_threads **threads, const struct tare_threads_options *options,
                                               struct tare_error *err);

/* Give the caller's reference back. With the last one, of models and sessions too, the threads end. Any thread but one
 * that is inside of a task. */
TARE_API void tare_threads_free(tare_threads *threads);

/* How many threads work on one call, that of its caller included; 0 of NULL. Any thread. */
TARE_API int tare_threads_count(const tare_threads *threads);

#ifdef __cplusplus
}
#endif
#endif
