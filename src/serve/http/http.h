/* SPDX-License-Identifier: MIT
 * http.h - HTTP/1.1 over libevent: connections, requests with their limits and deadlines, answers and streams. It knows
 * nothing of models. All functions are called by the thread of the event loop. */
#ifndef TARE_SERVE_HTTP_H
#define TARE_SERVE_HTTP_H

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>

#include "serve/failure.h"

struct http_server;
struct http_connection;

/* A request whose header is complete, and later its body. */
struct http_request {
    char method[16];
    /* Without its query. */
    char *path;
    /* Of absolute targets, else of the Host header. */
    char *host;
    char *origin;
    char *authorization;
    char *api_key;
    char *content_type;
    char *content_encoding;
    char *expect;
    bool http10;
    bool keep;
    bool has_length;
    bool chunked;
    unsigned long long length;
    /* The body, owned by the connection until http_body_take(). */
    char *body;
    size_t body_size;
};

/* What the layer above does. */
struct http_handler {
    /* The header is complete. A failure with a status refuses the request before its body is read. */
    void (*header)(void *user, struct http_request *request, struct serve_failure *failure);
    /* The body is complete, too: answer now or later. Returns what http_gone() is given. */
    void (*request)(void *user, struct http_connection *connection, struct http_request *request);
    /* The client left while `job`, as set by http_job_set(), was being answered. */
    void (*gone)(void *job);
    /* The output of a stream grew beyond its limit (true), or is small again (false). */
    void (*held)(void *job, bool held);
    /* The body of an error, in the form that this path has. */
    void (*error_body)(void *user, const struct http_request *request, const struct serve_failure *failure,
                       struct evbuffer *body);
    /* An answer of that status was given. */
    void (*answered)(void *user, int status);
    void *user;
};

struct http_server *http_server_open(struct event_base *base, const struct http_handler *handler);
void http_server_free(struct http_server *server);

/* An SSL_CTX, or NULL for plain connections. */
void http_server_tls(struct http_server *server, void *context);

/* The origin that --cors names, or NULL. Borrowed. */
void http_server_cors(struct http_server *server, const char *origin);

/* Take over an accepted socket. */
void http_accept(struct http_server *server, int socket, const char *peer);

/* No further requests: idle connections close, and the others after their answer. */
void http_server_drain(struct http_server *server);
size_t http_server_count(const struct http_server *server);

/* The address of the client, for fairness. Borrowed. */
const char *http_peer(const struct http_connection *connection);

void http_job_set(struct http_connection *connection, void *job);

/* Answer at once. `body` is emptied. */
void http_answer(struct http_connection *connection, int status, const char *type, struct evbuffer *body);
void http_fail(struct http_connection *connection, const struct serve_failure *failure);

/* Answer bit by bit; `piece` is emptied. */
void http_stream_begin(struct http_connection *connection);
void http_stream_put(struct http_connection *connection, struct evbuffer *piece);
/* With `cut` the connection closes after what was put. */
void http_stream_end(struct http_connection *connection, bool cut);

#endif
