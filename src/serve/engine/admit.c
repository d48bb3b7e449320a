/* SPDX-License-Identifier: MIT
 * admit.c - which text gets the next place, whether there is memory for it, and which session it continues. */
#include <string.h>

#include "serve/engine/engine_state.h"

/* Ids that two prompts have in common, for which one waits until the other has read them. */
#define WORTH_WAITING 192

/* How many ids of a prompt a session holds already. One is left to feed, for its logits. */
static size_t shared(const tare_session *session, const struct serve_run *run)
{
    const int32_t *held = tare_session_ids(session);
    const size_t length = (size_t)tare_session_length(session), most = run->n_ids - 1;
    size_t n = 0;
    while (n < length && n < most && held[n] == run->ids[n])
        n++;
    return n;
}

/* The session that begins with most of the prompt, among those kept and those of running texts. */
static const tare_session *best_prefix(struct serve_engine *e, const struct serve_run *run, size_t *length)
{
    const tare_session *best = e->root;
    *length = 0;
    if (run->hidden || run->options.prompt_logprobs)
        return best;
    for (size_t i = 0; i < e->n_kept; i++) {
        const size_t n = shared(e->kept[i].session, run);
        if (n > *length) {
            *length = n;
            best = e->kept[i].session;
            e->kept[i].used = e->steps;
        }
    }
    for (size_t i = 0; i < e->n_active; i++) {
        const size_t n = shared(e->active[i]->session, run);
        if (n > *length) {
            *length = n;
            best = e->active[i]->session;
        }
    }
    return best;
}

static void drop_kept(struct serve_engine *e, size_t i)
{
    tare_session_free(e->kept[i].session);
    e->kept_bytes -= e->kept[i].bytes;
    e->kept[i] = e->kept[--e->n_kept];
}

static bool drop_oldest(struct serve_engine *e)
{
    size_t oldest = 0;
    if (e->n_kept == 0)
        return false;
    for (size_t i = 1; i < e->n_kept; i++)
        if (e->kept[i].used < e->kept[oldest].used)
            oldest = i;
    drop_kept(e, oldest);
    return true;
}

bool serve_engine_make_room(struct serve_engine *e, uint64_t bytes)
{
    while (e->used + e->kept_bytes + bytes > e->options.memory)
        if (!drop_oldest(e))
            return false;
    return true;
}

void serve_engine_keep(struct serve_engine *e, struct serve_run *run)
{
    tare_session *session = run->session;
    run->session = NULL;
    e->used -= run->bytes;
    run->bytes = 0;
    if (!session)
        return;
    const uint64_t bytes = tare_session_bytes(session, tare_session_length(session));
    if (run->hidden || tare_session_length(session) < 2 || !serve_engine_make_room(e, bytes)) {
        tare_session_free(session);
        return;
    }
    for (size_t i = 0; i < e->n_kept; i++) /* one that this one continues is not needed any more */
        if (tare_session_length(e->kept[i].session) <= tare_session_length(session) &&
            memcmp(tare_session_ids(e->kept[i].session), tare_session_ids(session),
                   (size_t)tare_session_length(e->kept[i].session) * sizeof(int32_t)) == 0)
            drop_kept(e, i--);
    if (e->n_kept == SERVE_KEPT)
        drop_oldest(e);
    e->kept[e->n_kept++] = (struct serve_kept){session, bytes, e->steps};
    e->kept_bytes += bytes;
}

/* Opens session and generation of a text. The memory for its states is there afterwards. */
static enum tare_code start(struct serve_engine *e, struct serve_run *run, struct tare_error *err)
{
    size_t length;
    const tare_session *from = best_prefix(e, run, &length);
    enum tare_code code = tare_session_fork(&run->session, from, err);
    if (!code && tare_session_length(run->session) > (int64_t)length)
        code = tare_session_rewind(run->session, (int64_t)length, err);
    if (!code)
        code = tare_session_reserve(run->session, run->most, err);
    if (code)
        return code;
    run->cached = run->fed =
        (size_t)tare_session_length(run->session) < length ? (size_t)tare_session_length(run->session) : length;
    run->options.sampling = &run->sampling;
    if (run->hidden)
        return TARE_OK;
    return tare_generate_open(&run->generate, run->session, e->options.tokenizer, run->ids + run->cached,
                              run->n_ids - run->cached, &run->options, err);
}

/* How many places a client has. */
static size_t places_of(const struct serve_engine *e, const char *client)
{
    size_t n = 0;
    for (size_t i = 0; i < e->n_active; i++)
        n += strcmp(e->active[i]->client, client) == 0;
    return n;
}

/* Is a running text reading what most of this prompt begins with? Then it is better to wait until that is read, and to go
 * on from there, than to read it at the same time. */
static bool being_read(const struct serve_engine *e, const struct serve_run *run)
{
    for (size_t i = 0; i < e->n_active; i++) {
        const struct serve_run *other = e->active[i];
        const size_t most = other->n_ids < run->n_ids ? other->n_ids : run->n_ids;
        size_t n = 0;
        if (other->prompt_read || other->hidden || run->hidden || run->options.prompt_logprobs ||
            atomic_load(&other->held))
            continue;
        while (n < most && other->ids[n] == run->ids[n])
            n++;
        if (n >= WORTH_WAITING && n > run->n_ids / 2 && other->fed < n)
            return true;
    }
    return false;
}

/* The text that comes next: of the clients with the fewest places, the one that waits longest. */
static struct serve_run **pick(struct serve_engine *e)
{
    struct serve_run **best = NULL;
    size_t fewest = SIZE_MAX;
    for (struct serve_run **at = &e->waiting; *at; at = &(*at)->next) {
        const struct serve_run *leader = (*at)->leader;
        if ((leader && !leader->prompt_read && !leader->ended) || being_read(e, *at))
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

void serve_engine_admit(struct serve_engine *e)
{
    struct serve_run **at;
    while (e->n_active < e->options.parallel && (at = pick(e)) != NULL) {
        struct serve_run *run = *at;
        struct tare_error err = {0};
        const uint64_t bytes = tare_session_bytes(e->root, run->most);
        if (!serve_engine_make_room(e, bytes) && e->n_active)
            return; /* a text that ends makes room */
        *at = run->next;
        run->bytes = bytes;
        e->used += bytes;
        const enum tare_code code = start(e, run, &err);
        if (code) {
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
