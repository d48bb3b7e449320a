/* SPDX-License-Identifier: MIT
 * engine_state.h - what the engine holds, for engine.c and admit.c alone. */
#ifndef TARE_SERVE_ENGINE_STATE_H
#define TARE_SERVE_ENGINE_STATE_H

#include <pthread.h>

#include "serve/engine/engine.h"
#include "serve/engine/state_cache.h"

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
    /* Kept states are to go, since another model needs the memory. */
    bool trim;
    struct serve_engine_figures figures;

    /* Of the engine's thread. */
    struct serve_run *waiting;
    struct serve_run **active;
    size_t n_active;
    tare_session *root;
    struct serve_cache cache;
    uint64_t steps;
    tare_generate **generates;
    struct tare_generated *told;
    struct serve_run **stepping;
    struct serve_event *events;
    struct serve_event **events_end;
};

/* admit.c: gives places to texts that wait. */
void serve_engine_admit(struct serve_engine *e);
/* Opens the generation of what a text reads next: its prompt to the place where a state is to be kept, or all of it. */
enum tare_code serve_engine_generate(struct serve_engine *e, struct serve_run *run, struct tare_error *err);

/* engine.c */
void serve_engine_end(struct serve_engine *e, struct serve_run *run, enum tare_finish finish, size_t stop,
                      const struct tare_error *err);
/* An event with `more` bytes after it; NULL when memory ran out. */
struct serve_event *serve_engine_event(struct serve_engine *e, struct serve_run *run, enum serve_event_kind kind,
                                       size_t more);

#endif
