/* SPDX-License-Identifier: MIT
 * url.h - addresses: their origin, what a redirect makes of them, and texts within them. */
#ifndef TARE_HUB_URL_H
#define TARE_HUB_URL_H

#include <stdbool.h>

#include "base/text.h"

/* Scheme, host and port; two addresses of one origin are one server. */
struct tare_origin {
    bool https;
    char host[256];
    char port[8];
};

/* Fails with TARE_E_FORMAT when it is no http or https address, or has a user's name in it. */
enum tare_code tare_url_origin(const char *url, struct tare_origin *origin, struct tare_error *err);
bool tare_origin_same(const struct tare_origin *a, const struct tare_origin *b);
/* localhost, 127.x.x.x or ::1: what is sent there does not leave the machine. */
bool tare_origin_is_loopback(const struct tare_origin *origin);

/* The address that `to`, absolute or relative, means on the page `from`. NULL when it is none or memory ran out; the
 * caller calls free(). */
char *tare_url_join(const char *from, const char *to);

/* Adds a text with everything quoted that could mean something in an address; slashes stay when asked for. */
void tare_url_quote(struct tare_text *url, const char *text, bool keep_slashes);

#endif
