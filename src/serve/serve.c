/* SPDX-License-Identifier: MIT
 * serve.c - opens models, sockets and the event loop, and ends them in order. */
#include "serve/serve.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "serve/server.h"

/* Texts that run when the server is asked to end have that long. */
#define DRAIN_SECONDS 30

static const char PLAIN[] = "{%- for message in messages -%}{{ message.role | capitalize }}: {{ message.content }}\n"
                            "{% endfor -%}{%- if add_generation_prompt -%}Assistant:{%- endif -%}";

static enum tare_code open_model(struct serve *s, struct serve_model *m, const struct serve_source *source,
                                 struct tare_error *err)
{
    const struct serve_options *o = s->options;
    struct serve_engine_options engine = {.model = source->model,
                                          .context = o->context,
                                          .kv_bits = o->kv_bits,
                                          .exact = o->exact,
                                          .parallel = o->parallel,
                                          .memory = o->memory,
                                          .tell = serve_work_tell,
                                          .user = s};
    m->model = source->model;
    snprintf(m->id, sizeof m->id, "%s", source->id);
    m->created = time(NULL);
    enum tare_code code = tare_tokenizer_open(&m->tokenizer, source->path, source->options, err);
    if (code)
        return code;
    code = tare_template_open(&m->chat, source->path, source->options, err);
    if (code == TARE_E_ABSENT) {
        m->plain = true;
        code = tare_template_from_text(&m->chat, PLAIN, sizeof PLAIN - 1, err);
    }
    if (code)
        return code;
    m->family = tool_family_probe(m->plain ? NULL : m->chat, m->tokenizer, &m->describes);
    m->vocabulary = tare_tokenizer_size(m->tokenizer);
    engine.tokenizer = m->tokenizer;
    code = serve_engine_open(&m->engine, &engine, err);
    if (code)
        return code;
    m->context = serve_engine_context(m->engine);
    if (m->vocabulary > serve_engine_vocabulary(m->engine))
        m->vocabulary = serve_engine_vocabulary(m->engine);
    return TARE_OK;
}

static enum tare_code open_models(struct serve *s, struct tare_error *err)
{
    s->models = calloc(s->options->n_sources, sizeof *s->models);
    if (!s->models)
        return TARE_E_MEMORY;
    for (size_t i = 0; i < s->options->n_sources; i++) {
        s->n_models++;
        const enum tare_code code = open_model(s, &s->models[i], &s->options->sources[i], err);
        if (code)
            return code;
    }
    return TARE_OK;
}

static void close_models(struct serve *s)
{
    for (size_t i = 0; i < s->n_models; i++) {
        serve_engine_free(s->models[i].engine);
        tare_template_free(s->models[i].chat);
        tare_tokenizer_free(s->models[i].tokenizer);
    }
    free(s->models);
}

static enum tare_code open_tls(struct serve *s, struct tare_error *err)
{
    if (!s->options->certificate)
        return TARE_OK;
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    s->tls = context;
    if (context && SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
        SSL_CTX_use_certificate_chain_file(context, s->options->certificate) == 1 &&
        SSL_CTX_use_PrivateKey_file(context, s->options->private_key, SSL_FILETYPE_PEM) == 1 &&
        SSL_CTX_check_private_key(context) == 1)
        return TARE_OK;
    *err = (struct tare_error){.code = TARE_E_IO};
    snprintf(err->where, sizeof err->where, "%s", s->options->certificate);
    snprintf(err->text, sizeof err->text, "certificate or key cannot be used: %s",
             ERR_reason_error_string(ERR_get_error()));
    return TARE_E_IO;
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

static void on_signal(evutil_socket_t number, short what, void *user)
{
    struct serve *s = user;
    const struct timeval grace = {.tv_sec = DRAIN_SECONDS};
    (void)number;
    (void)what;
    if (s->draining) {
        event_base_loopbreak(s->base);
        return;
    }
    s->draining = true;
    serve_notify("STOPPING=1");
    serve_listen_stop(s);
    http_server_drain(s->http);
    event_base_loopexit(s->base, &grace);
}

/* Several times a second: has a server that is going down nothing more to do? */
static void on_tick(evutil_socket_t fd, short what, void *user)
{
    struct serve *s = user;
    (void)fd;
    (void)what;
    serve_deliver_tick(s);
    if (s->draining && s->n_jobs == 0 && http_server_count(s->http) == 0)
        event_base_loopbreak(s->base);
}

static void loop(struct serve *s)
{
    const struct timeval tick = {.tv_usec = 100000};
    struct event *events[] = {evsignal_new(s->base, SIGTERM, on_signal, s), evsignal_new(s->base, SIGINT, on_signal, s),
                              event_new(s->base, -1, EV_PERSIST, on_tick, s)};
    char address[400];
    signal(SIGPIPE, SIG_IGN);
    snprintf(address, sizeof address, "%s://%s%s%s:%d", s->tls ? "https" : "http",
             strchr(s->options->host, ':') ? "[" : "", s->options->host, strchr(s->options->host, ':') ? "]" : "",
             serve_port(s));
    for (size_t i = 0; i < 3; i++)
        if (events[i])
            event_add(events[i], i == 2 ? &tick : NULL);
    serve_notify("READY=1");
    if (s->options->ready)
        s->options->ready(address);
    event_base_dispatch(s->base);
    for (size_t i = 0; i < 3; i++)
        if (events[i])
            event_free(events[i]);
}

enum tare_code serve_run(const struct serve_options *options, struct tare_error *err)
{
    struct serve s = {.options = options, .base = event_base_new()};
    struct http_handler handler;
    enum tare_code code = TARE_E_MEMORY;
    serve_handler_fill(&handler, &s);
    s.http = s.base ? http_server_open(s.base, &handler) : NULL;
    if (!s.http)
        return code;
    http_server_cors(s.http, options->cors);
    if (!(code = serve_work_open(&s, err)) && !(code = open_tls(&s, err)) && !(code = open_models(&s, err)) &&
        !(code = serve_listen(&s, err))) {
        http_server_tls(s.http, s.tls);
        loop(&s);
    }
    serve_listen_stop(&s);
    http_server_free(s.http);
    for (size_t i = 0; i < s.n_models; i++) /* texts that run are told to end, and then nothing of them is left */
        if (s.models[i].engine)
            serve_engine_wake(s.models[i].engine);
    while (s.n_jobs)
        event_base_loop(s.base, EVLOOP_ONCE);
    serve_work_close(&s);
    close_models(&s);
    SSL_CTX_free(s.tls);
    event_base_free(s.base);
    return code;
}
