/* SPDX-License-Identifier: MIT
 * engine_state.h - what the engine holds, for engine.c and admit.c alone. */
#ifndef TARE_SERVE_ENGINE_STATE_H
#define TARE_SERVE_ENGINE_STATE_H

#include <pthread.h>

#include "serve/engine/engine.h"

/* Sessions of texts that ended, kept for prompts that begin alike. */
enum { SERVE_KEPT = 64 };
struct serve_kept {
    tare_session *session;
    uint64_t bytes;
    /* The step when it was used last. */
    uint64_t used;
};

struct serve_engine {
    struct serve_engine_options options;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;

    /* Under the lock. */
    struct serve_run *incoming;
    struct serve_run **incoming_end;
    bool quit;
    bool touched;
    struct serve_engine_figures figures;

    /* Of the engine's thread. */
    struct serve_run *waiting;
    struct serve_run **active;
    size_t n_active;
    tare_session *root;
    struct serve_kept kept[SERVE_KEPT];
    size_t n_kept;
    uint64_t steps;
    /* Of states that texts have, or may come to have, and of kept ones. */
    uint64_t used;
    uint64_t kept_bytes;
    tare_generate **generates;
    struct tare_generated *told;
    struct serve_run **stepping;
    struct serve_event *events;
    struct serve_event **events_end;
};

/* admit.c: gives places to texts that wait. */
void serve_engine_admit(struct serve_engine *e);
/* Takes the session of a text that ended: keeps it, or frees it. */
void serve_engine_keep(struct serve_engine *e, struct serve_run *run);
/* Frees kept sessions, the one unused for longest first, until `bytes` more fit. */
bool serve_engine_make_room(struct serve_engine *e, uint64_t bytes);

/* engine.c */
void serve_engine_end(struct serve_engine *e, struct serve_run *run, enum tare_finish finish, size_t stop,
                      const struct tare_error *err);
/* An event with `more` bytes after it; NULL when memory ran out. */
struct serve_event *serve_engine_event(struct serve_engine *e, struct serve_run *run, enum serve_event_kind kind,
                                       size_t more);

#endif
