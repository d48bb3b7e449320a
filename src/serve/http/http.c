/* SPDX-License-Identifier: MIT
 * http.c - connections: what is read when, the limits of a request and its deadlines. */
#include "serve/http/http.h"

#include <event2/bufferevent_ssl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "serve/http/http_state.h"

#define HEADER_BYTES ((size_t)64 << 10)
#define HEADER_LINES 100
#define CHUNK_LINE 1024
#define BODY_BYTES ((size_t)16 << 20)
/* Of all bodies that are being read at the same moment. */
#define BODIES_BYTES ((size_t)512 << 20)
#define HEADER_SECONDS 10
#define BODY_SECONDS 30
#define WRITE_SECONDS 30
#define LINGER_SECONDS 2
/* What a client must read of its answers in WRITE_SECONDS: one that reads a byte now and then does not read. */
#define WRITE_PROGRESS ((size_t)32 << 10)
/* With that much of answers unread, no further request of the connection is taken. */
#define UNREAD_BYTES ((size_t)256 << 10)
/* What is read ahead of a request that is being answered, so that the end of a connection is seen. */
#define READ_AHEAD ((size_t)128 << 10)

static size_t unread(const struct http_connection *c)
{
    return evbuffer_get_length(bufferevent_get_output(c->wire));
}

void http_watch_reading(struct http_connection *c)
{
    c->left = unread(c);
    http_deadline(c, WRITE_SECONDS);
}

static void start_request(struct http_connection *c)
{
    c->server->body_bytes -= c->body_room;
    http_request_release(&c->request);
    memset(&c->lines, 0, sizeof c->lines);
    c->header_bytes = 0;
    c->header_lines = 0;
    c->body_room = 0;
    c->state = HTTP_HEADER;
    if (unread(c))
        http_watch_reading(c); /* the time for the header begins when the answer is written */
    else
        http_deadline(c, HEADER_SECONDS);
}

void http_deadline(struct http_connection *c, int seconds)
{
    const struct timeval tv = {.tv_sec = seconds};
    if (seconds)
        event_add(c->timer, &tv);
    else
        event_del(c->timer);
}

void http_connection_free(struct http_connection *c)
{
    void *job = c->job;
    c->job = NULL;
    if (job)
        c->server->handler.gone(job);
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    c->server->count--;
    c->server->body_bytes -= c->body_room;
    event_free(c->timer);
    bufferevent_free(c->wire);
    http_request_release(&c->request);
    free(c);
}

/* Shuts our side once everything is written. */
static void linger(struct http_connection *c)
{
    c->state = HTTP_LINGERING;
    if (c->server->tls)
        SSL_shutdown(bufferevent_openssl_get_ssl(c->wire));
    shutdown(bufferevent_getfd(c->wire), SHUT_WR);
    http_deadline(c, LINGER_SECONDS);
}

void http_next(struct http_connection *c)
{
    if (c->request.keep && !c->server->draining) {
        start_request(c);
        return; /* http_read() goes on, or the event of the output that became empty does */
    }
    c->state = HTTP_CLOSING;
    http_watch_reading(c);
    if (unread(c) == 0)
        linger(c);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* Takes a line that ends in CRLF. Returns 1, 0 when it is not there yet, -1 when it is too long or ends in a bare LF. */
static int take_line(struct evbuffer *in, size_t most, char **line, size_t *size)
{
    const struct evbuffer_ptr at = evbuffer_search(in, "\n", 1, NULL);
    *line = NULL;
    if (at.pos < 0)
        return evbuffer_get_length(in) > most ? -1 : 0;
    const size_t n = (size_t)at.pos;
    if (n > most + 1 || n == 0)
        return -1;
    char *copy = malloc(n + 1);
    if (!copy || evbuffer_remove(in, copy, n + 1) < 0 || copy[n - 1] != '\r') {
        free(copy);
        return -1;
    }
    copy[n - 1] = '\0';
    *line = copy;
    *size = n - 1;
    return 1;
}

static bool grow_body(struct http_connection *c, size_t more)
{
    struct http_request *r = &c->request;
    if (r->body_size + more + 1 <= c->body_room)
        return true;
    const size_t room = 2 * (r->body_size + more) + 4096;
    char *body = c->server->body_bytes + room > BODIES_BYTES ? NULL : realloc(r->body, room);
    if (!body)
        return false;
    r->body = body;
    c->server->body_bytes += room - c->body_room;
    c->body_room = room;
    return true;
}

/* Moves up to `most` bytes into the body. Returns false when memory ran out. */
static bool take_body(struct http_connection *c, struct evbuffer *in, unsigned long long most, size_t *taken)
{
    struct http_request *r = &c->request;
    const size_t there = evbuffer_get_length(in), n = there < most ? there : (size_t)most;
    *taken = 0;
    if (!grow_body(c, n))
        return false;
    const int got = evbuffer_remove(in, r->body + r->body_size, n);
    *taken = got > 0 ? (size_t)got : 0;
    r->body_size += *taken;
    r->body[r->body_size] = '\0';
    return true;
}

static void complete(struct http_connection *c)
{
    const struct http_handler *h = &c->server->handler;
    c->state = HTTP_BUSY;
    c->server->body_bytes -= c->body_room; /* the body now belongs to the layer above */
    c->body_room = 0;
    http_deadline(c, 0);
    h->request(h->user, c, &c->request);
}

static void header_complete(struct http_connection *c)
{
    const struct http_handler *h = &c->server->handler;
    struct http_request *r = &c->request;
    struct serve_failure f = {0};
    if (http_parse_finish(r, &c->lines, &f))
        h->header(h->user, r, &f);
    if (!f.status && r->expect && strcasecmp(r->expect, "100-continue") != 0)
        serve_fail(&f, 417, NULL, "The only expectation that is met is 100-continue.");
    if (!f.status && r->has_length && r->length > BODY_BYTES)
        serve_fail(&f, 413, NULL, "The body is larger than 16 MiB.");
    if (f.status) {
        const bool bodiless = !r->chunked && (!r->has_length || r->length == 0);
        r->keep = r->keep && bodiless && f.status != 400;
        http_fail(c, &f);
        return;
    }
    if (!r->chunked && r->length == 0) {
        complete(c);
        return;
    }
    c->state = r->chunked ? HTTP_CHUNK_SIZE : HTTP_BODY;
    http_deadline(c, BODY_SECONDS);
    if (r->expect && !r->http10 && evbuffer_get_length(bufferevent_get_input(c->wire)) == 0)
        evbuffer_add_printf(bufferevent_get_output(c->wire), "HTTP/1.1 100 Continue\r\n\r\n");
}

static bool stop(struct http_connection *c, int status, const char *message)
{
    struct serve_failure f = {0};
    serve_fail(&f, status, NULL, "%s", message);
    http_refuse(c, &f);
    return false;
}

/* Returns whether there may be more to do. */
static bool read_header(struct http_connection *c, struct evbuffer *in)
{
    struct serve_failure f = {0};
    char *line;
    size_t size;
    const int got = take_line(in, HEADER_BYTES, &line, &size);
    if (got == 0)
        return false;
    if (got < 0 || (c->header_bytes += size + 2) > HEADER_BYTES || c->header_lines > HEADER_LINES) {
        free(line);
        if (got < 0 && evbuffer_get_length(in) <= HEADER_BYTES)
            return stop(c, 400, "A line ends in a bare line feed.");
        return stop(c, c->header_lines ? 431 : 414, "The header is over 64 KiB or 100 lines.");
    }
    if (size == 0 && c->header_lines == 0) { /* an empty line before a request is passed over (RFC 9112, 2.2) */
        free(line);
        return true;
    }
    if (size && c->header_lines++ == 0)
        http_parse_request_line(&c->request, &c->lines, line, size, &f);
    else if (size)
        http_parse_field(&c->request, &c->lines, line, size, &f);
    else
        header_complete(c);
    free(line);
    if (f.status)
        http_refuse(c, &f);
    return c->state <= HTTP_TRAILER;
}

static bool read_body(struct http_connection *c, struct evbuffer *in)
{
    size_t taken;
    if (!take_body(c, in, c->request.length - c->request.body_size, &taken))
        return stop(c, 503, "Too many bodies are being read; please try again later.");
    if (c->request.body_size < c->request.length)
        return false;
    complete(c);
    return true;
}

static bool read_chunk_size(struct http_connection *c, struct evbuffer *in)
{
    char *line;
    size_t size;
    const int got = take_line(in, CHUNK_LINE, &line, &size);
    if (got == 0)
        return false;
    const bool good = got > 0 && http_parse_chunk(line, size, &c->chunk_left);
    free(line);
    if (!good)
        return stop(c, 400, "The size of a chunk is not a hexadecimal number on a line of its own.");
    if (c->chunk_left > BODY_BYTES - c->request.body_size)
        return stop(c, 413, "The body is larger than 16 MiB.");
    c->state = c->chunk_left ? HTTP_CHUNK_DATA : HTTP_TRAILER;
    c->header_bytes = 0;
    c->header_lines = 0;
    return true;
}

static bool read_chunk(struct http_connection *c, struct evbuffer *in)
{
    size_t taken;
    if (!take_body(c, in, c->chunk_left, &taken))
        return stop(c, 503, "Too many bodies are being read; please try again later.");
    c->chunk_left -= taken;
    if (c->chunk_left)
        return false;
    c->state = HTTP_CHUNK_END;
    return true;
}

static bool read_chunk_end(struct http_connection *c, struct evbuffer *in)
{
    char end[2];
    if (evbuffer_get_length(in) < 2)
        return false;
    evbuffer_remove(in, end, 2);
    if (memcmp(end, "\r\n", 2) != 0)
        return stop(c, 400, "A chunk does not end where its size says.");
    c->state = HTTP_CHUNK_SIZE;
    return true;
}

static bool read_trailer(struct http_connection *c, struct evbuffer *in)
{
    struct http_request ignored = {0};
    struct http_lines lines = {0};
    struct serve_failure f = {0};
    char *line;
    size_t size;
    const int got = take_line(in, CHUNK_LINE, &line, &size);
    if (got == 0)
        return false;
    if (got > 0 && size)
        http_parse_field(&ignored, &lines, line, size, &f);
    http_request_release(&ignored);
    free(line);
    if (got < 0 || f.status || ++c->header_lines > HEADER_LINES)
        return stop(c, 400, "The trailer is not well-formed.");
    if (size == 0)
        complete(c);
    return true;
}

/* Before a request begins: are there too many answers that were not read? */
static bool too_much(const struct http_connection *c)
{
    return c->header_lines == 0 && unread(c) > UNREAD_BYTES;
}

void http_read(struct http_connection *c)
{
    struct evbuffer *in = bufferevent_get_input(c->wire);
    bool more = true;
    if (c->calling)
        return;
    c->calling = true;
    while (more) {
        switch (c->state) {
        case HTTP_HEADER:
            more = evbuffer_get_length(in) > 0 && !too_much(c) && read_header(c, in);
            break;
        case HTTP_BODY:
            more = read_body(c, in);
            break;
        case HTTP_CHUNK_SIZE:
            more = read_chunk_size(c, in);
            break;
        case HTTP_CHUNK_DATA:
            more = read_chunk(c, in);
            break;
        case HTTP_CHUNK_END:
            more = read_chunk_end(c, in);
            break;
        case HTTP_TRAILER:
            more = read_trailer(c, in);
            break;
        case HTTP_CLOSING:
        case HTTP_LINGERING:
            evbuffer_drain(in, evbuffer_get_length(in));
            more = false;
            break;
        default:
            more = false;
            break;
        }
        if (!more && c->state == HTTP_HEADER && evbuffer_get_length(in) > 0 && c->header_bytes == 0 && !too_much(c) &&
            evbuffer_search(in, "\n", 1, NULL).pos >= 0)
            more = true; /* an answer at once: the next request may be there already */
    }
    c->calling = false;
}

/* ---- events ------------------------------------------------------------------------------------------------------ */

static void on_read(struct bufferevent *wire, void *user)
{
    (void)wire;
    http_read(user);
}

/* Everything is written. */
static void on_write(struct bufferevent *wire, void *user)
{
    struct http_connection *c = user;
    (void)wire;
    if (c->held) {
        c->held = false;
        http_deadline(c, 0);
        c->server->handler.held(c->job, false);
    }
    if (c->state == HTTP_CLOSING) {
        linger(c);
        return;
    }
    if (c->state == HTTP_HEADER && c->header_lines == 0)
        http_deadline(c, HEADER_SECONDS);
    http_read(c);
}

static void on_event(struct bufferevent *wire, short what, void *user)
{
    struct http_connection *c = user;
    if (what & BEV_EVENT_CONNECTED)
        return;
    const bool between = c->state == HTTP_HEADER && c->header_lines == 0;
    (void)wire;
    if (what & BEV_EVENT_EOF && (between || c->state == HTTP_CLOSING) && unread(c)) {
        c->state = HTTP_CLOSING; /* the answer is on its way, and a client that shut its side may still read it */
        return;
    }
    http_connection_free(c);
}

/* Is a client still reading its answers? It is looked at again later. */
static bool reads(struct http_connection *c)
{
    const size_t now = unread(c);
    const bool does = now + WRITE_PROGRESS <= c->left;
    http_watch_reading(c);
    return does;
}

static void on_deadline(evutil_socket_t fd, short what, void *user)
{
    struct http_connection *c = user;
    const bool begun = c->header_lines || evbuffer_get_length(bufferevent_get_input(c->wire));
    (void)fd;
    (void)what;
    if (c->state >= HTTP_BODY && c->state <= HTTP_TRAILER)
        stop(c, 408, "The request did not come whole in time.");
    else if (c->state != HTTP_LINGERING && unread(c) && reads(c))
        return;
    else if (c->state == HTTP_HEADER && begun && unread(c) == 0)
        stop(c, 408, "The request did not come whole in time.");
    else
        http_connection_free(c);
}

void http_accept(struct http_server *server, int socket, const char *peer)
{
    struct http_connection *c = calloc(1, sizeof *c);
    const int one = 1;
    evutil_make_socket_nonblocking(socket);
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (c && server->tls) {
        SSL *ssl = SSL_new(server->tls);
        c->wire = ssl ? bufferevent_openssl_socket_new(server->base, socket, ssl, BUFFEREVENT_SSL_ACCEPTING,
                                                       BEV_OPT_CLOSE_ON_FREE)
                      : NULL;
    } else if (c) {
        c->wire = bufferevent_socket_new(server->base, socket, BEV_OPT_CLOSE_ON_FREE);
    }
    if (c && c->wire)
        c->timer = event_new(server->base, -1, 0, on_deadline, c);
    if (!c || !c->wire || !c->timer) {
        if (c && c->wire)
            bufferevent_free(c->wire);
        else
            evutil_closesocket(socket);
        free(c);
        return;
    }
    const struct timeval write = {.tv_sec = WRITE_SECONDS};
    c->server = server;
    c->next = server->connections;
    c->link = &server->connections;
    if (c->next)
        c->next->link = &c->next;
    server->connections = c;
    server->count++;
    bufferevent_setcb(c->wire, on_read, on_write, on_event, c);
    bufferevent_setwatermark(c->wire, EV_READ, 0, READ_AHEAD);
    bufferevent_set_timeouts(c->wire, NULL, &write);
    start_request(c);
    snprintf(c->peer, sizeof c->peer, "%s", peer);
    bufferevent_enable(c->wire, EV_READ | EV_WRITE);
}

/* ---- the server -------------------------------------------------------------------------------------------------- */

struct http_server *http_server_open(struct event_base *base, const struct http_handler *handler)
{
    struct http_server *server = calloc(1, sizeof *server);
    if (server) {
        server->base = base;
        server->handler = *handler;
    }
    return server;
}

void http_server_free(struct http_server *server)
{
    while (server && server->connections)
        http_connection_free(server->connections);
    free(server);
}

void http_server_tls(struct http_server *server, void *context)
{
    server->tls = context;
}

void http_server_cors(struct http_server *server, const char *origin)
{
    server->cors = origin;
}

size_t http_server_count(const struct http_server *server)
{
    return server->count;
}

void http_server_drain(struct http_server *server)
{
    server->draining = true;
    for (struct http_connection *c = server->connections, *next; c; c = next) {
        next = c->next;
        if (c->state == HTTP_HEADER && c->header_bytes == 0 &&
            evbuffer_get_length(bufferevent_get_output(c->wire)) == 0)
            http_connection_free(c);
    }
}

const char *http_peer(const struct http_connection *connection)
{
    return connection->peer;
}

void http_job_set(struct http_connection *connection, void *job)
{
    connection->job = job;
}
