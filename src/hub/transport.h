/* SPDX-License-Identifier: MIT
 * transport.h - requests to the hub, many at once, in one thread: a loop over libcurl's multi interface.
 *
 * Redirects are followed here and not by curl, because each rule of them is one of safety: the token goes to the
 * endpoint's origin alone (scheme, host and port), and not over plain http unless the endpoint is this machine; only
 * http and https are followed, never from https down to http; one other host at most, and only where the request says
 * that its content may lie elsewhere. What breaks is asked for again, after a pause that grows or that the server
 * names.
 */
#ifndef TARE_HUB_HTTP_H
#define TARE_HUB_HTTP_H

#include <stddef.h>

#include "base/error.h"
#include "hub/answer.h"
#include "hub/hub.h"

struct tare_http;
struct tare_exchange;

#define TARE_HTTP_UNKNOWN UINT64_MAX

struct tare_request {
    /* ---- the caller fills these in, and keeps the struct until done() was called ---- */

    /* Heap; the loop owns it from tare_http_add() on. */
    char *url;
    /* What it is about, for errors; borrowed. file and revision may be NULL. */
    const char *repo, *revision, *file;
    /* Its content may lie on another host. */
    bool elsewhere;
    /* Ask for `size` bytes from `first`; else for all, of which there should be `size`. */
    bool ranged;
    uint64_t first;
    /* TARE_HTTP_UNKNOWN: not known, and then `most` bounds it. */
    uint64_t size, most;
    /* Of the whole file, which a range's answer repeats; TARE_HTTP_UNKNOWN: not known. */
    uint64_t total;
    /* Before the first byte of an answer of status 200 or 206; may be NULL. */
    enum tare_code (*head)(struct tare_request *request, struct tare_error *err);
    /* Bytes of the body in order: after a retry they begin again at `first`, unless again() moves it. */
    enum tare_code (*body)(struct tare_request *request, const void *bytes, size_t n, struct tare_error *err);
    /* Before it is asked for again; may change url, first and size. May be NULL. */
    void (*again)(struct tare_request *request);
    /* At the end: code and err are set. May free the request, or add others. */
    void (*done)(struct tare_request *request);
    void *user;

    /* ---- the loop fills these in ---- */

    enum tare_code code;
    struct tare_error err;
    struct tare_answer answer;
    /* The address that answers, after redirects; borrowed, from head() until done() returns. */
    const char *from;
    /* `from` is on another host than the endpoint. */
    bool abroad;
    /* Bytes given to body() by this try. */
    uint64_t got;
    /* Private. */
    struct tare_exchange *exchange;
};

/* hub is borrowed. */
enum tare_code tare_http_open(struct tare_http **http, const struct tare_hub *hub, struct tare_error *err);
/* Forgets what is under way without calling done(). NULL is allowed. */
void tare_http_free(struct tare_http *http);

/* Fails only when memory ran out; the url is freed then. */
enum tare_code tare_http_add(struct tare_http *http, struct tare_request *request, struct tare_error *err);
/* Takes a request out, wherever it stands, without calling done(). */
void tare_http_drop(struct tare_http *http, struct tare_request *request);
/* Does what can be done, and waits for more, `milliseconds` at most. */
void tare_http_step(struct tare_http *http, int milliseconds);
/* Ends a tare_http_step() that waits, at once. Any thread. */
void tare_http_wake(struct tare_http *http);
/* Requests that are not done. */
size_t tare_http_pending(const struct tare_http *http);
/* Has any server answered anything? */
bool tare_http_reached(const struct tare_http *http);
/* Body bytes received so far, of all requests. */
uint64_t tare_http_received(const struct tare_http *http);
/* Steps until none is pending, or the hub's progress() says stop. */
enum tare_code tare_http_finish(struct tare_http *http, struct tare_error *err);

#endif
