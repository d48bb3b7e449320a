/* SPDX-License-Identifier: MIT
 * transport.c - the loop of requests: which ones start, where redirects lead, what is asked for again. */
#include "hub/transport.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hub/exchange.h"
#include "hub/refusal.h"
#include "hub/url.h"

/* huggingface_hub's own pauses between tries, in seconds. */
static const double pauses[] = {1, 2, 4, 8, 8};
enum { TRIES = sizeof pauses / sizeof *pauses, UNREACHED = 1, HOPS = 10 };
#define PAUSE_MOST 30.0
/* Fewer new bytes than this are no progress: a server that sends a little and breaks is not followed for ever. */
#define USEFUL ((uint64_t)64 << 10)

struct tare_http {
    const struct tare_hub *hub;
    CURLM *multi;
    struct tare_origin endpoint;
    /* All that are not done, in the order in which they came. */
    struct tare_exchange *first, **end;
    size_t pending;
    int running;
    /* How many may run: one after the hub said 429, until it answers again. */
    int most;
    double pause_until;
    /* Some server has answered something. */
    bool reached;
    uint64_t received;
};

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

enum tare_code tare_http_open(struct tare_http **out, const struct tare_hub *hub, struct tare_error *err)
{
    struct tare_http *http = *out = calloc(1, sizeof *http);
    if (!http)
        return tare_fail_memory(err);
    http->hub = hub;
    http->end = &http->first;
    http->most = hub->connections;
    enum tare_code code = tare_url_origin(hub->endpoint, &http->endpoint, err);
    if (!code && (curl_global_init(CURL_GLOBAL_DEFAULT) || !(http->multi = curl_multi_init())))
        code = tare_fail_memory(err);
    if (code) {
        tare_http_free(http);
        *out = NULL;
        return code;
    }
    curl_multi_setopt(http->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
    curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, 2L * hub->connections);
    return TARE_OK;
}

/* ---- the list -------------------------------------------------------------------------------------------------- */

static void stop_running(struct tare_http *http, struct tare_exchange *exchange)
{
    if (!exchange->running)
        return;
    curl_multi_remove_handle(http->multi, exchange->easy);
    exchange->running = false;
    http->running--;
}

/* Takes it out of the list and frees it; the request is the caller's. */
static void forget(struct tare_http *http, struct tare_exchange *exchange)
{
    struct tare_exchange **at = &http->first;
    while (*at != exchange)
        at = &(*at)->next;
    *at = exchange->next;
    if (!exchange->next)
        http->end = at;
    http->pending--;
    stop_running(http, exchange);
    exchange->request->exchange = NULL;
    tare_exchange_free(exchange);
}

void tare_http_free(struct tare_http *http)
{
    if (!http)
        return;
    while (http->first)
        tare_http_drop(http, http->first->request);
    curl_multi_cleanup(http->multi);
    free(http);
}

enum tare_code tare_http_add(struct tare_http *http, struct tare_request *request, struct tare_error *err)
{
    struct tare_exchange *exchange = request->url ? calloc(1, sizeof *exchange) : NULL;
    if (!exchange) {
        free(request->url);
        request->url = NULL;
        return tare_fail_memory(err);
    }
    exchange->request = request;
    request->exchange = exchange;
    *http->end = exchange;
    http->end = &exchange->next;
    http->pending++;
    return TARE_OK;
}

void tare_http_drop(struct tare_http *http, struct tare_request *request)
{
    if (!request->exchange)
        return;
    forget(http, request->exchange);
    free(request->url);
    request->url = NULL;
}

static void end(struct tare_http *http, struct tare_exchange *exchange)
{
    struct tare_request *request = exchange->request;
    char *from = exchange->url, *url = request->url;
    exchange->url = NULL;
    request->url = NULL;
    forget(http, exchange);
    if (request->done)
        request->done(request);
    free(from);
    free(url);
}

/* ---- what an answer leads to ----------------------------------------------------------------------------------- */

static void fail(struct tare_http *http, struct tare_exchange *exchange, enum tare_code code)
{
    exchange->request->code = code;
    end(http, exchange);
}

/* Puts it back to be asked for again from its own address; `wait` is 0 or the pause that the server wants. */
static void again(struct tare_http *http, struct tare_exchange *exchange, double wait, int tries)
{
    struct tare_request *request = exchange->request;
    const double now = seconds();
    const bool useful = request->got >= USEFUL;
    exchange->tries = useful ? 1 : exchange->tries + 1;
    if (exchange->tries > tries || wait > PAUSE_MOST) {
        fail(http, exchange, request->err.code);
        return;
    }
    if (wait <= 0)
        wait = useful ? 0 : pauses[exchange->tries - 1];
    stop_running(http, exchange);
    free(exchange->url);
    exchange->url = NULL;
    exchange->not_before = now + wait;
    if (request->again)
        request->again(request);
}

static void redirect(struct tare_http *http, struct tare_exchange *exchange)
{
    struct tare_request *request = exchange->request;
    struct tare_error *err = &request->err;
    const struct tare_hub_place place = tare_hub_place(request);
    struct tare_origin from, to;
    char *url = tare_url_join(exchange->url, request->answer.location);
    enum tare_code code = TARE_OK;
    if (!url)
        code = tare_fail(err, TARE_E_FORMAT, place.text, "is redirected to what is no address");
    else if ((code = tare_url_origin(exchange->url, &from, err)) || (code = tare_url_origin(url, &to, err)))
        ;
    else if (++exchange->hops > HOPS)
        code = tare_fail(err, TARE_E_FORMAT, place.text, "is redirected without end (%d times)", HOPS);
    else if (from.https && !to.https)
        code = tare_fail(err, TARE_E_FORMAT, place.text, "is redirected from https to http, which is not followed");
    else if (!tare_origin_same(&from, &to) && (!request->elsewhere || exchange->moved))
        code = tare_fail(err, TARE_E_FORMAT, place.text,
                         "is redirected to %.200s, which is not followed: a hub answers this itself", to.host);
    if (code) {
        free(url);
        fail(http, exchange, code);
        return;
    }
    exchange->moved = exchange->moved || !tare_origin_same(&from, &to);
    stop_running(http, exchange);
    free(exchange->url);
    exchange->url = url;
    exchange->not_before = 0;
}

static bool is_transient(int status)
{
    return status == 408 || status == 429 || status == 500 || (status >= 502 && status <= 504);
}

static void refused(struct tare_http *http, struct tare_exchange *exchange)
{
    struct tare_request *request = exchange->request;
    const int status = request->answer.status;
    curl_off_t wait = 0;
    curl_easy_getinfo(exchange->easy, CURLINFO_RETRY_AFTER, &wait);
    const enum tare_code code = tare_hub_refusal(http->hub, request, &request->err);
    if (is_transient(status)) {
        const double pause = wait > 0 ? (double)wait + 0.1 : request->answer.limited + (request->answer.limited > 0);
        if (pause > PAUSE_MOST)
            tare_fail(&request->err, code, tare_hub_place(request).text,
                      "the hub answers %d and wants a pause of %.0f s: try again then", status, pause);
        if (status == 429) {
            const double until = seconds() + (pause > 0 ? pause : 1);
            http->most = 1;
            http->pause_until = until > http->pause_until ? until : http->pause_until;
        }
        again(http, exchange, pause, TRIES);
    } else if (request->abroad && (status == 400 || status == 401 || status == 403 || status == 410)) {
        again(http, exchange, exchange->tries ? 0 : 0.01, 3); /* a signed address that has run out */
    } else {
        fail(http, exchange, code);
    }
}

/* What went wrong on the way, as an error of the request. Returns how often it may be tried. */
static int broken(struct tare_http *http, struct tare_exchange *exchange, CURLcode result)
{
    struct tare_request *request = exchange->request;
    struct tare_origin origin = {.host = "?"};
    const struct tare_hub_place place = tare_hub_place(request);
    const char *why = *exchange->error ? exchange->error : curl_easy_strerror(result);
    (void)tare_url_origin(exchange->url, &origin, NULL);
    switch (result) {
    case CURLE_OUT_OF_MEMORY:
        tare_fail_memory(&request->err);
        return 0;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
        tare_fail(&request->err, TARE_E_IO, place.text, "%.200s is not trusted: %.150s; SSL_CERT_FILE names others",
                  origin.host, why);
        return 0;
    case CURLE_OPERATION_TIMEDOUT:
        tare_fail(&request->err, TARE_E_ABSENT, place.text,
                  "no answer from %.200s:%s in time: is the network up? HF_HUB_DOWNLOAD_TIMEOUT sets the seconds",
                  origin.host, origin.port);
        break;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
        tare_fail(&request->err, TARE_E_ABSENT, place.text,
                  "cannot reach %.200s:%s (%.120s): is the network up? HF_HUB_OFFLINE=1 uses only what is in the cache",
                  origin.host, origin.port, why);
        break;
    default:
        tare_fail(&request->err, TARE_E_ABSENT, place.text, "the connection to %.200s:%s broke (%.120s): try again",
                  origin.host, origin.port, why);
    }
    return http->reached ? TRIES : UNREACHED;
}

static void finish(struct tare_http *http, struct tare_exchange *exchange, CURLcode result)
{
    struct tare_request *request = exchange->request;
    const int status = request->answer.status;
    http->reached = http->reached || status;
    if (exchange->stop) {
        fail(http, exchange, exchange->stop);
    } else if (status >= 300 && status < 400 && *request->answer.location) {
        redirect(http, exchange);
    } else if (status && status != 200 && status != 206) {
        refused(http, exchange);
    } else if (result != CURLE_OK && !exchange->enough && request->got != request->size) {
        const int tries = broken(http, exchange, result);
        again(http, exchange, 0, tries);
    } else if (request->size != TARE_HTTP_UNKNOWN && request->got < request->size) {
        broken(http, exchange, CURLE_PARTIAL_FILE);
        again(http, exchange, 0, TRIES);
    } else {
        http->most = http->hub->connections;
        request->code = TARE_OK;
        end(http, exchange);
    }
}

/* ---- the loop -------------------------------------------------------------------------------------------------- */

static void start_waiting(struct tare_http *http)
{
    const double now = seconds();
    if (now < http->pause_until)
        return;
    for (struct tare_exchange *at = http->first, *next; at && http->running < http->most; at = next) {
        next = at->next;
        if (at->running || at->not_before > now)
            continue;
        at->received = &http->received;
        const enum tare_code code = tare_exchange_start(at, http->hub, &http->endpoint, &at->request->err);
        if (code || curl_multi_add_handle(http->multi, at->easy)) {
            fail(http, at, code ? code : tare_fail_memory(&at->request->err));
            return; /* done() may have changed the list */
        }
        at->running = true;
        http->running++;
    }
}

void tare_http_step(struct tare_http *http, int milliseconds)
{
    int running = 0, left = 0;
    start_waiting(http);
    curl_multi_perform(http->multi, &running);
    bool some = false;
    for (CURLMsg *message; (message = curl_multi_info_read(http->multi, &left));) {
        struct tare_exchange *exchange = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        const CURLcode result = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&exchange);
        finish(http, exchange, result);
        some = true;
    }
    if (!some && http->pending)
        curl_multi_poll(http->multi, NULL, 0, milliseconds, NULL);
}

void tare_http_wake(struct tare_http *http)
{
    curl_multi_wakeup(http->multi);
}

size_t tare_http_pending(const struct tare_http *http)
{
    return http->pending;
}

bool tare_http_reached(const struct tare_http *http)
{
    return http->reached;
}

uint64_t tare_http_received(const struct tare_http *http)
{
    return http->received;
}

enum tare_code tare_http_finish(struct tare_http *http, struct tare_error *err)
{
    const struct tare_hub *hub = http->hub;
    while (http->pending) {
        tare_http_step(http, 50);
        if (hub->progress && hub->progress(hub->user, "ask the hub", http->received, 0))
            return tare_fail(err, TARE_E_CANCELLED, "", "interrupted");
    }
    return TARE_OK;
}
