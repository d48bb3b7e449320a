/* SPDX-License-Identifier: MIT
 * serve.c - opens models, sockets and the event loop, and ends them in order. */
#include "serve/serve.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "serve/server.h"

/* Texts that run when the server is asked to end have that long. */
#define DRAIN_SECONDS 30

void serve_say(const struct serve *s, const char *format, ...)
{
    char line[1024];
    va_list args;
    if (!s->options->say)
        return;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    for (char *c = line; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = ' ';
    s->options->say(line);
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
    if (!(code = serve_work_open(&s, err)) && !(code = open_tls(&s, err)) && !(code = serve_models_open(&s, err)) &&
        !(code = serve_listen(&s, err))) {
        http_server_tls(s.http, s.tls);
        loop(&s);
    }
    serve_listen_stop(&s);
    http_server_free(s.http);
    serve_models_stop(&s);
    while (s.n_jobs)
        event_base_loop(s.base, EVLOOP_ONCE);
    serve_work_close(&s);
    serve_models_close(&s);
    SSL_CTX_free(s.tls);
    event_base_free(s.base);
    return code;
}
