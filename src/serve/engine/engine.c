/* SPDX-License-Identifier: MIT
 * engine.c - the thread that steps all texts together, and what it tells of them. */
#include "serve/engine/engine.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/engine/engine_state.h"

/* Ids of a prompt that one step reads, so that texts beside it go on. */
#define PROMPT_CHUNK 128
/* Ids of all prompts that one step reads. More at once would not be faster, and would hold up the texts beside them. */
#define PROMPTS_CHUNK 256

struct serve_event *serve_engine_event(struct serve_engine *e, struct serve_run *run, enum serve_event_kind kind,
                                       size_t more)
{
    struct serve_event *event = calloc(1, sizeof *event + more);
    if (!event)
        return NULL;
    event->run = run;
    event->kind = kind;
    event->id = -1;
    event->logprob = NAN;
    event->text = "";
    *e->events_end = event;
    e->events_end = &event->next;
    return event;
}

void serve_engine_end(struct serve_engine *e, struct serve_run *run, enum tare_finish finish, size_t stop,
                      const struct tare_error *err)
{
    struct serve_event *event = NULL;
    tare_generate_free(run->generate);
    run->generate = NULL;
    if (run->state && (finish == TARE_FINISH_FAILED || run->hidden))
        serve_cache_drop(&e->cache, run->state);
    else if (run->state)
        serve_cache_keep(&e->cache, run->state);
    run->state = NULL;
    while (!event) /* an owner that is not told would wait for ever */
        event = serve_engine_event(e, run, SERVE_ENDED, 0);
    run->ended = true;
    event->finish = finish;
    event->stop = stop;
    if (err) {
        event->code = err->code;
        snprintf(event->message, sizeof event->message, "%s", err->text);
    }
}

/* Copies a step into an event: the text, the likeliest ids, and what was learned of the prompt. */
static struct serve_event *copy_step(struct serve_engine *e, struct serve_run *run, const struct tare_generated *step)
{
    size_t tops = step->n_top, bytes = step->bytes + 1;
    for (size_t i = 0; i < step->n_prompt; i++)
        tops += step->prompt[i].n_top;
    const size_t prompt_bytes = step->n_prompt * sizeof *step->prompt, top_bytes = tops * sizeof *step->top;
    struct serve_event *event = serve_engine_event(e, run, SERVE_STEP, prompt_bytes + top_bytes + bytes);
    if (!event)
        return NULL;
    struct tare_prompt_logprob *prompt = (struct tare_prompt_logprob *)(event + 1);
    struct tare_logprob *top = (struct tare_logprob *)((char *)prompt + prompt_bytes);
    char *text = (char *)top + top_bytes;
    event->id = step->id;
    event->logprob = step->logprob;
    event->finish = step->finish;
    event->n_prompt = step->n_prompt;
    event->prompt = prompt;
    for (size_t i = 0; i < step->n_prompt; i++) {
        prompt[i] = step->prompt[i];
        prompt[i].top = top;
        if (prompt[i].n_top)
            memcpy(top, step->prompt[i].top, prompt[i].n_top * sizeof *top);
        top += prompt[i].n_top;
    }
    event->n_top = step->n_top;
    event->top = top;
    if (step->n_top)
        memcpy(top, step->top, step->n_top * sizeof *top);
    memcpy(text, step->text, step->bytes);
    event->text = text;
    event->bytes = step->bytes;
    return event;
}

/* A part of a prompt is read at whose end texts part: keeps its state, and goes on with the rest. */
static void take_branch(struct serve_engine *e, struct serve_run *run)
{
    struct tare_error err = {0};
    serve_cache_branch(&e->cache, run->state);
    tare_generate_free(run->generate);
    run->generate = NULL;
    run->branch = 0;
    if (serve_engine_generate(e, run, &err))
        serve_engine_end(e, run, TARE_FINISH_FAILED, 0, &err);
}

static void take_step(struct serve_engine *e, struct serve_run *run, const struct tare_generated *step)
{
    const bool says = step->id >= 0 || step->bytes || step->n_prompt;
    run->fed = (run->branch ? run->branch : run->n_ids) - step->waiting;
    if (run->branch && step->finish == TARE_FINISH_LENGTH) {
        take_branch(e, run);
        return;
    }
    if (!run->branch && step->waiting == 0 && !run->prompt_read) {
        run->prompt_read = true;
        serve_cache_has_read(&e->cache, run->state, run->ids, run->n_ids);
    }
    if (says && !copy_step(e, run, step)) {
        const struct tare_error err = {.code = TARE_E_MEMORY, .text = "out of memory"};
        serve_engine_end(e, run, TARE_FINISH_FAILED, 0, &err);
    } else if (step->finish) {
        serve_engine_end(e, run, step->finish, step->stop,
                         step->finish == TARE_FINISH_FAILED ? tare_generate_error(run->generate) : NULL);
    }
}

/* Reads the next part of a text whose hidden states are wanted, and adds them up. */
static void read_hidden(struct serve_engine *e, struct serve_run *run)
{
    struct tare_error err = {0};
    const size_t width = (size_t)tare_session_width(run->state->session), left = run->n_ids - run->fed;
    const size_t n = left < PROMPT_CHUNK ? left : PROMPT_CHUNK;
    float *rows = malloc(n * width * sizeof *rows);
    enum tare_code code = TARE_E_MEMORY;
    if (rows)
        code = tare_session_hidden(run->state->session, run->ids + run->fed, n, true, rows, &err);
    for (size_t i = 0; i < n && !code; i++)
        for (size_t k = 0; k < width; k++)
            run->hidden[k] += rows[i * width + k];
    free(rows);
    run->fed += n;
    if (code)
        serve_engine_end(e, run, TARE_FINISH_FAILED, 0, &err);
    else if (run->fed == run->n_ids)
        serve_engine_end(e, run, TARE_FINISH_END, 0, NULL);
}

/* Removes texts that have ended, in order. */
static void sweep(struct serve_engine *e)
{
    size_t n = 0;
    for (size_t i = 0; i < e->n_active; i++)
        if (!e->active[i]->ended)
            e->active[n++] = e->active[i];
    e->n_active = n;
}

/* Ends texts whose client left, also while they wait. */
static void drop_left(struct serve_engine *e)
{
    for (struct serve_run **at = &e->waiting; *at;) {
        struct serve_run *run = *at;
        if (!atomic_load(&run->leave)) {
            at = &run->next;
            continue;
        }
        *at = run->next;
        serve_engine_end(e, run, TARE_FINISH_CANCELLED, 0, NULL);
    }
    for (size_t i = 0; i < e->n_active; i++)
        if (!e->active[i]->ended && atomic_load(&e->active[i]->leave))
            serve_engine_end(e, e->active[i], TARE_FINISH_CANCELLED, 0, NULL);
    sweep(e);
}

/* The text whose prompt was not read for longest, so that short prompts do not wait for the end of long ones. */
static struct serve_run *next_reader(struct serve_engine *e)
{
    struct serve_run *best = NULL;
    for (size_t i = 0; i < e->n_active; i++) {
        struct serve_run *run = e->active[i];
        if (!run->prompt_read && !run->ended && run->read_at < e->steps && !atomic_load(&run->held) &&
            (!best || run->read_at < best->read_at))
            best = run;
    }
    return best;
}

static void take_part(struct serve_engine *e, struct serve_run *run, size_t *n)
{
    const struct tare_generated blank = TARE_GENERATED_INIT;
    e->told[*n] = blank;
    e->stepping[*n] = run;
    e->generates[(*n)++] = run->generate;
}

/* One step of all texts that are not held: those that are written, and as many prompts as one step reads. Returns how
 * many texts there were. */
static size_t step_all(struct serve_engine *e)
{
    struct tare_error err = {0};
    struct serve_run *reader;
    size_t n = 0, read = 0, embedded = 0;
    e->steps++;
    for (size_t i = 0; i < e->n_active; i++)
        if (e->active[i]->prompt_read && !atomic_load(&e->active[i]->held))
            take_part(e, e->active[i], &n);
    while (read < PROMPTS_CHUNK && (reader = next_reader(e)) != NULL) {
        const size_t left = reader->n_ids - reader->fed;
        read += left < PROMPT_CHUNK ? left : PROMPT_CHUNK;
        reader->read_at = e->steps;
        embedded += reader->hidden != NULL;
        if (reader->hidden)
            read_hidden(e, reader);
        else
            take_part(e, reader, &n);
    }
    const enum tare_code code = n ? tare_generate_each(e->generates, n, e->told, sizeof *e->told, &err) : TARE_OK;
    for (size_t i = 0; i < n; i++)
        if (code)
            serve_engine_end(e, e->stepping[i], TARE_FINISH_FAILED, 0, &err);
        else
            take_step(e, e->stepping[i], &e->told[i]);
    sweep(e);
    return n + embedded;
}

static size_t count(const struct serve_run *run)
{
    size_t n = 0;
    for (; run; run = run->next)
        n++;
    return n;
}

/* What serve_engine_look() gives from now on. Under the lock. */
static void note_figures(struct serve_engine *e)
{
    e->figures = (struct serve_engine_figures){.running = e->n_active,
                                               .waiting = count(e->waiting) + count(e->incoming),
                                               .slots = e->options.parallel,
                                               .state_bytes = e->cache.used,
                                               .state_limit = e->cache.limit,
                                               .kept = e->cache.n_kept,
                                               .lookups = e->cache.lookups,
                                               .hits = e->cache.hits,
                                               .evicted = e->cache.evicted};
}

/* Whoever is told of something finds it in the figures. */
static void tell(struct serve_engine *e)
{
    struct serve_event *first = e->events;
    struct serve_event **last = e->events_end;
    e->events = NULL;
    e->events_end = &e->events;
    if (!first)
        return;
    pthread_mutex_lock(&e->lock);
    note_figures(e);
    pthread_mutex_unlock(&e->lock);
    e->options.tell(e->options.user, first, last);
}

/* Takes what came, and sleeps while there is nothing to do. Returns false at the end. */
static bool take_incoming(struct serve_engine *e, bool idle, bool *trim)
{
    pthread_mutex_lock(&e->lock);
    note_figures(e);
    while (idle && !e->incoming && !e->quit && !e->touched)
        pthread_cond_wait(&e->wake, &e->lock);
    struct serve_run **end = &e->waiting;
    while (*end)
        end = &(*end)->next;
    *end = e->incoming;
    e->incoming = NULL;
    e->incoming_end = &e->incoming;
    *trim = e->trim;
    e->touched = e->trim = false;
    const bool goes_on = !e->quit;
    pthread_mutex_unlock(&e->lock);
    return goes_on;
}

static void *engine_main(void *user)
{
    struct serve_engine *e = user;
    bool idle = true, trim;
    while (take_incoming(e, idle, &trim)) {
        if (trim)
            serve_cache_trim(&e->cache);
        drop_left(e);
        serve_engine_admit(e);
        tell(e);
        idle = step_all(e) == 0;
        drop_left(e);
        tell(e);
    }
    return NULL;
}

enum tare_code serve_engine_open(struct serve_engine **engine, const struct serve_engine_options *options,
                                 struct tare_error *err)
{
    struct serve_engine *e = calloc(1, sizeof *e);
    struct tare_session_options session = TARE_SESSION_OPTIONS_INIT;
    enum tare_code code = TARE_E_MEMORY;
    *engine = e;
    if (!e)
        return code;
    e->options = *options;
    e->incoming_end = &e->incoming;
    e->events_end = &e->events;
    session.context = options->context;
    session.kv_bits = options->kv_bits;
    session.exact = options->exact;
    session.cancel = options->cancel;
    const size_t n = options->parallel;
    e->active = calloc(n, sizeof(struct serve_run *));
    e->stepping = calloc(n, sizeof(struct serve_run *));
    e->generates = calloc(n, sizeof(tare_generate *));
    e->told = calloc(n, sizeof *e->told);
    pthread_mutex_init(&e->lock, NULL);
    pthread_cond_init(&e->wake, NULL);
    if (e->active && e->stepping && e->generates && e->told)
        code = tare_session_open(&e->root, options->model, &session, err);
    if (!code)
        serve_cache_init(&e->cache, e->root, options->memory, options->ledger);
    if (!code && pthread_create(&e->thread, NULL, engine_main, e) == 0)
        return TARE_OK;
    tare_session_free(e->root);
    e->root = NULL;
    serve_engine_free(e);
    *engine = NULL;
    return code ? code : TARE_E_MEMORY;
}

void serve_engine_free(struct serve_engine *e)
{
    if (!e)
        return;
    if (e->root) {
        pthread_mutex_lock(&e->lock);
        e->quit = true;
        pthread_cond_signal(&e->wake);
        pthread_mutex_unlock(&e->lock);
        pthread_join(e->thread, NULL);
    }
    if (e->root)
        serve_cache_release(&e->cache);
    tare_session_free(e->root);
    pthread_mutex_destroy(&e->lock);
    pthread_cond_destroy(&e->wake);
    free(e->active);
    free(e->stepping);
    free(e->generates);
    free(e->told);
    free(e);
}

void serve_engine_add(struct serve_engine *e, struct serve_run *runs, size_t n)
{
    pthread_mutex_lock(&e->lock);
    for (size_t i = 0; i < n; i++) {
        runs[i].next = NULL;
        runs[i].options.prompt_chunk = PROMPT_CHUNK;
        if (runs[i].leader)
            runs[runs[i].leader - runs].followed = true;
        *e->incoming_end = &runs[i];
        e->incoming_end = &runs[i].next;
    }
    e->figures.waiting += n;
    pthread_cond_signal(&e->wake);
    pthread_mutex_unlock(&e->lock);
}

void serve_engine_wake(struct serve_engine *e)
{
    pthread_mutex_lock(&e->lock);
    e->touched = true;
    pthread_cond_signal(&e->wake);
    pthread_mutex_unlock(&e->lock);
}

void serve_engine_trim(struct serve_engine *e)
{
    pthread_mutex_lock(&e->lock);
    e->touched = e->trim = true;
    pthread_cond_signal(&e->wake);
    pthread_mutex_unlock(&e->lock);
}

struct serve_engine_figures serve_engine_look(struct serve_engine *e)
{
    pthread_mutex_lock(&e->lock);
    const struct serve_engine_figures figures = e->figures;
    pthread_mutex_unlock(&e->lock);
    return figures;
}

uint64_t serve_engine_base(const struct serve_engine *e)
{
    return e->cache.base;
}

int64_t serve_engine_context(const struct serve_engine *e)
{
    return tare_session_context(e->root);
}

int64_t serve_engine_vocabulary(const struct serve_engine *e)
{
    return tare_session_vocabulary(e->root);
}

int64_t serve_engine_width(const struct serve_engine *e)
{
    return tare_session_width(e->root);
}

bool serve_engine_fits(const struct serve_engine *e, int64_t ids)
{
    return serve_cache_bytes(e->root, ids) <= e->options.memory;
}
