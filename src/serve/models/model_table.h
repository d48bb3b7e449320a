/* SPDX-License-Identifier: MIT
 * model_table.h - the models that requests may name: a table made when the server starts, so that no request names a file.
 * Those of the command line are loaded then; those of --models-dir when a request names them, and they go again when
 * another one needs the memory. */
#ifndef TARE_SERVE_MODEL_TABLE_H
#define TARE_SERVE_MODEL_TABLE_H

#include <pthread.h>
#include <time.h>

#include "serve/engine/engine.h"
#include "serve/failure.h"

struct serve;
struct serve_job;
struct serve_source;

enum serve_model_state {
    /* Not in memory. */
    SERVE_MODEL_AWAY,
    SERVE_MODEL_LOADING,
    SERVE_MODEL_READY,
    /* It is being freed. */
    SERVE_MODEL_LEAVING
};

struct serve_model {
    char id[128];
    const struct serve_source *source;
    time_t created;
    /* 0: it was never loaded so far. */
    int64_t context;

    /* What follows holds while it is loaded. */
    tare_model *model;
    tare_tokenizer *tokenizer;
    tare_template *chat;
    /* The template is ours, since the model has none; its text lacks the special tokens. */
    bool plain;
    const struct tool_family *family;
    /* Its template knows no tools, so that they are described in a message. */
    bool describes;
    int64_t vocabulary;
    struct serve_engine *engine;

    /* Under the table's lock. */
    enum serve_model_state state;
    /* Requests that use it. */
    size_t users;
    /* When the last one ended, or loading did. */
    double used_at;
    /* Requests that wait until it is loaded, in order. */
    struct serve_job *parked;
    size_t n_parked;
    /* Bytes that the ledger counts for it: its weights, and the states of one text. */
    uint64_t bytes;
    /* Why it could not be loaded, and when. */
    struct serve_failure failure;
    double failed_at;
};

struct serve_models {
    struct serve_model *items;
    size_t n;
    struct serve_ledger ledger;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t loader;
    bool loads;
    bool quit;
    /* Ends what takes long: planning, loading, texts. */
    volatile int cancel;
    size_t n_parked;
    /* So far. */
    uint64_t loaded;
    uint64_t unloaded;
    uint64_t failed;
};

/* Makes the table and loads the models that the command line names. */
enum tare_code serve_models_open(struct serve *serve, struct tare_error *err);
/* No loading any more: what waits for it is refused. */
void serve_models_stop(struct serve *serve);
void serve_models_close(struct serve *serve);

/* Finds a model by its name; NULL: the first one. NULL is returned where there is none of that name. Any thread. */
struct serve_model *serve_model_find(struct serve *serve, const char *id);

/* Makes the model that a request names stay in memory until serve_models_give(). Returns false where the request waits
 * for that: it comes to a worker again. Of a worker's thread. */
bool serve_models_take(struct serve *serve, struct serve_job *job);
void serve_models_give(struct serve_job *job);

/* What of a model may be said. Any thread. */
struct serve_model_look {
    enum serve_model_state state;
    int64_t context;
    struct serve_engine_figures figures;
};
struct serve_model_look serve_model_look(struct serve *serve, struct serve_model *model);

/* open_model.c: everything of a model but its place in the table. */
enum tare_code serve_model_open(struct serve *serve, struct serve_model *model, struct tare_error *err);
void serve_model_close(struct serve_model *model);

#endif
