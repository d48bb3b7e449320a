/* SPDX-License-Identifier: MIT
 * quote.c - texts within addresses. */
#include <string.h>

#include "hub/url.h"

void tare_url_quote(struct tare_text *url, const char *text, bool keep_slashes)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";
    for (; *text; text++) {
        if (strchr(plain, *text) || (keep_slashes && *text == '/'))
            tare_text_add(url, text, 1);
        else
            tare_text_format(url, "%%%02X", (unsigned)(unsigned char)*text);
    }
}
