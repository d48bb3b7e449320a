/* SPDX-License-Identifier: MIT
 * model_table.c - the table of models: who uses which, and what requests wait for. */
#include "serve/models/model_table.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/fields.h"
#include "serve/models/loader.h"
#include "serve/server.h"

/* A model that could not be loaded is not tried again for that long, so that requests for it cost nothing. */
#define FAILED_SECONDS 5

struct serve_model *serve_model_find(struct serve *s, const char *id)
{
    for (size_t i = 0; i < s->models.n; i++)
        if (!id || !strcmp(s->models.items[i].id, id))
            return &s->models.items[i];
    return NULL;
}

struct serve_model_look serve_model_look(struct serve *s, struct serve_model *m)
{
    struct serve_model_look look;
    pthread_mutex_lock(&s->models.lock);
    look = (struct serve_model_look){.state = m->state, .context = m->context};
    if (m->state == SERVE_MODEL_READY)
        look.figures = serve_engine_look(m->engine);
    pthread_mutex_unlock(&s->models.lock);
    return look;
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

static void use(struct serve_model *m, struct serve_job *job)
{
    m->users++;
    job->taken = m;
}

static void park(struct serve_models *models, struct serve_model *m, struct serve_job *job)
{
    struct serve_job **end = &m->parked;
    while (*end)
        end = &(*end)->next;
    job->next = NULL;
    job->parked_at = serve_now();
    *end = job;
    m->n_parked++;
    models->n_parked++;
    pthread_cond_broadcast(&models->wake);
}

bool serve_models_take(struct serve *s, struct serve_job *job)
{
    const json_t *name = fields_get(job->body, "model");
    struct serve_model *m = name && !json_is_string(name) ? NULL : serve_model_find(s, json_string_value(name));
    bool parked = false;
    if (!m || job->taken) /* what is no name is refused where all fields are read */
        return true;
    pthread_mutex_lock(&s->models.lock);
    if (m->state == SERVE_MODEL_READY) {
        use(m, job);
    } else if (m->failure.status && serve_now() - m->failed_at < FAILED_SECONDS) {
        job->failure = m->failure;
    } else if (s->models.quit || s->models.n_parked >= s->options->most_waiting) {
        serve_fail(&job->failure, s->models.quit ? 503 : 429, NULL,
                   "%zu requests wait already; please try again later.", s->models.n_parked);
        job->failure.retry_after = 1;
    } else {
        park(&s->models, m, job);
        parked = true;
    }
    pthread_mutex_unlock(&s->models.lock);
    return !parked;
}

void serve_models_give(struct serve_job *job)
{
    struct serve_models *models = &job->serve->models;
    struct serve_model *m = job->taken;
    if (!m)
        return;
    pthread_mutex_lock(&models->lock);
    job->taken = NULL;
    m->used_at = serve_now();
    if (--m->users == 0 && models->n_parked)
        pthread_cond_broadcast(&models->wake); /* there may be room now */
    pthread_mutex_unlock(&models->lock);
}

void serve_models_settle(struct serve *s, struct serve_model *m, const struct serve_failure *failure)
{
    struct serve_models *models = &s->models;
    pthread_mutex_lock(&models->lock);
    struct serve_job *job = m->parked;
    m->parked = NULL;
    models->n_parked -= m->n_parked;
    m->n_parked = 0;
    m->state = failure ? SERVE_MODEL_AWAY : SERVE_MODEL_READY;
    m->used_at = m->failed_at = serve_now();
    m->failure = failure ? *failure : (struct serve_failure){0};
    for (struct serve_job *j = job; j && !failure; j = j->next)
        use(m, j);
    pthread_mutex_unlock(&models->lock);
    while (job) {
        struct serve_job *next = job->next;
        if (failure) {
            job->failure = *failure;
            serve_work_done(s, job);
        } else {
            serve_work_add(s, job);
        }
        job = next;
    }
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

static void fill(struct serve_model *m, const struct serve_source *source)
{
    m->source = source;
    m->model = source->model;
    m->created = time(NULL);
    snprintf(m->id, sizeof m->id, "%s", source->id);
}

enum tare_code serve_models_open(struct serve *s, struct tare_error *err)
{
    const struct serve_options *o = s->options;
    struct serve_models *models = &s->models;
    sigset_t all, before;
    bool later = false;
    models->items = calloc(o->n_sources, sizeof *models->items);
    pthread_mutex_init(&models->lock, NULL);
    pthread_cond_init(&models->wake, NULL);
    models->ledger.limit = o->models_memory ? o->models_memory : tare_memory_free();
    if (!models->items)
        return TARE_E_MEMORY;
    for (; models->n < o->n_sources; models->n++)
        fill(&models->items[models->n], &o->sources[models->n]);
    for (size_t i = 0; i < models->n; i++) {
        struct serve_failure failure = {0};
        later |= !o->sources[i].model;
        if (o->sources[i].model && serve_model_load(s, &models->items[i], &failure, err))
            return err->code;
        if (o->sources[i].model)
            serve_models_settle(s, &models->items[i], NULL);
    }
    if (!later)
        return TARE_OK;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    models->loads = !pthread_create(&models->loader, NULL, serve_loader_main, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return models->loads ? TARE_OK : TARE_E_MEMORY;
}

void serve_models_stop(struct serve *s)
{
    struct serve_models *models = &s->models;
    if (!models->items)
        return;
    __atomic_store_n(&models->cancel, 1, __ATOMIC_RELAXED);
    pthread_mutex_lock(&models->lock);
    models->quit = true;
    pthread_cond_broadcast(&models->wake);
    pthread_mutex_unlock(&models->lock);
    if (models->loads)
        pthread_join(models->loader, NULL);
    models->loads = false;
    for (size_t i = 0; i < models->n; i++) /* texts are told to end, and then nothing of them is left */
        if (models->items[i].engine)
            serve_engine_wake(models->items[i].engine);
}

void serve_models_close(struct serve *s)
{
    for (size_t i = 0; i < s->models.n; i++)
        serve_model_close(&s->models.items[i]);
    free(s->models.items);
}
