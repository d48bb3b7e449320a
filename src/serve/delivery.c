/* SPDX-License-Identifier: MIT
 * delivery.c - the loop's side of a request: what the engine tells becomes the answer. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "serve/server.h"

/* A stream that has nothing to say for so long gets a comment, which keeps proxies awake. */
#define QUIET_SECONDS 15

double serve_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void serve_job_free(struct serve_job *job)
{
    for (size_t i = 0; i < job->n_runs && job->choices; i++) {
        struct serve_choice *c = &job->choices[i];
        struct evbuffer *buffers[] = {c->text, c->reasoning};
        for (size_t k = 0; k < 2; k++)
            if (buffers[k])
                evbuffer_free(buffers[k]);
        for (size_t k = 0; k < 5; k++) {
            if (c->lines[k])
                evbuffer_free(c->lines[k]);
            if (c->pending[k])
                evbuffer_free(c->pending[k]);
        }
        tare_stream_free(c->pieces);
        tool_parser_release(&c->parser);
        tool_bytes_release(&c->held);
    }
    serve_models_give(job);
    job->serve->n_jobs--;
    *job->link = job->after;
    if (job->after)
        job->after->link = job->link;
    serve_asked_release(&job->asked);
    free(job->runs);
    free(job->choices);
    free(job->hidden);
    json_decref(job->body);
    json_decref(job->given);
    free(job->text);
    evbuffer_free(job->ready);
    free(job);
}

/* ---- the ends of an answer --------------------------------------------------------------------------------------- */

static void count(struct serve_job *job)
{
    measures_see(&job->serve->measures.request, serve_now() - job->arrived);
}

static void refuse(struct serve_job *job)
{
    struct http_connection *connection = job->connection;
    job->connection = NULL;
    if (connection) {
        count(job);
        http_fail(connection, &job->failure);
    }
}

static void answer(struct serve_job *job)
{
    struct http_connection *connection = job->connection;
    job->connection = NULL;
    if (connection) {
        count(job);
        http_answer(connection, 200, "application/json", job->ready);
    }
}

void serve_job_gone(void *user)
{
    struct serve_job *job = user;
    job->connection = NULL;
    job->serve->measures.cancelled++;
    if (!job->running) /* a worker has it */
        return;
    for (size_t i = 0; i < job->n_runs; i++)
        atomic_store(&job->runs[i].leave, true);
    serve_engine_wake(job->model->engine);
}

void serve_job_held(void *user, bool held)
{
    struct serve_job *job = user;
    if (!job)
        return;
    for (size_t i = 0; i < job->n_runs; i++)
        atomic_store(&job->runs[i].held, held);
    serve_engine_wake(job->model->engine);
}

void serve_deliver_prepared(struct serve_job *job)
{
    struct serve *s = job->serve;
    if (job->connection && !job->failure.status && job->n_runs) {
        struct serve_engine *engine = job->model->engine;
        const struct serve_engine_figures figures = serve_engine_look(engine);
        if (figures.waiting + job->n_runs <= s->options->most_waiting || figures.waiting == 0) {
            s->measures.prompt_tokens += (uint64_t)serve_job_prompt_tokens(job);
            job->running = true;
            serve_engine_add(engine, job->runs, job->n_runs);
            return;
        }
        serve_fail(&job->failure, 429, NULL, "%zu texts wait already; please try again later.", figures.waiting);
        job->failure.retry_after = 1;
    }
    if (job->failure.status)
        refuse(job);
    else
        answer(job);
    serve_job_free(job);
}

/* ---- events ------------------------------------------------------------------------------------------------------ */

struct telling {
    struct serve_job *job;
    size_t choice;
    struct evbuffer *out;
};

static void give(const struct telling *t, const struct tool_piece *piece)
{
    struct serve_choice *c = &t->job->choices[t->choice];
    if (piece->kind == TOOL_TEXT || piece->kind == TOOL_THOUGHT) {
        if (!piece->size)
            return;
        serve_commit_logprobs(c);
        evbuffer_add(piece->kind == TOOL_TEXT ? c->text : c->reasoning, piece->text, piece->size);
    }
    if (t->job->streaming && t->job->route->form->piece)
        t->job->route->form->piece(t->job, t->choice, piece, t->out);
}

/* Gives out the first n bytes of what is held of a content. */
static void give_held(const struct telling *t, size_t n)
{
    struct tool_bytes *held = &t->job->choices[t->choice].held;
    const struct tool_piece piece = {.kind = TOOL_TEXT, .text = held->data, .size = n};
    if (!n)
        return;
    give(t, &piece);
    memmove(held->data, held->data + n, held->size - n);
    held->size -= n;
}

/* A text of `stop` that ends after `size` bytes; otherwise *begun is how many bytes at the end one may begin with. */
static bool stops_at(const struct serve_asked *a, const char *text, size_t size, size_t *found, size_t *begun)
{
    size_t longest = 0;
    *begun = 0;
    for (size_t i = 0; i < a->n_stops; i++) {
        const size_t n = a->stop_sizes[i];
        if (n <= size && n > longest && !memcmp(text + size - n, a->stops[i], n)) {
            longest = n;
            *found = i;
        }
        for (size_t k = n - 1 < size ? n - 1 : size; k > *begun; k--)
            if (!memcmp(text + size - k, a->stops[i], k))
                *begun = k;
    }
    return longest > 0;
}

/* The content of a chat: it ends before the first text of `stop`, and the engine is told that no more is wanted. */
static void give_content(const struct telling *t, const struct tool_piece *piece)
{
    struct serve_job *job = t->job;
    struct serve_choice *c = &job->choices[t->choice];
    size_t at = c->held.size, found = 0, begun = 0;
    tool_bytes_add(&c->held, piece->text, piece->size);
    while (at++ < c->held.size) {
        if (!stops_at(&job->asked, c->held.data, at, &found, &begun))
            continue;
        give_held(t, at - job->asked.stop_sizes[found]);
        c->held.size = 0;
        c->stopped = true;
        c->stop = found;
        atomic_store(&job->runs[t->choice].leave, true);
        serve_engine_wake(job->model->engine);
        return;
    }
    give_held(t, c->held.size - begun);
}

static void tell(void *user, const struct tool_piece *piece)
{
    const struct telling *t = user;
    struct serve_choice *c = &t->job->choices[t->choice];
    if (c->stopped)
        return;
    if (piece->kind == TOOL_TEXT && t->job->asked.tools.family && t->job->asked.n_stops) {
        give_content(t, piece);
        return;
    }
    give_held(t, c->held.size); /* no stop goes on behind a call */
    give(t, piece);
}

static void started(struct serve_job *job, const struct serve_event *e, struct evbuffer *out)
{
    const struct serve_form *form = job->route->form;
    if (e->run->index % (size_t)job->asked.best_of == 0) {
        job->cached += e->cached;
        job->serve->measures.cached_tokens += e->cached;
    }
    if (!job->asked.stream || !job->connection)
        return;
    if (!job->streaming) {
        job->streaming = true;
        http_stream_begin(job->connection);
        if (form->begin)
            form->begin(job, out);
    }
    if (form->choice_begin)
        form->choice_begin(job, e->run->index, out);
}

/* A special token is no part of the text, but may be a mark of thoughts or calls. */
static void put_mark(struct serve_job *job, struct telling *t, const struct serve_event *e)
{
    const struct toolset *tools = &job->asked.tools;
    const char *text;
    size_t size;
    bool special = false;
    if (!tools->family || e->id < 0 || e->finish == TARE_FINISH_END ||
        tare_tokenizer_token(job->model->tokenizer, e->id, &text, &size, &special, NULL) || !special)
        return;
    if (size && toolset_has_mark(tools, text))
        tool_parser_put(&job->choices[e->run->index].parser, text, size, tell, t);
}

static void stepped(struct serve_job *job, const struct serve_event *e, struct evbuffer *out)
{
    struct serve_choice *c = &job->choices[e->run->index];
    struct telling t = {job, e->run->index, out};
    const double now = serve_now();
    if (c->stopped) /* the engine has not seen yet that no more is wanted */
        return;
    if (e->id >= 0) {
        struct measures *m = &job->serve->measures;
        measures_see(job->last > 0 ? &m->inter_token : &m->first_token,
                     now - (job->last > 0 ? job->last : job->arrived));
        job->last = now;
        m->generated_tokens++;
        c->tokens++;
        c->sum_logprob += isfinite(e->logprob) ? (double)e->logprob : 0;
    }
    if (!job->connection)
        return;
    if (c->pending[0])
        serve_take_logprobs(job, c, e);
    const bool thought = tool_parser_thinks(&c->parser);
    const size_t thoughts = evbuffer_get_length(c->reasoning);
    tool_parser_put(&c->parser, e->text, e->bytes, tell, &t);
    put_mark(job, &t, e);
    c->reasoning_tokens += e->id >= 0 && (thought || evbuffer_get_length(c->reasoning) > thoughts);
}

static void fail_run(struct serve_job *job, const struct serve_event *e)
{
    serve_fail(&job->failure, e->code == TARE_E_MEMORY ? 503 : 500, NULL, "The text could not be made: %s",
               e->message[0] ? e->message : "an unknown error");
    for (size_t i = 0; i < job->n_runs; i++)
        atomic_store(&job->runs[i].leave, true);
}

static void ended(struct serve_job *job, const struct serve_event *e, struct evbuffer *out)
{
    struct serve_choice *c = &job->choices[e->run->index];
    struct telling t = {job, e->run->index, out};
    job->n_ended++;
    c->finish = c->stopped ? TARE_FINISH_STOP : e->finish;
    c->stop = c->stopped ? c->stop : e->stop;
    if (e->finish == TARE_FINISH_FAILED && !c->stopped)
        fail_run(job, e);
    if (!job->connection || job->failure.status)
        return;
    tool_parser_end(&c->parser, tell, &t);
    if (!c->stopped)
        give_held(&t, c->held.size);
    if (c->stopped)
        c->finish = TARE_FINISH_STOP;
    if (c->finish != TARE_FINISH_STOP)
        serve_commit_logprobs(c);
    if (job->streaming && job->route->form->choice_end)
        job->route->form->choice_end(job, e->run->index, out);
}

/* All texts have ended: the end of the answer. */
static void finish(struct serve_job *job, struct evbuffer *out)
{
    struct http_connection *connection = job->connection;
    if (connection && job->failure.status && job->streaming) {
        serve_put(out, job->route->anthropic ? "event: error\ndata: " : "data: ");
        serve_failure_put(&job->failure, job->route->anthropic, out);
        serve_put(out, "\n\n");
        http_stream_put(connection, out);
        job->connection = NULL;
        count(job);
        http_stream_end(connection, true);
    } else if (job->failure.status) {
        refuse(job);
    } else if (connection && job->streaming) {
        job->route->form->end(job, out);
        http_stream_put(connection, out);
        job->connection = NULL;
        count(job);
        http_stream_end(connection, false);
    } else if (connection) {
        job->route->form->whole(job, job->ready);
        answer(job);
    }
}

void serve_deliver_event(struct serve_event *e)
{
    struct serve_job *job = e->run->owner;
    struct evbuffer *out = job->ready;
    if (e->kind == SERVE_STARTED)
        started(job, e, out);
    else if (e->kind == SERVE_STEP)
        stepped(job, e, out);
    else
        ended(job, e, out);
    if (job->n_ended == job->n_runs) {
        finish(job, out);
        serve_job_free(job);
    } else if (job->streaming && job->connection) {
        job->sent = serve_now();
        http_stream_put(job->connection, out);
    }
}

void serve_deliver_tick(struct serve *s)
{
    const double now = serve_now();
    for (struct serve_job *job = s->jobs; job; job = job->after) {
        if (job->streaming && job->connection && now - job->sent > QUIET_SECONDS) {
            serve_put(job->ready, ": the next token takes a while\n\n");
            http_stream_put(job->connection, job->ready);
            job->sent = now;
        }
        if (s->options->timeout && job->running && !job->failure.status && now - job->arrived > s->options->timeout) {
            serve_fail(&job->failure, 408, NULL, "The request took longer than %d seconds.", s->options->timeout);
            for (size_t i = 0; i < job->n_runs; i++)
                atomic_store(&job->runs[i].leave, true);
            serve_engine_wake(job->model->engine);
        }
    }
}
