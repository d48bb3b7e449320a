/* SPDX-License-Identifier: MIT
 * exchange.c - one try of a request: sets curl up, and bounds everything that comes back. */
#include "hub/exchange.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hub/refusal.h"

/* Bytes read of an answer that is no success: as much keeps the connection, more is not worth it. */
#define DROP_MOST ((size_t)64 << 10)
#define BUFFER ((long)512 << 10)
/* Bytes a second below which a connection counts as dead when it lasts. */
#define SLOWEST 1024L

void tare_exchange_free(struct tare_exchange *exchange)
{
    curl_easy_cleanup(exchange->easy);
    curl_slist_free_all(exchange->headers);
    free(exchange->url);
    free(exchange);
}

/* ---- what comes back ------------------------------------------------------------------------------------------- */

static enum tare_code judge_range(const struct tare_request *request, const char *place, struct tare_error *err)
{
    const struct tare_answer *answer = &request->answer;
    const uint64_t last = request->first + request->size - 1;
    if (!request->ranged || !answer->ranged)
        return tare_fail(err, TARE_E_FORMAT, place, "the server sends a part (206) %s",
                         request->ranged ? "and does not say which" : "where the whole was asked for");
    if (answer->first != request->first || answer->last != last)
        return tare_fail(err, TARE_E_FORMAT, place,
                         "the server sends bytes %" PRIu64 " to %" PRIu64 ", and %" PRIu64 " to %" PRIu64
                         " were asked for",
                         answer->first, answer->last, request->first, last);
    if (request->total != TARE_HTTP_UNKNOWN && answer->total != request->total)
        return tare_fail(err, TARE_E_FORMAT, place,
                         "the server's file has %" PRIu64 " bytes, the hub's list says %" PRIu64, answer->total,
                         request->total);
    return TARE_OK;
}

/* Holds the head of a success against what was asked for. */
static enum tare_code judge(struct tare_exchange *exchange, struct tare_error *err)
{
    struct tare_request *request = exchange->request;
    const struct tare_answer *answer = &request->answer;
    const struct tare_hub_place place = tare_hub_place(request);
    const bool part = answer->status == 206;
    const uint64_t whole = request->ranged && !part ? request->total : request->size;
    exchange->judged = true;
    if (answer->encoded)
        return tare_fail(err, TARE_E_FORMAT, place.text,
                         "the server sends it compressed, which was not asked for: nothing is unpacked");
    const enum tare_code code = part ? judge_range(request, place.text, err) : TARE_OK;
    if (code)
        return code;
    if (answer->sized && whole != TARE_HTTP_UNKNOWN && answer->length != whole)
        return tare_fail(err, TARE_E_FORMAT, place.text,
                         "the server announces %" PRIu64 " bytes where %" PRIu64 " are expected", answer->length,
                         whole);
    exchange->skip = request->ranged && !part ? request->first : 0;
    return request->head ? request->head(request, err) : TARE_OK;
}

static bool is_success(const struct tare_request *request)
{
    return request->answer.status == 200 || request->answer.status == 206;
}

static size_t take_header(char *line, size_t size, size_t n, void *user)
{
    struct tare_exchange *exchange = user;
    struct tare_request *request = exchange->request;
    if (exchange->judged) /* a trailer after the body */
        return size * n;
    if (!tare_answer_line(&request->answer, line, size * n))
        exchange->stop = tare_fail(&request->err, TARE_E_FORMAT, tare_hub_place(request).text,
                                   "the server sends header lines without end");
    else if (n <= 2 && is_success(request))
        exchange->stop = judge(exchange, &request->err);
    return exchange->stop ? 0 : size * n;
}

static size_t take_body(char *bytes, size_t size, size_t n, void *user)
{
    struct tare_exchange *exchange = user;
    struct tare_request *request = exchange->request;
    const size_t all = size * n;
    n = all;
    *exchange->received += n;
    if (!is_success(request)) {
        exchange->dropped += n;
        return exchange->dropped <= DROP_MOST ? all : 0;
    }
    if (exchange->skip) {
        const size_t skipped = n < exchange->skip ? n : (size_t)exchange->skip;
        exchange->skip -= skipped;
        bytes += skipped;
        n -= skipped;
    }
    const bool known = request->size != TARE_HTTP_UNKNOWN;
    const uint64_t left = (known ? request->size : request->most) - request->got;
    const bool whole_for_part = request->ranged && request->answer.status == 200;
    if (n > left && !whole_for_part) {
        exchange->stop = tare_fail(&request->err, TARE_E_FORMAT, tare_hub_place(request).text,
                                   "the server sends more than the %" PRIu64 " bytes that %s", request->got + left,
                                   known ? "are expected" : "such an answer may have");
        return 0;
    }
    n = n > left ? (size_t)left : n;
    if (n)
        exchange->stop = request->body(request, bytes, n, &request->err);
    request->got += n;
    exchange->enough = whole_for_part && request->got == request->size;
    return exchange->stop || exchange->enough ? 0 : all;
}

/* ---- what is sent ---------------------------------------------------------------------------------------------- */

/* The token goes to the endpoint alone, and in clear text only to this machine. */
static bool may_send_token(const struct tare_hub *hub, const struct tare_origin *endpoint, const struct tare_origin *to)
{
    return hub->token && tare_origin_same(endpoint, to) && (to->https || tare_origin_is_loopback(to));
}

static bool set_headers(struct tare_exchange *exchange, const char *token)
{
    char line[2048];
    curl_slist_free_all(exchange->headers);
    exchange->headers = curl_slist_append(NULL, "Accept-Encoding: identity");
    if (token && exchange->headers) {
        const int n = snprintf(line, sizeof line, "Authorization: Bearer %s", token);
        struct curl_slist *more = n > 0 && (size_t)n < sizeof line ? curl_slist_append(exchange->headers, line) : NULL;
        if (!more)
            return false;
        exchange->headers = more;
    }
    return exchange->headers && curl_easy_setopt(exchange->easy, CURLOPT_HTTPHEADER, exchange->headers) == CURLE_OK;
}

static void set_transport(CURL *easy, const struct tare_hub *hub, bool https)
{
    const char *proxy = https ? hub->https_proxy : hub->http_proxy;
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, hub->user_agent);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, BUFFER);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, (long)hub->connect_seconds);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, SLOWEST);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)hub->idle_seconds);
    curl_easy_setopt(easy, CURLOPT_PROXY, proxy ? proxy : ""); /* "": none, whatever the environment says */
    curl_easy_setopt(easy, CURLOPT_NOPROXY, hub->no_proxy ? hub->no_proxy : "");
    if (hub->ca_file)
        curl_easy_setopt(easy, CURLOPT_CAINFO, hub->ca_file);
}

enum tare_code tare_exchange_start(struct tare_exchange *exchange, const struct tare_hub *hub,
                                   const struct tare_origin *endpoint, struct tare_error *err)
{
    struct tare_request *request = exchange->request;
    struct tare_origin to;
    const bool fresh = !exchange->url;
    if (fresh)
        exchange->url = strdup(request->url);
    if (!exchange->url || (!exchange->easy && !(exchange->easy = curl_easy_init())))
        return tare_fail_memory(err);
    const enum tare_code code = tare_url_origin(exchange->url, &to, err);
    if (code)
        return code;
    if (fresh) {
        exchange->hops = 0;
        exchange->moved = !tare_origin_same(endpoint, &to);
    }
    curl_easy_reset(exchange->easy);
    set_transport(exchange->easy, hub, to.https);
    if (!set_headers(exchange, may_send_token(hub, endpoint, &to) ? hub->token : NULL) ||
        curl_easy_setopt(exchange->easy, CURLOPT_URL, exchange->url) != CURLE_OK)
        return tare_fail_memory(err);
    if (request->ranged) {
        char range[64];
        snprintf(range, sizeof range, "%" PRIu64 "-%" PRIu64, request->first, request->first + request->size - 1);
        curl_easy_setopt(exchange->easy, CURLOPT_RANGE, range);
    }
    curl_easy_setopt(exchange->easy, CURLOPT_PRIVATE, exchange);
    curl_easy_setopt(exchange->easy, CURLOPT_ERRORBUFFER, exchange->error);
    curl_easy_setopt(exchange->easy, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(exchange->easy, CURLOPT_HEADERDATA, exchange);
    curl_easy_setopt(exchange->easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(exchange->easy, CURLOPT_WRITEDATA, exchange);
    request->answer = (struct tare_answer){0};
    request->from = exchange->url;
    request->abroad = !tare_origin_same(endpoint, &to);
    request->got = 0;
    exchange->judged = exchange->enough = false;
    exchange->skip = 0;
    exchange->dropped = 0;
    exchange->stop = TARE_OK;
    exchange->error[0] = '\0';
    return TARE_OK;
}
