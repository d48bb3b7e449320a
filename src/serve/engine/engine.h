/* SPDX-License-Identifier: MIT
 * engine.h - makes texts: one thread steps all requests of a model together. Texts wait in a queue until there is a
 * place and memory for them; what happens to them comes back as events. */
#ifndef TARE_SERVE_ENGINE_H
#define TARE_SERVE_ENGINE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "serve/engine/ledger.h"
#include "tare.h"

struct serve_engine;
struct serve_state;

/* A text to make. Filled by its owner, who may touch none of it but `leave` and `held` until its last event. */
struct serve_run {
    /* For the owner; the engine does not read it. */
    void *owner;
    /* The number of the text within its request. */
    size_t index;
    /* Texts of equal clients share places evenly while others wait. */
    const char *client;
    /* Borrowed. */
    const int32_t *ids;
    size_t n_ids;
    struct tare_generate_options options;
    struct tare_sampling sampling;
    /* The sum of hidden states is wanted in the place of a text. Owned by whoever made it; width floats. */
    float *hidden;
    /* The most ids, prompt and text together. */
    int64_t most;
    /* A run with the same prompt, which this one waits for, so that the prompt is read once; NULL: none. */
    const struct serve_run *leader;

    /* Any thread: the client left, or its output is full. */
    atomic_bool leave;
    atomic_bool held;

    /* Of the engine. */
    struct serve_run *next;
    struct serve_state *state;
    tare_generate *generate;
    size_t cached;
    size_t fed;
    /* Other runs have it for their leader. */
    bool followed;
    /* Ids of the prompt after which a state is kept, before the rest is read; 0: none. */
    size_t branch;
    /* The step that read a part of the prompt last. */
    uint64_t read_at;
    bool admitted;
    bool prompt_read;
    bool ended;
};

enum serve_event_kind {
    /* The text has a place, and `cached` ids of its prompt need not be read. */
    SERVE_STARTED,
    /* One step. */
    SERVE_STEP,
    /* The last event of a run: finish, and code and message of an error. */
    SERVE_ENDED
};

struct serve_event {
    struct serve_event *next;
    struct serve_run *run;
    enum serve_event_kind kind;
    size_t cached;
    enum tare_finish finish;
    size_t stop;
    enum tare_code code;
    /* The id that was chosen, or -1. */
    int32_t id;
    float logprob;
    /* The text that is new, with a NUL. */
    const char *text;
    size_t bytes;
    /* Of the chosen id. */
    size_t n_top;
    const struct tare_logprob *top;
    /* Ids of the prompt; their top is within the same event. */
    size_t n_prompt;
    const struct tare_prompt_logprob *prompt;
    char message[512];
};

struct serve_engine_options {
    tare_model *model;
    const tare_tokenizer *tokenizer;
    /* Of the session. */
    int64_t context;
    int kv_bits;
    bool exact;
    /* Texts that are made at the same moment. */
    size_t parallel;
    /* Bytes for the states of all texts, running and kept. */
    uint64_t memory;
    /* Of all models, from which the states take what goes beyond one text. Borrowed. */
    struct serve_ledger *ledger;
    /* Opening ends when it becomes other than 0, and so do all texts. Borrowed. */
    const volatile int *cancel;
    /* Called by the engine's thread with a list of events, which is the callee's; free() each. */
    void (*tell)(void *user, struct serve_event *first, struct serve_event **last);
    void *user;
};

struct serve_engine_figures {
    size_t running;
    size_t waiting;
    size_t slots;
    /* Of states, running and kept, and the most that they may take. */
    uint64_t state_bytes;
    uint64_t state_limit;
    size_t kept;
    /* Of prompts: how many were looked up so far, and how many of them continued a state. */
    uint64_t lookups;
    uint64_t hits;
    uint64_t evicted;
};

enum tare_code serve_engine_open(struct serve_engine **engine, const struct serve_engine_options *options,
                                 struct tare_error *err);
/* All runs must have ended. */
void serve_engine_free(struct serve_engine *engine);

/* Hand over n runs. */
void serve_engine_add(struct serve_engine *engine, struct serve_run *runs, size_t n);
/* Something changed in `leave` or `held`. */
void serve_engine_wake(struct serve_engine *engine);
struct serve_engine_figures serve_engine_look(struct serve_engine *engine);
/* Let kept states go, soon. Any thread. */
void serve_engine_trim(struct serve_engine *engine);

/* Bytes that an engine uses for states without asking the ledger, so that it can always make one text. Whoever opened it
 * takes them of the ledger before the first run, and gives them back after the engine was freed. */
uint64_t serve_engine_base(const struct serve_engine *engine);
int64_t serve_engine_context(const struct serve_engine *engine);
int64_t serve_engine_vocabulary(const struct serve_engine *engine);
int64_t serve_engine_width(const struct serve_engine *engine);
/* Could a text of that many ids ever be admitted? */
bool serve_engine_fits(const struct serve_engine *engine, int64_t ids);

#endif
