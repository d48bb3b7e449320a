/* SPDX-License-Identifier: MIT
 * http_send.c - answers: whole, refused, or bit by bit. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "serve/http/http_state.h"
#include "serve/page.h"

/* Bytes of output beyond which a stream is held, and below which it goes on. */
#define HELD_ABOVE ((size_t)1 << 20)

static const char *reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {{200, "OK"},
                   {204, "No Content"},
                   {400, "Bad Request"},
                   {401, "Unauthorized"},
                   {403, "Forbidden"},
                   {404, "Not Found"},
                   {405, "Method Not Allowed"},
                   {408, "Request Timeout"},
                   {411, "Length Required"},
                   {413, "Content Too Large"},
                   {414, "URI Too Long"},
                   {415, "Unsupported Media Type"},
                   {417, "Expectation Failed"},
                   {429, "Too Many Requests"},
                   {431, "Request Header Fields Too Large"},
                   {500, "Internal Server Error"},
                   {501, "Not Implemented"},
                   {503, "Service Unavailable"},
                   {505, "HTTP Version Not Supported"}};
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Error";
}

/* Everything of the header but what tells the length. */
static void begin(struct http_connection *c, int status, const char *type, const struct serve_failure *failure)
{
    struct evbuffer *out = bufferevent_get_output(c->wire);
    const struct http_request *r = &c->request;
    c->server->handler.answered(c->server->handler.user, status);
    const time_t now = time(NULL);
    char date[64] = "";
    struct tm tm;
    if (gmtime_r(&now, &tm))
        strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    evbuffer_add_printf(out, "HTTP/1.1 %d %s\r\nDate: %s\r\nX-Content-Type-Options: nosniff\r\n", status,
                        reason(status), date);
    if (type)
        evbuffer_add_printf(out, "Content-Type: %s\r\n", type);
    if (type && !strncmp(type, "text/html", 9))
        evbuffer_add_printf(out, "Content-Security-Policy: %s\r\nReferrer-Policy: no-referrer\r\n", SERVE_PAGE_POLICY);
    if (failure && failure->allow)
        evbuffer_add_printf(out, "Allow: %s\r\n", failure->allow);
    if (failure && failure->retry_after)
        evbuffer_add_printf(out, "Retry-After: %d\r\n", failure->retry_after);
    if (status == 401)
        evbuffer_add_printf(out, "WWW-Authenticate: Bearer\r\n");
    if (c->server->cors && r->origin && (!strcmp(c->server->cors, "*") || !strcmp(c->server->cors, r->origin)))
        evbuffer_add_printf(out,
                            "Access-Control-Allow-Origin: %s\r\nVary: Origin\r\n"
                            "Access-Control-Allow-Methods: GET, POST, OPTIONS\r\n"
                            "Access-Control-Allow-Headers: authorization, content-type, x-api-key\r\n",
                            c->server->cors);
    if (!r->keep)
        evbuffer_add_printf(out, "Connection: close\r\n");
    else if (r->http10)
        evbuffer_add_printf(out, "Connection: keep-alive\r\n");
}

static void send_whole(struct http_connection *c, int status, const char *type, struct evbuffer *body,
                       const struct serve_failure *failure)
{
    struct evbuffer *out = bufferevent_get_output(c->wire);
    if (c->server->draining)
        c->request.keep = false;
    begin(c, status, type, failure);
    if (status != 204)
        evbuffer_add_printf(out, "Content-Length: %zu\r\n", evbuffer_get_length(body));
    evbuffer_add(out, "\r\n", 2);
    if (strcmp(c->request.method, "HEAD") != 0)
        evbuffer_add_buffer(out, body);
    evbuffer_drain(body, evbuffer_get_length(body));
    c->job = NULL;
    http_next(c);
}

void http_answer(struct http_connection *c, int status, const char *type, struct evbuffer *body)
{
    send_whole(c, status, type, body, NULL);
}

void http_fail(struct http_connection *c, const struct serve_failure *failure)
{
    struct evbuffer *body = evbuffer_new();
    if (!body) {
        http_connection_free(c);
        return;
    }
    c->server->handler.error_body(c->server->handler.user, &c->request, failure, body);
    send_whole(c, failure->status, "application/json", body, failure);
    evbuffer_free(body);
}

void http_refuse(struct http_connection *c, const struct serve_failure *failure)
{
    c->request.keep = false;
    http_fail(c, failure);
}

void http_stream_begin(struct http_connection *c)
{
    if (c->request.http10)
        c->request.keep = false;
    begin(c, 200, "text/event-stream", NULL);
    evbuffer_add_printf(bufferevent_get_output(c->wire), "Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n%s\r\n",
                        c->request.http10 ? "" : "Transfer-Encoding: chunked\r\n");
    c->state = HTTP_STREAMING;
}

void http_stream_put(struct http_connection *c, struct evbuffer *piece)
{
    struct evbuffer *out = bufferevent_get_output(c->wire);
    const size_t size = evbuffer_get_length(piece);
    if (size == 0)
        return;
    if (!c->request.http10)
        evbuffer_add_printf(out, "%zx\r\n", size);
    evbuffer_add_buffer(out, piece);
    if (!c->request.http10)
        evbuffer_add(out, "\r\n", 2);
    if (!c->held && evbuffer_get_length(out) > HELD_ABOVE) {
        c->held = true;
        http_watch_reading(c);
        c->server->handler.held(c->job, true);
    }
}

void http_stream_end(struct http_connection *c, bool cut)
{
    if (!c->request.http10)
        evbuffer_add(bufferevent_get_output(c->wire), "0\r\n\r\n", 5);
    if (cut || c->server->draining)
        c->request.keep = false;
    c->job = NULL;
    c->held = false;
    http_next(c);
}
