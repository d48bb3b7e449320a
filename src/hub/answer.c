/* SPDX-License-Identifier: MIT
 * answer.c - reads header lines. They come from a server that nobody vouches for, so each field has a bound. */
#include "hub/answer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HEADERS_MOST ((size_t)256 << 10)

/* Copies n bytes; a text that does not fit becomes "". */
static void keep(char *to, size_t room, const char *text, size_t n)
{
    if (n >= room || memchr(text, '\0', n))
        n = 0;
    memcpy(to, text, n);
    to[n] = '\0';
}

static bool number(const char **text, const char *end, uint64_t *value)
{
    const char *at = *text;
    *value = 0;
    while (at < end && *at >= '0' && *at <= '9' && *value <= UINT64_MAX / 10 - 10)
        *value = 10 * *value + (uint64_t)(*at++ - '0');
    const bool some = at > *text && (at == end || *at < '0' || *at > '9');
    *text = at;
    return some;
}

static bool skip(const char **text, const char *end, const char *word)
{
    const size_t n = strlen(word);
    if ((size_t)(end - *text) < n || strncasecmp(*text, word, n) != 0)
        return false;
    *text += n;
    return true;
}

static void read_etag(struct tare_answer *answer, const char *text, size_t n, bool linked)
{
    if (answer->linked && !linked)
        return;
    if (n > 2 && memcmp(text, "W/", 2) == 0) {
        text += 2;
        n -= 2;
    }
    if (n >= 2 && text[0] == '"' && text[n - 1] == '"') {
        text++;
        n -= 2;
    }
    answer->linked = answer->linked || linked;
    /* An etag that does not fit is none of ours, but it must not look absent. */
    keep(answer->etag, sizeof answer->etag, n < sizeof answer->etag ? text : "?", n < sizeof answer->etag ? n : 1);
}

static void read_range(struct tare_answer *answer, const char *text, const char *end)
{
    answer->ranged = skip(&text, end, "bytes ") && number(&text, end, &answer->first) && skip(&text, end, "-") &&
                     number(&text, end, &answer->last) && skip(&text, end, "/") && number(&text, end, &answer->total) &&
                     text == end && answer->first <= answer->last && answer->last < answer->total;
}

/* RateLimit: "api";r=0;t=55 */
static void read_limit(struct tare_answer *answer, const char *text, const char *end)
{
    uint64_t left = 1, seconds = 0;
    for (; text < end; text++) {
        if (skip(&text, end, ";r="))
            number(&text, end, &left);
        if (skip(&text, end, ";t="))
            number(&text, end, &seconds);
    }
    answer->limited = left == 0 ? (double)seconds : 0;
}

/* Link: <URL>; rel="next", <URL>; rel="other" */
static void read_link(struct tare_answer *answer, const char *text, const char *end)
{
    while (text < end) {
        const char *open = memchr(text, '<', (size_t)(end - text));
        const char *close = open ? memchr(open, '>', (size_t)(end - open)) : NULL;
        if (!close)
            return;
        const char *comma = memchr(close, ',', (size_t)(end - close));
        const char *stop = comma ? comma : end;
        for (const char *at = close; at < stop; at++)
            if (skip(&at, stop, "rel=\"next\"")) {
                keep(answer->next, sizeof answer->next, open + 1, (size_t)(close - open) - 1);
                return;
            }
        text = stop + 1;
    }
}

static void read_field(struct tare_answer *answer, const char *name, size_t length, const char *value, size_t n)
{
    const char *end = value + n;
#define IS(word) (length == sizeof(word) - 1 && strncasecmp(name, word, length) == 0)
    if (IS("X-Linked-Etag"))
        read_etag(answer, value, n, true);
    else if (IS("ETag"))
        read_etag(answer, value, n, false);
    else if (IS("X-Error-Code"))
        keep(answer->error, sizeof answer->error, value, n);
    else if (IS("X-Error-Message"))
        keep(answer->message, sizeof answer->message, value,
             n < sizeof answer->message ? n : sizeof answer->message - 1);
    else if (IS("Location"))
        keep(answer->location, sizeof answer->location, value, n);
    else if (IS("Link"))
        read_link(answer, value, end);
    else if (IS("Content-Range"))
        read_range(answer, value, end);
    else if (IS("Content-Length"))
        answer->sized = number(&value, end, &answer->length) && value == end;
    else if (IS("Content-Encoding"))
        answer->encoded = !(n == 8 && strncasecmp(value, "identity", 8) == 0);
    else if (IS("RateLimit"))
        read_limit(answer, value, end);
#undef IS
}

bool tare_answer_line(struct tare_answer *answer, const char *line, size_t n)
{
    const size_t bytes = answer->bytes + n;
    if (n >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        const char *space = memchr(line, ' ', n), *at = space ? space + 1 : line + n;
        uint64_t status = 0;
        *answer = (struct tare_answer){.bytes = bytes};
        if (number(&at, line + n, &status) && status < 1000)
            answer->status = (int)status;
        return bytes <= HEADERS_MOST;
    }
    answer->bytes = bytes;
    const char *colon = memchr(line, ':', n), *end = line + n;
    while (end > line && strchr(" \t\r\n", end[-1]))
        end--;
    if (!colon || colon >= end)
        return bytes <= HEADERS_MOST;
    const char *value = colon + 1;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    read_field(answer, line, (size_t)(colon - line), value, (size_t)(end - value));
    return bytes <= HEADERS_MOST;
}
