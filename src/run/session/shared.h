/* SPDX-License-Identifier: MIT
 * shared.h - what the sessions of a model have together: the right to lay out its weights, and threads.
 *
 * One session at a time lays weights out. The others wait, so that however many open at the same time, the weights exist
 * once; when the first fails, the next finds nothing made and tries.
 */
#ifndef TARE_RUN_SESSION_SHARED_H
#define TARE_RUN_SESSION_SHARED_H

#include "plan/plan.h"

enum tare_laying {
    TARE_LAYING_SHARED, /* model->loaded and what it holds is the caller's until tare_laying_end() */
    /* It is another session's, for whom this thread must not wait: it lays weights out already, further down its stack.
     * A host's run() that does other work while it waits may lead there. */
    TARE_LAYING_ALONE
};

/* Waits until nobody lays out weights of the model, and begins to. TARE_E_CANCELLED when *cancel becomes other than 0,
 * and nothing has begun; cancel may be NULL. What has begun, in either way, is ended by the same thread. */
enum tare_code tare_laying_begin(struct tare_model *model, const volatile int *cancel, enum tare_laying *how,
                                 struct tare_error *err);
void tare_laying_end(struct tare_model *model, enum tare_laying how);

/* Threads that sessions of a model have together. They end with the last of these sessions. */
struct tare_common {
    struct tare_threads *threads;
    int n; /* as asked for */
    int users;
    struct tare_common *next;
};

/* The n threads of the model's sessions, started for the first who asks. */
enum tare_code tare_common_take(struct tare_common **common, struct tare_model *model, int n, struct tare_error *err);
void tare_common_give(struct tare_common *common, struct tare_model *model); /* NULL is fine */

#endif
