/* SPDX-License-Identifier: MIT
 * loader.c - loads models, and makes room for them: beside the event loop, and beside the steps of other models. */
#include "serve/models/loader.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "serve/server.h"

/* A request waits that long for models in use to end their texts. */
#define WAIT_SECONDS 30
#define GIB (1024.0 * 1024 * 1024)

/* ---- room -------------------------------------------------------------------------------------------------------- */

/* May a model go when nobody uses it? Those of the command line stay. */
static bool may_go(const struct serve_model *m)
{
    return !m->source->model && m->state == SERVE_MODEL_READY;
}

/* The model that nobody has used for longest. */
static struct serve_model *longest_idle(struct serve_models *models)
{
    struct serve_model *found = NULL;
    for (size_t i = 0; i < models->n; i++) {
        struct serve_model *m = &models->items[i];
        if (may_go(m) && m->users == 0 && (!found || m->used_at < found->used_at))
            found = m;
    }
    return found;
}

static bool let_one_go(struct serve *s)
{
    struct serve_models *models = &s->models;
    pthread_mutex_lock(&models->lock);
    struct serve_model *m = longest_idle(models);
    if (m)
        m->state = SERVE_MODEL_LEAVING;
    pthread_mutex_unlock(&models->lock);
    if (!m)
        return false;
    serve_model_close(m);
    serve_ledger_give(&models->ledger, m->bytes);
    pthread_mutex_lock(&models->lock);
    m->bytes = 0;
    m->state = SERVE_MODEL_AWAY;
    models->unloaded++;
    pthread_mutex_unlock(&models->lock);
    serve_say(s, "%s is unloaded", m->id);
    return true;
}

/* Waits a little for texts of other models to end. Returns false where none of them may ever go, or at the end. */
static bool wait_for_one(struct serve *s)
{
    struct serve_models *models = &s->models;
    struct timespec until;
    bool hope = false;
    pthread_mutex_lock(&models->lock);
    for (size_t i = 0; i < models->n; i++) {
        hope |= may_go(&models->items[i]);
        if (models->items[i].state == SERVE_MODEL_READY)
            serve_engine_trim(models->items[i].engine); /* prefixes that are kept are worth less than a model */
    }
    if (hope && !models->quit) {
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 100000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&models->wake, &models->lock, &until);
    }
    hope = hope && !models->quit;
    pthread_mutex_unlock(&models->lock);
    return hope;
}

/* Makes room by one step. */
static bool make_room(struct serve *s, double since)
{
    return let_one_go(s) || (serve_now() - since < WAIT_SECONDS && wait_for_one(s));
}

/* Takes bytes of the memory for models. */
static enum tare_code take(struct serve *s, struct serve_model *m, uint64_t bytes, const char *what, double since,
                           struct tare_error *err)
{
    struct serve_ledger *ledger = &s->models.ledger;
    while (!serve_ledger_take(ledger, bytes))
        if (bytes > ledger->limit || !make_room(s, since)) {
            *err = (struct tare_error){.code = TARE_E_MEMORY};
            snprintf(err->where, sizeof err->where, "%s", m->id);
            snprintf(err->text, sizeof err->text,
                     "takes %.3f GiB for %s; of the %.3f GiB for all models %.3f GiB are left, and none that is loaded "
                     "can go",
                     (double)bytes / GIB, what, (double)ledger->limit / GIB, (double)serve_ledger_left(ledger) / GIB);
            return TARE_E_MEMORY;
        }
    m->bytes += bytes;
    return TARE_OK;
}

/* ---- loading ----------------------------------------------------------------------------------------------------- */

static int on_progress(void *user, const char *stage, uint64_t done, uint64_t total)
{
    const struct serve *s = user;
    (void)stage;
    (void)done;
    (void)total;
    return __atomic_load_n(&s->models.cancel, __ATOMIC_RELAXED);
}

static enum tare_code plan(struct serve *s, struct serve_model *m, struct tare_error *err)
{
    struct tare_options options = *m->source->options;
    options.progress = on_progress;
    options.user = s;
    return m->model ? TARE_OK : tare_plan(&m->model, m->source->path, &options, err);
}

static enum tare_code load(struct serve *s, struct serve_model *m, struct tare_error *err)
{
    const double since = serve_now();
    uint64_t weights;
    enum tare_code code = plan(s, m, err);
    if (!code)
        code = tare_model_weights(m->model, &weights, err);
    if (!code)
        code = take(s, m, weights, "its weights", since, err);
    if (code)
        return code;
    /* The ledger counts what this server uses; the system knows of others, too. */
    while ((code = serve_model_open(s, m, err)) == TARE_E_MEMORY && make_room(s, since))
        *err = (struct tare_error){0};
    return code ? code : take(s, m, serve_engine_base(m->engine), "the states of one text", since, err);
}

/* Copies a text with a name in place of a path. */
static void hide(char *out, size_t room, const char *text, const char *path, const char *name)
{
    size_t n = 0;
    while (*text && n + 1 < room) {
        if (*path && !strncmp(text, path, strlen(path))) {
            n += (size_t)snprintf(out + n, room - n, "%s", name);
            n = n < room ? n : room - 1;
            text += strlen(path);
        } else {
            out[n++] = *text++;
        }
    }
    out[n] = '\0';
}

static void explain(const struct serve_model *m, const struct tare_error *err, struct serve_failure *failure)
{
    char where[sizeof err->where], text[sizeof err->text];
    hide(where, sizeof where, err->where, m->source->path, m->id);
    hide(text, sizeof text, err->text, m->source->path, m->id);
    const bool memory = err->code == TARE_E_MEMORY, ends = err->code == TARE_E_CANCELLED;
    serve_fail(failure, memory || ends ? 503 : 500, "model", "The model %s cannot be loaded: %.120s%s%.300s", m->id,
               where, *where ? ": " : "", text);
    failure->retry_after = memory || ends ? 5 : 0;
}

enum tare_code serve_model_load(struct serve *s, struct serve_model *m, struct serve_failure *failure,
                                struct tare_error *err)
{
    const enum tare_code code = load(s, m, err);
    if (code) {
        err->code = code;
        explain(m, err, failure);
        serve_model_close(m);
        serve_ledger_give(&s->models.ledger, m->bytes);
        m->bytes = 0;
        pthread_mutex_lock(&s->models.lock);
        s->models.failed++;
        pthread_mutex_unlock(&s->models.lock);
        return code;
    }
    pthread_mutex_lock(&s->models.lock);
    m->context = serve_engine_context(m->engine);
    s->models.loaded++;
    pthread_mutex_unlock(&s->models.lock);
    return TARE_OK;
}

/* ---- the thread -------------------------------------------------------------------------------------------------- */

/* The model for which a request waits longest. */
static struct serve_model *next_wanted(struct serve_models *models)
{
    struct serve_model *found = NULL;
    for (size_t i = 0; i < models->n; i++) {
        struct serve_model *m = &models->items[i];
        if (m->parked && (!found || m->parked->parked_at < found->parked->parked_at))
            found = m;
    }
    return found;
}

void *serve_loader_main(void *user)
{
    struct serve *s = user;
    struct serve_models *models = &s->models;
    for (;;) {
        struct serve_failure failure = {0};
        struct tare_error err = {0};
        pthread_mutex_lock(&models->lock);
        struct serve_model *m;
        while (!(m = next_wanted(models)) && !models->quit)
            pthread_cond_wait(&models->wake, &models->lock);
        const bool quit = models->quit;
        if (m)
            m->state = SERVE_MODEL_LOADING;
        pthread_mutex_unlock(&models->lock);
        if (!m)
            return NULL;
        if (quit) {
            serve_fail(&failure, 503, NULL, "The server is going down.");
            serve_models_settle(s, m, &failure);
        } else {
            const double since = serve_now();
            const enum tare_code code = serve_model_load(s, m, &failure, &err);
            if (code)
                serve_say(s, "%s cannot be loaded: %s: %s", m->id, err.where, err.text);
            else
                serve_say(s, "%s is loaded: %.3f GiB in %.2f s", m->id, (double)m->bytes / GIB, serve_now() - since);
            serve_models_settle(s, m, code ? &failure : NULL);
        }
    }
}
