/* SPDX-License-Identifier: MIT
 * exchange.h - one try of a request: what is sent, and what may come back. Between transport.c and exchange.c only. */
#ifndef TARE_HUB_EXCHANGE_H
#define TARE_HUB_EXCHANGE_H

#include <curl/curl.h>

#include "hub/transport.h"
#include "hub/url.h"

struct tare_exchange {
    struct tare_exchange *next;
    struct tare_request *request;
    CURL *easy;
    struct curl_slist *headers;
    /* The address that is asked now: the request's own, or where a redirect led. */
    char *url;
    double not_before;
    int tries, hops;
    bool running;
    /* A redirect has led to another origin. */
    bool moved;
    /* The answer's head was held against the request. */
    bool judged;
    /* All that is wanted has come; curl's error of writing is ours. */
    bool enough;
    /* Bytes of a whole file, sent instead of a range, that come before the range. */
    uint64_t skip;
    /* Bytes of the body of an answer that is no success. */
    size_t dropped;
    /* Not 0: why it was ended from here; request->err has the sentence. */
    enum tare_code stop;
    uint64_t *received;
    char error[CURL_ERROR_SIZE];
};

/* Prepares `easy` for the next try. */
enum tare_code tare_exchange_start(struct tare_exchange *exchange, const struct tare_hub *hub,
                                   const struct tare_origin *endpoint, struct tare_error *err);
void tare_exchange_free(struct tare_exchange *exchange);

#endif
