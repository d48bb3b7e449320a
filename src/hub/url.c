/* SPDX-License-Identifier: MIT
 * url.c - addresses, taken apart by libcurl, so that what is checked here is what is asked there. */
#include "hub/url.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool part(CURLU *url, CURLUPart which, char *to, size_t room)
{
    char *text = NULL;
    if (curl_url_get(url, which, &text, CURLU_DEFAULT_PORT) != CURLUE_OK)
        return false;
    const int n = snprintf(to, room, "%s", text);
    curl_free(text);
    return n > 0 && (size_t)n < room;
}

enum tare_code tare_url_origin(const char *text, struct tare_origin *origin, struct tare_error *err)
{
    char scheme[16] = "";
    CURLU *url = curl_url();
    if (!url)
        return tare_fail_memory(err);
    const bool good = curl_url_set(url, CURLUPART_URL, text, CURLU_DISALLOW_USER) == CURLUE_OK &&
                      part(url, CURLUPART_SCHEME, scheme, sizeof scheme) &&
                      part(url, CURLUPART_HOST, origin->host, sizeof origin->host) &&
                      part(url, CURLUPART_PORT, origin->port, sizeof origin->port);
    curl_url_cleanup(url);
    origin->https = strcasecmp(scheme, "https") == 0;
    if (!good || (!origin->https && strcasecmp(scheme, "http") != 0))
        return tare_fail(err, TARE_E_FORMAT, text, "is no http or https address, and nothing else is followed");
    return TARE_OK;
}

bool tare_origin_same(const struct tare_origin *a, const struct tare_origin *b)
{
    return a->https == b->https && strcasecmp(a->host, b->host) == 0 && strcmp(a->port, b->port) == 0;
}

bool tare_origin_is_loopback(const struct tare_origin *origin)
{
    const char *host = origin->host;
    const size_t n = strlen(host);
    return strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 ||
           (strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == n);
}

char *tare_url_join(const char *from, const char *to)
{
    char *text = NULL, *copy = NULL;
    CURLU *url = curl_url();
    if (url && curl_url_set(url, CURLUPART_URL, from, 0) == CURLUE_OK &&
        curl_url_set(url, CURLUPART_URL, to, CURLU_DISALLOW_USER) == CURLUE_OK &&
        curl_url_get(url, CURLUPART_URL, &text, 0) == CURLUE_OK)
        copy = strdup(text);
    curl_free(text);
    curl_url_cleanup(url);
    return copy;
}
