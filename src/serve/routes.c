/* SPDX-License-Identifier: MIT
 * routes.c - the table of paths, and what is checked before a body is read: host, key, path, method and types. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "serve/page_routes.h"
#include "serve/server.h"

static void answer_health(struct serve *s, struct http_connection *c, struct evbuffer *out);
static void answer_models(struct serve *s, struct http_connection *c, struct evbuffer *out);
static void answer_metrics(struct serve *s, struct http_connection *c, struct evbuffer *out);

static const struct serve_route routes[] = {
    {.method = "GET", .path = "/health", .answer = answer_health, .type = "application/json"},
    {.method = "GET", .path = "/v1/models", .answer = answer_models, .type = "application/json"},
    {.method = "GET", .path = "/metrics", .answer = answer_metrics, .type = "text/plain; version=0.0.4; charset=utf-8"},
    {.method = "POST", .path = "/v1/chat/completions", .prepare = serve_prepare_chat, .form = &serve_form_chat},
    {.method = "POST", .path = "/v1/completions", .prepare = serve_prepare_completion, .form = &serve_form_completion},
    {.method = "POST", .path = "/v1/embeddings", .prepare = serve_prepare_embeddings, .form = &serve_form_embeddings},
    {.method = "POST", .path = "/v1/responses", .prepare = serve_prepare_responses, .form = &serve_form_responses},
    {.method = "POST",
     .path = "/v1/messages",
     .prepare = serve_prepare_messages,
     .form = &serve_form_messages,
     .anthropic = true},
    {.method = "POST", .path = "/tokenize", .prepare = serve_prepare_tokenize},
    {.method = "POST", .path = "/detokenize", .prepare = serve_prepare_detokenize},
    {.method = "POST", .path = "/apply-template", .prepare = serve_prepare_template},
    {.method = "POST", .path = "/tare/plan", .prepare = serve_prepare_plan},
    {.method = "POST", .path = "/tare/module", .prepare = serve_prepare_module},
};

static const char MODELS[] = "/v1/models/";

static const struct serve_route *find(const char *path)
{
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        if (!strcmp(routes[i].path, path))
            return &routes[i];
    return NULL;
}

/* A file of the page, which anybody may have: it holds nothing of a model. NULL: none, or --no-page. */
static const struct embedded_file *find_page(const struct serve *s, const char *path)
{
    return s->options->no_page ? NULL : serve_page_find(path);
}

/* ---- answers at once --------------------------------------------------------------------------------------------- */

static void answer_health(struct serve *s, struct http_connection *c, struct evbuffer *out)
{
    struct serve_failure f = {0};
    if (s->draining) {
        serve_fail(&f, 503, NULL, "The server is going down.");
        f.retry_after = 5;
        http_fail(c, &f);
        return;
    }
    serve_put(out, "{\"status\":\"ok\"}");
    http_answer(c, 200, "application/json", out);
}

static void put_model(struct serve *s, struct serve_model *m, struct evbuffer *out)
{
    static const char *const states[] = {"unloaded", "loading", "loaded", "unloading"};
    const struct serve_model_look look = serve_model_look(s, m);
    serve_put(out, "{\"id\":");
    serve_put_json(out, m->id, strlen(m->id));
    evbuffer_add_printf(out, ",\"object\":\"model\",\"created\":%" PRId64 ",\"owned_by\":\"tare\"",
                        (int64_t)m->created);
    if (look.context) /* known once it was loaded */
        evbuffer_add_printf(out, ",\"max_model_len\":%" PRId64, look.context);
    evbuffer_add_printf(out, ",\"status\":{\"value\":\"%s\"}}", states[look.state]);
}

static void answer_models(struct serve *s, struct http_connection *c, struct evbuffer *out)
{
    serve_put(out, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; i < s->models.n; i++) {
        serve_put(out, i ? "," : "");
        put_model(s, &s->models.items[i], out);
    }
    serve_put(out, "]}");
    http_answer(c, 200, "application/json", out);
}

static void answer_model(struct serve *s, struct http_connection *c, const char *id, struct evbuffer *out)
{
    struct serve_failure f = {0};
    struct serve_model *m = serve_model_find(s, id);
    if (m) {
        put_model(s, m, out);
        http_answer(c, 200, "application/json", out);
        return;
    }
    serve_fail_code(&f, 404, "model", "model_not_found", "There is no model %s here; GET /v1/models lists them.",
                    serve_quote(id, strlen(id)).text);
    http_fail(c, &f);
}

static void answer_metrics(struct serve *s, struct http_connection *c, struct evbuffer *out)
{
    measures_put(s, out);
    http_answer(c, 200, "text/plain; version=0.0.4; charset=utf-8", out);
}

/* ---- what is checked first --------------------------------------------------------------------------------------- */

/* How long the name in a host is, without its port; 0: it is none. */
static size_t host_size(const char *host)
{
    const char *end = host[0] == '[' ? strchr(host, ']') : host + strcspn(host, ":");
    if (!end)
        return 0;
    end += host[0] == '[';
    const size_t digits = *end == ':' ? strspn(end + 1, "0123456789") + 1 : 0;
    return end[digits] ? 0 : (size_t)(end - host);
}

/* Is the host, without its port, one of this machine's names? Else a page of another site, whose name was made to lead
 * here, would be let in (DNS rebinding). */
static bool known_host(const struct serve *s, const char *host)
{
    const size_t n = host_size(host);
    static const char *const own[] = {"127.0.0.1", "localhost", "[::1]"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (n == strlen(own[i]) && !strncasecmp(host, own[i], n))
            return true;
    for (size_t i = 0; n && i <= s->options->n_allowed_hosts; i++) {
        const char *name = i ? s->options->allowed_hosts[i - 1] : s->options->host;
        const size_t bare =
            strchr(name, ':') && name[0] != '['; /* an address of IPv6, which stands in brackets there */
        if (strlen(name) + 2 * bare == n && (!bare || host[0] == '[') && !strncasecmp(host + bare, name, strlen(name)))
            return true;
    }
    return false;
}

/* Compares in a time that does not depend on where the texts differ. */
static bool same(const char *given, const char *key)
{
    const size_t n = strlen(given), m = strlen(key);
    unsigned char difference = n != m;
    for (size_t i = 0; i < n; i++)
        difference |= (unsigned char)(given[i] ^ key[m ? i % m : 0]);
    return difference == 0 && m > 0;
}

/* The number of the key that a request has, from 1; 0: none of ours. */
static size_t key_of(const struct serve *s, const struct http_request *r)
{
    const char *bearer = r->authorization && !strncasecmp(r->authorization, "bearer ", 7) ? r->authorization + 7 : "";
    size_t found = 0;
    bearer += strspn(bearer, " ");
    for (size_t i = 0; i < s->options->n_keys; i++)
        if (same(bearer, s->options->keys[i]) | (r->api_key && same(r->api_key, s->options->keys[i])))
            found = i + 1;
    return found;
}

static bool has_key(const struct serve *s, const struct http_request *r)
{
    return s->options->n_keys == 0 || key_of(s, r);
}

/* Is a charset's value, which ends with its parameter, UTF-8? */
static bool is_utf8(const char *value)
{
    const size_t quoted = value[0] == '"';
    if (strncasecmp(value + quoted, "utf-8", 5) != 0 || (quoted && value[6] != '"'))
        return false;
    value += 5 + 2 * quoted;
    return !*value || strchr("; \t", *value);
}

static bool is_json(const char *type)
{
    static const char word[] = "application/json";
    const size_t n = sizeof word - 1;
    if (!type || strncasecmp(type, word, n) != 0)
        return false;
    const char *rest = type + n;
    while (*rest) { /* parameters; only a charset matters */
        rest += strspn(rest, " \t");
        if (*rest && *rest != ';')
            return false;
        rest += strspn(rest, "; \t");
        if (!strncasecmp(rest, "charset=", 8) && !is_utf8(rest + 8))
            return false;
        rest += strcspn(rest, ";");
    }
    return true;
}

static bool is_preflight(const struct serve *s, const struct http_request *r)
{
    return s->options->cors && r->origin && !strcmp(r->method, "OPTIONS");
}

static void check_header(void *user, struct http_request *r, struct serve_failure *f)
{
    const struct serve *s = user;
    const struct serve_route *route = find(r->path);
    const bool model = !strncmp(r->path, MODELS, sizeof MODELS - 1), page = !route && find_page(s, r->path);
    const char *method = route ? route->method : "GET";
    const bool get = !strcmp(r->method, "GET") || !strcmp(r->method, "HEAD");
    if (r->host && !known_host(s, r->host))
        serve_fail(f, 403, NULL, "The host %s is not served here; --allow-host names others.",
                   serve_quote(r->host, strlen(r->host)).text);
    else if (is_preflight(s, r))
        return;
    else if (!page && !has_key(s, r) && !(route && route->answer == answer_health))
        serve_fail(f, 401, NULL, "This server needs a key, in Authorization: Bearer KEY.");
    else if (!route && !model && !page)
        serve_fail(f, 404, NULL, "There is nothing at %s.", serve_quote(r->path, strlen(r->path)).text);
    else if (!strcmp(method, "GET") ? !get : strcmp(method, r->method) != 0) {
        serve_fail(f, 405, NULL, "This path takes %s.", method);
        f->allow = !strcmp(method, "GET") ? "GET, HEAD" : "POST";
    } else if (!strcmp(method, "POST") && r->content_encoding && strcasecmp(r->content_encoding, "identity") != 0)
        serve_fail(f, 415, NULL, "A body must come without a Content-Encoding.");
    else if (!strcmp(method, "POST") && !is_json(r->content_type))
        serve_fail(f, 415, NULL, "The Content-Type must be application/json.");
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

static void make_id(struct serve_job *job)
{
    static unsigned long long counter;
    const struct serve_form *form = job->route->form;
    const char *kind = form == &serve_form_chat        ? "chatcmpl-"
                       : form == &serve_form_responses ? "resp_"
                       : form == &serve_form_messages  ? "msg_"
                                                       : "cmpl-";
    snprintf(job->id, sizeof job->id, "%s%llx%08llx", kind, (unsigned long long)job->created,
             (unsigned long long)(++counter * 2654435761u & 0xffffffffu));
}

static void start_job(struct serve *s, const struct serve_route *route, struct http_connection *c,
                      struct http_request *r)
{
    struct serve_job *job = calloc(1, sizeof *job);
    struct serve_failure f = {0};
    if (job)
        job->ready = evbuffer_new();
    if (!job || !job->ready) {
        free(job);
        serve_fail(&f, 503, NULL, "Out of memory.");
        http_fail(c, &f);
        return;
    }
    s->n_jobs++;
    job->after = s->jobs;
    job->link = &s->jobs;
    if (s->jobs)
        s->jobs->link = &job->after;
    s->jobs = job;
    job->serve = s;
    job->route = route;
    job->connection = c;
    job->text = r->body;
    job->size = r->body_size;
    r->body = NULL;
    r->body_size = 0;
    job->created = time(NULL);
    job->arrived = serve_now();
    /* Not what a header says, by which one client could be many. */
    if (s->options->n_keys)
        snprintf(job->client, sizeof job->client, "key %zu", key_of(s, r));
    else
        snprintf(job->client, sizeof job->client, "%s", http_peer(c));
    make_id(job);
    http_job_set(c, job);
    serve_work_add(s, job);
}

static void take_request(void *user, struct http_connection *c, struct http_request *r)
{
    struct serve *s = user;
    const struct serve_route *route = find(r->path);
    struct serve_failure f = {0};
    struct evbuffer *out = evbuffer_new();
    if (!out || (s->draining && (!route || route->answer != answer_health))) {
        serve_fail(&f, 503, NULL, out ? "The server is going down." : "Out of memory.");
        f.retry_after = 5;
        http_fail(c, &f);
    } else if (is_preflight(s, r)) {
        http_answer(c, 204, NULL, out);
    } else if (route && route->answer) {
        route->answer(s, c, out);
    } else if (route) {
        start_job(s, route, c, r);
    } else if (find_page(s, r->path)) {
        serve_page_answer(c, find_page(s, r->path), out);
    } else {
        answer_model(s, c, r->path + sizeof MODELS - 1, out);
    }
    if (out)
        evbuffer_free(out);
}

static void answered(void *user, int status)
{
    struct serve *s = user;
    if (status >= 200 && status < 600)
        s->measures.requests[status / 100]++;
}

static void error_body(void *user, const struct http_request *r, const struct serve_failure *f, struct evbuffer *body)
{
    const struct serve_route *route = r->path ? find(r->path) : NULL;
    (void)user;
    serve_failure_put(f, route && route->anthropic, body);
}

void serve_handler_fill(struct http_handler *handler, struct serve *s)
{
    *handler = (struct http_handler){.header = check_header,
                                     .request = take_request,
                                     .gone = serve_job_gone,
                                     .held = serve_job_held,
                                     .error_body = error_body,
                                     .answered = answered,
                                     .user = s};
}
