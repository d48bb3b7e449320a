/* SPDX-License-Identifier: MIT
 * admit.c - which text gets the next place, whether there is memory for it, and which state it continues. */
#include <string.h>

#include "serve/engine/engine_state.h"

/* Texts that give hidden states or the logprobs of their prompt read all of it. */
static bool shares(const struct serve_run *run)
{
    return !run->hidden && !run->options.prompt_logprobs;
}

/* A text whose prompt others have too ends a part of it where they can continue, if they cannot do so anywhere. */
static struct serve_beginning beginning_of(struct serve_engine *e, const struct serve_run *run)
{
    struct serve_beginning from = {0};
    if (!shares(run))
        return from;
    from = serve_cache_find(&e->cache, run->ids, run->n_ids);
    if (e->cache.sums && run->followed && run->n_ids - 1 > from.length)
        from.branch = run->n_ids - 1;
    return from;
}

enum tare_code serve_engine_generate(struct serve_engine *e, struct serve_run *run, struct tare_error *err)
{
    struct tare_generate_options part = TARE_GENERATE_OPTIONS_INIT;
    const struct tare_generate_options *options = &run->options;
    size_t end = run->n_ids;
    if (run->branch) {
        part.max_tokens = -1; /* the prompt is read, and no more */
        part.prompt_chunk = run->options.prompt_chunk;
        options = &part;
        end = run->branch;
    }
    return tare_generate_open(&run->generate, run->state->session, e->options.tokenizer, run->ids + run->fed,
                              end - run->fed, options, err);
}

/* Opens state and generation of a text. The memory for its state is there afterwards. */
static enum tare_code start(struct serve_engine *e, struct serve_run *run, const struct serve_beginning *from,
                            struct tare_error *err)
{
    const enum tare_code code = serve_cache_open(&e->cache, &run->state, from, run->most, err);
    if (code)
        return code;
    run->cached = run->fed = from->length;
    run->branch = from->branch;
    run->options.sampling = &run->sampling;
    if (shares(run))
        serve_cache_reads(&e->cache, run->state, run->ids, run->n_ids, &run->fed);
    return run->hidden ? TARE_OK : serve_engine_generate(e, run, err);
}

/* How many places a client has. */
static size_t places_of(const struct serve_engine *e, const char *client)
{
    size_t n = 0;
    for (size_t i = 0; i < e->n_active; i++)
        n += strcmp(e->active[i]->client, client) == 0;
    return n;
}

static bool waits_for_another(const struct serve_engine *e, const struct serve_run *run)
{
    const struct serve_run *leader = run->leader;
    return (leader && !leader->prompt_read && !leader->ended) ||
           (shares(run) && serve_cache_being_read(&e->cache, run->ids, run->n_ids));
}

/* The text that comes next: of the clients with the fewest places, the one that waits longest. */
static struct serve_run **pick(struct serve_engine *e)
{
    struct serve_run **best = NULL;
    size_t fewest = SIZE_MAX;
    for (struct serve_run **at = &e->waiting; *at; at = &(*at)->next) {
        if (waits_for_another(e, *at))
            continue;
        const size_t places = places_of(e, (*at)->client);
        if (places < fewest) {
            fewest = places;
            best = at;
        }
        if (fewest == 0)
            break;
    }
    return best;
}

/* Takes the memory for a text. What it could continue is let go last, and only when no text would make room by ending. */
static bool take_room(struct serve_engine *e, const struct serve_run *run, struct serve_beginning *from)
{
    if (serve_cache_room(&e->cache, from, run->most))
        return true;
    if (e->n_active)
        return false;
    serve_cache_forget(&e->cache, from);
    return serve_cache_room(&e->cache, from, run->most);
}

void serve_engine_admit(struct serve_engine *e)
{
    struct serve_run **at;
    while (e->n_active < e->options.parallel && (at = pick(e)) != NULL) {
        struct serve_run *run = *at;
        struct tare_error err = {.code = TARE_E_MEMORY, .text = "out of memory"};
        struct serve_beginning from = beginning_of(e, run);
        const bool fits = take_room(e, run, &from);
        if (!fits && e->n_active)
            return; /* a text that ends makes room */
        *at = run->next;
        if (!fits || start(e, run, &from, &err)) {
            serve_engine_end(e, run, TARE_FINISH_FAILED, 0, &err);
            continue;
        }
        run->admitted = true;
        e->active[e->n_active++] = run;
        struct serve_event *event = serve_engine_event(e, run, SERVE_STARTED, 0);
        if (event)
            event->cached = run->cached;
    }
}
