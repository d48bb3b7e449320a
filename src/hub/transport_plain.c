/* SPDX-License-Identifier: MIT
 * transport_plain.c - in the place of transport.c where tare is built without libcurl: nothing can be asked for, and everything that
 * is in the cache works. */
#include <stdlib.h>

#include "hub/transport.h"
#include "hub/url.h"

enum tare_code tare_http_open(struct tare_http **http, const struct tare_hub *hub, struct tare_error *err)
{
    *http = NULL;
    return tare_fail(err, TARE_E_ABSENT, hub->endpoint,
                     "this tare was built without libcurl and cannot ask the hub; what is in the cache works");
}

void tare_http_free(struct tare_http *http)
{
    (void)http;
}

enum tare_code tare_http_add(struct tare_http *http, struct tare_request *request, struct tare_error *err)
{
    (void)http;
    free(request->url);
    request->url = NULL;
    return tare_fail(err, TARE_E_INTERNAL, "", "there is no transport");
}

void tare_http_drop(struct tare_http *http, struct tare_request *request)
{
    (void)http;
    (void)request;
}

void tare_http_step(struct tare_http *http, int milliseconds)
{
    (void)http;
    (void)milliseconds;
}

void tare_http_wake(struct tare_http *http)
{
    (void)http;
}

size_t tare_http_pending(const struct tare_http *http)
{
    (void)http;
    return 0;
}

bool tare_http_reached(const struct tare_http *http)
{
    (void)http;
    return false;
}

uint64_t tare_http_received(const struct tare_http *http)
{
    (void)http;
    return 0;
}

enum tare_code tare_http_finish(struct tare_http *http, struct tare_error *err)
{
    (void)http;
    (void)err;
    return TARE_OK;
}

enum tare_code tare_url_origin(const char *url, struct tare_origin *origin, struct tare_error *err)
{
    *origin = (struct tare_origin){0};
    return tare_fail(err, TARE_E_INTERNAL, url, "there is no transport");
}

bool tare_origin_same(const struct tare_origin *a, const struct tare_origin *b)
{
    (void)a;
    (void)b;
    return false;
}

bool tare_origin_is_loopback(const struct tare_origin *origin)
{
    (void)origin;
    return false;
}

char *tare_url_join(const char *from, const char *to)
{
    (void)from;
    (void)to;
    return NULL;
}
