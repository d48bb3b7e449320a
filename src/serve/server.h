/* SPDX-License-Identifier: MIT
 * server.h - what the running server holds: the event loop, the workers that read requests, models and figures. */
#ifndef TARE_SERVE_SERVER_H
#define TARE_SERVE_SERVER_H

#include <event2/event.h>
#include <pthread.h>

#include "serve/job.h"
#include "serve/measures.h"
#include "serve/serve.h"

enum { SERVE_WORKERS = 3, SERVE_LISTENERS = 16 };

struct serve {
    const struct serve_options *options;
    struct event_base *base;
    struct http_server *http;
    struct serve_models models;
    struct measures measures;
    void *tls;
    size_t n_jobs;
    int signals;
    bool draining;
    struct evconnlistener *listeners[SERVE_LISTENERS];
    size_t n_listeners;

    /* From other threads to the loop: a byte in the pipe says that there is something. */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    int pipe[2];
    struct serve_event *events;
    struct serve_event **events_end;
    struct serve_job *prepared;
    /* From the loop to the workers. */
    struct serve_job *to_prepare;
    struct serve_job **to_prepare_end;
    pthread_t workers[SERVE_WORKERS];
    size_t n_workers;
    bool quit;
    struct event *bell;
    struct serve_job *jobs;
};

/* routes.c */
void serve_handler_fill(struct http_handler *handler, struct serve *serve);

/* work.c: workers and what comes back from them and from engines. */
enum tare_code serve_work_open(struct serve *serve, struct tare_error *err);
void serve_work_close(struct serve *serve);
void serve_work_add(struct serve *serve, struct serve_job *job);
/* The job was prepared, or refused. Any thread. */
void serve_work_done(struct serve *serve, struct serve_job *job);
/* A tell of an engine; user is the server. */
void serve_work_tell(void *user, struct serve_event *first, struct serve_event **last);

/* delivery.c: the loop's side of a job. */
void serve_deliver_prepared(struct serve_job *job);
void serve_deliver_event(struct serve_event *event);
void serve_job_gone(void *job);
void serve_job_held(void *job, bool held);
/* Several times a second: comments in streams that are quiet, and the end of requests that take too long. */
void serve_deliver_tick(struct serve *serve);

/* listen.c */
enum tare_code serve_listen(struct serve *serve, struct tare_error *err);
void serve_listen_stop(struct serve *serve);
/* The port of the first socket. */
int serve_port(const struct serve *serve);
void serve_notify(const char *state);

/* Tells whoever runs the server what happens to its models. */
void serve_say(const struct serve *serve, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
