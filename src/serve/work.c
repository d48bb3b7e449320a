/* SPDX-License-Identifier: MIT
 * work.c - the workers that read requests, so that neither a large body nor a slow template holds up the event loop; and
 * the way back to the loop. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "serve/fields.h"
#include "serve/server.h"

/* Bodies that one of the workers keeps itself free for. */
#define SMALL_BYTES ((size_t)64 << 10)

static void ring(struct serve *s)
{
    while (write(s->pipe[1], "", 1) < 0 && errno == EINTR)
        ;
}

/* Returns false where the request waits for its model to be loaded: it comes again. */
static bool prepare(struct serve *s, struct serve_job *job)
{
    if (!job->body)
        job->body = fields_read(job->text, job->size, &job->failure);
    if (!job->body)
        return true;
    if (!serve_models_take(s, job))
        return false;
    if (!job->failure.status)
        job->route->prepare(job);
    return true;
}

void serve_work_done(struct serve *s, struct serve_job *job)
{
    pthread_mutex_lock(&s->lock);
    job->next = s->prepared;
    s->prepared = job;
    ring(s);
    pthread_mutex_unlock(&s->lock);
}

/* Takes the next job of at most `most` bytes out of the queue; NULL: there is none. Under the lock. */
static struct serve_job *next_job(struct serve *s, size_t most)
{
    struct serve_job **at = &s->to_prepare;
    while (*at && (*at)->size > most)
        at = &(*at)->next;
    struct serve_job *job = *at;
    if (job)
        *at = job->next;
    if (job && s->to_prepare_end == &job->next)
        s->to_prepare_end = at;
    return job;
}

static void work(struct serve *s, size_t most)
{
    pthread_mutex_lock(&s->lock);
    while (!s->quit) {
        struct serve_job *job = next_job(s, most);
        if (!job) {
            pthread_cond_wait(&s->wake, &s->lock);
            continue;
        }
        pthread_mutex_unlock(&s->lock);
        if (prepare(s, job))
            serve_work_done(s, job);
        pthread_mutex_lock(&s->lock);
    }
    pthread_mutex_unlock(&s->lock);
}

static void *worker_main(void *user)
{
    work(user, SIZE_MAX);
    return NULL;
}

/* Texts of megabytes take long to read; whoever sends a few of them holds up nobody who asks for little. */
static void *small_worker_main(void *user)
{
    work(user, SMALL_BYTES);
    return NULL;
}

void serve_work_add(struct serve *s, struct serve_job *job)
{
    pthread_mutex_lock(&s->lock);
    job->next = NULL;
    *s->to_prepare_end = job;
    s->to_prepare_end = &job->next;
    pthread_cond_broadcast(&s->wake); /* not any worker takes any job */
    pthread_mutex_unlock(&s->lock);
}

void serve_work_tell(void *user, struct serve_event *first, struct serve_event **last)
{
    struct serve *s = user;
    pthread_mutex_lock(&s->lock);
    const bool quiet = !s->events;
    *s->events_end = first;
    s->events_end = last;
    pthread_mutex_unlock(&s->lock);
    if (quiet)
        ring(s);
}

/* Takes all that came from other threads. */
static void on_ring(evutil_socket_t fd, short what, void *user)
{
    struct serve *s = user;
    char bytes[256];
    (void)what;
    while (read(fd, bytes, sizeof bytes) > 0)
        ;
    pthread_mutex_lock(&s->lock);
    struct serve_event *event = s->events;
    struct serve_job *job = s->prepared;
    s->events = NULL;
    s->events_end = &s->events;
    s->prepared = NULL;
    pthread_mutex_unlock(&s->lock);
    while (job) {
        struct serve_job *next = job->next;
        serve_deliver_prepared(job);
        job = next;
    }
    while (event) {
        struct serve_event *next = event->next;
        serve_deliver_event(event);
        free(event);
        event = next;
    }
}

enum tare_code serve_work_open(struct serve *s, struct tare_error *err)
{
    sigset_t all, before;
    (void)err;
    s->events_end = &s->events;
    s->to_prepare_end = &s->to_prepare;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->wake, NULL);
    if (pipe(s->pipe) != 0)
        return TARE_E_IO;
    for (int i = 0; i < 2; i++) {
        fcntl(s->pipe[i], F_SETFL, O_NONBLOCK);
        fcntl(s->pipe[i], F_SETFD, FD_CLOEXEC);
    }
    s->bell = event_new(s->base, s->pipe[0], EV_READ | EV_PERSIST, on_ring, s);
    if (!s->bell || event_add(s->bell, NULL) != 0)
        return TARE_E_MEMORY;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    while (s->n_workers < SERVE_WORKERS &&
           !pthread_create(&s->workers[s->n_workers], NULL, s->n_workers ? worker_main : small_worker_main, s))
        s->n_workers++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return s->n_workers > 1 ? TARE_OK : TARE_E_MEMORY;
}

void serve_work_close(struct serve *s)
{
    pthread_mutex_lock(&s->lock);
    s->quit = true;
    pthread_cond_broadcast(&s->wake);
    pthread_mutex_unlock(&s->lock);
    for (size_t i = 0; i < s->n_workers; i++)
        pthread_join(s->workers[i], NULL);
    if (s->bell)
        event_free(s->bell);
    close(s->pipe[0]);
    close(s->pipe[1]);
}
