/* SPDX-License-Identifier: MIT
 * http_state.h - what a connection and the server of connections hold, for http.c and http_send.c alone. */
#ifndef TARE_SERVE_HTTP_STATE_H
#define TARE_SERVE_HTTP_STATE_H

#include "serve/http/http_parse.h"

enum http_state {
    /* The request line and the fields. */
    HTTP_HEADER,
    HTTP_BODY,
    HTTP_CHUNK_SIZE,
    HTTP_CHUNK_DATA,
    HTTP_CHUNK_END,
    HTTP_TRAILER,
    /* The request is with the layer above. */
    HTTP_BUSY,
    HTTP_STREAMING,
    /* The last answer is being written. */
    HTTP_CLOSING,
    /* It is written and our side is shut; what the client still sends is thrown away for a moment, since a socket that is
     * closed with unread bytes resets the connection, and the client would lose the answer. */
    HTTP_LINGERING
};

struct http_connection {
    struct http_server *server;
    struct http_connection *next;
    struct http_connection **link;
    struct bufferevent *wire;
    struct event *timer;
    enum http_state state;
    struct http_request request;
    struct http_lines lines;
    /* Of the header or the trailer so far. */
    size_t header_bytes;
    int header_lines;
    unsigned long long chunk_left;
    size_t body_room;
    void *job;
    /* The address of the client. */
    char peer[64];
    /* The output is over its limit. */
    bool held;
    /* What was left to write when the client's reading was looked at last. */
    size_t left;
    /* http_read() runs, and is not entered again from what it calls. */
    bool calling;
};

struct http_server {
    struct event_base *base;
    struct http_handler handler;
    struct http_connection *connections;
    size_t count;
    /* Of bodies that are being read. */
    size_t body_bytes;
    void *tls;
    const char *cors;
    bool draining;
};

void http_connection_free(struct http_connection *c);
/* Go on with what has come. */
void http_read(struct http_connection *c);
/* Stop with a refusal: answer, and close. */
void http_refuse(struct http_connection *c, const struct serve_failure *failure);
/* Starts waiting for the next request, or closes. */
void http_next(struct http_connection *c);
void http_deadline(struct http_connection *c, int seconds);
/* Ends the connection of a client that does not read what is written for it. */
void http_watch_reading(struct http_connection *c);

#endif
