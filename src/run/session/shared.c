/* SPDX-License-Identifier: MIT
 * shared.c - a lock around laying out weights, and the list of threads that the sessions of a model share. */
#include "run/session/shared.h"

#include <stdlib.h>
#include <time.h>

#include "base/error.h"

#define LOOK 20000000 /* nanoseconds between two looks at `cancel` */

/* How often this thread has begun, of all models: two threads that lay out weights must not wait for one another. */
static _Thread_local int begun;

static bool is_cancelled(const volatile int *cancel)
{
    return cancel && __atomic_load_n(cancel, __ATOMIC_RELAXED);
}

/* Waits for a change, or some time: nobody tells us that `cancel` was set. */
static void wait_a_little(struct tare_model *model)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += LOOK;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&model->laid, &model->lock, &until);
}

enum tare_code tare_laying_begin(struct tare_model *model, const volatile int *cancel, enum tare_laying *how,
                                 struct tare_error *err)
{
    bool cancelled;
    pthread_mutex_lock(&model->lock);
    while (!(cancelled = is_cancelled(cancel)) && model->laying_out && !begun) {
        if (cancel)
            wait_a_little(model);
        else
            pthread_cond_wait(&model->laid, &model->lock);
    }
    *how = model->laying_out ? TARE_LAYING_ALONE : TARE_LAYING_SHARED;
    if (!cancelled)
        model->laying_out = true;
    pthread_mutex_unlock(&model->lock);
    if (cancelled)
        return tare_fail(err, TARE_E_CANCELLED, "", "cancelled");
    begun++;
    return TARE_OK;
}

void tare_laying_end(struct tare_model *model, enum tare_laying how)
{
    begun--;
    if (how == TARE_LAYING_ALONE)
        return;
    pthread_mutex_lock(&model->lock);
    model->laying_out = false;
    pthread_cond_broadcast(&model->laid); /* to all: one of them may be about to give up */
    pthread_mutex_unlock(&model->lock);
}

enum tare_code tare_common_take(struct tare_common **common, struct tare_model *model, int n, struct tare_error *err)
{
    enum tare_code code = TARE_OK;
    pthread_mutex_lock(&model->lock);
    struct tare_common *c = model->common;
    while (c && c->n != n)
        c = c->next;
    if (!c && !(c = calloc(1, sizeof *c)))
        code = tare_fail_memory(err);
    if (c && !c->users) {
        code = tare_threads_open(&c->threads, n, err);
        if (code) {
            free(c);
            c = NULL;
        } else {
            c->n = n;
            c->next = model->common;
            model->common = c;
        }
    }
    if (c)
        c->users++;
    pthread_mutex_unlock(&model->lock);
    *common = c;
    return code;
}

void tare_common_give(struct tare_common *common, struct tare_model *model)
{
    if (!common)
        return;
    pthread_mutex_lock(&model->lock);
    const bool last = --common->users == 0;
    for (struct tare_common **at = &model->common; last && *at; at = &(*at)->next)
        if (*at == common) {
            *at = common->next;
            break;
        }
    pthread_mutex_unlock(&model->lock);
    if (!last)
        return;
    tare_threads_free(common->threads);
    free(common);
}
