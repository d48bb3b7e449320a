/* SPDX-License-Identifier: MIT
 * http_parse.c - reads the lines of requests. Whatever two programs could understand differently is refused, since
 * that is how a request is smuggled past a proxy. */
#include "serve/http/http_parse.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

void http_request_release(struct http_request *r)
{
    free(r->path);
    free(r->host);
    free(r->origin);
    free(r->authorization);
    free(r->api_key);
    free(r->content_type);
    free(r->content_encoding);
    free(r->expect);
    free(r->body);
    memset(r, 0, sizeof *r);
}

/* May the byte stand in a token (RFC 9110, 5.6.2)? */
static bool is_token(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool all_tokens(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!is_token((unsigned char)text[i]))
            return false;
    return size > 0;
}

/* Splits an absolute target; *target then is its path. */
static bool take_absolute(struct http_request *r, struct http_lines *l, const char **target, size_t *size)
{
    const char *from = *target + (strncasecmp(*target, "https://", 8) == 0 ? 8 : 7);
    const char *end = *target + *size, *stop = from;
    while (stop < end && !strchr("/?#", *stop))
        stop++;
    if (stop == from)
        return false;
    r->host = strndup(from, (size_t)(stop - from));
    l->absolute = true;
    const bool path = stop < end && *stop == '/';
    *target = path ? stop : "/";
    *size = path ? (size_t)(end - stop) : 1;
    return r->host != NULL;
}

static bool take_version(struct http_request *r, const char *version, size_t size, struct serve_failure *f)
{
    if (size != 8 || memcmp(version, "HTTP/", 5) != 0 || version[6] != '.')
        return serve_fail(f, 400, NULL, "The request line has no HTTP version: is it HTTP?");
    if (version[5] != '1' || version[7] < '0' || version[7] > '9')
        return serve_fail(f, 505, NULL, "This server speaks HTTP/1.1 and HTTP/1.0.");
    r->http10 = version[7] == '0';
    return true;
}

bool http_parse_request_line(struct http_request *r, struct http_lines *l, const char *line, size_t size,
                             struct serve_failure *f)
{
    const char *first = memchr(line, ' ', size);
    const char *second = first ? memchr(first + 1, ' ', size - (size_t)(first + 1 - line)) : NULL;
    if (!second || !all_tokens(line, (size_t)(first - line)) || (size_t)(first - line) >= sizeof r->method)
        return serve_fail(f, 400, NULL, "The request line is not METHOD TARGET VERSION.");
    if (!take_version(r, second + 1, size - (size_t)(second + 1 - line), f))
        return false;
    memcpy(r->method, line, (size_t)(first - line));
    const char *target = first + 1;
    size_t n = (size_t)(second - target);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)target[i] <= 0x20 || target[i] == 0x7f)
            return serve_fail(f, 400, NULL, "The target has a control byte.");
    if (!strcmp(r->method, "CONNECT") || !strcmp(r->method, "TRACE"))
        return serve_fail(f, 501, NULL, "The method %s is not served.", r->method);
    if (n > 7 && (!strncasecmp(target, "http://", 7) || !strncasecmp(target, "https://", 8)) &&
        !take_absolute(r, l, &target, &n))
        return serve_fail(f, 400, NULL, "The target names no host.");
    if (n == 0 || (target[0] != '/' && !(n == 1 && target[0] == '*')))
        return serve_fail(f, 400, NULL, "The target is no path.");
    const char *query = memchr(target, '?', n);
    r->path = strndup(target, query ? (size_t)(query - target) : n);
    return r->path || serve_fail(f, 503, NULL, "Out of memory.");
}

static bool take_length(struct http_request *r, const char *value, size_t n, struct serve_failure *f)
{
    unsigned long long length = 0;
    if (r->has_length || n == 0)
        return serve_fail(f, 400, NULL, "Content-Length is there twice, or empty.");
    for (size_t i = 0; i < n; i++) {
        if (value[i] < '0' || value[i] > '9' || length > (1ull << 59))
            return serve_fail(f, 400, NULL, "Content-Length is not a decimal number.");
        length = length * 10 + (unsigned)(value[i] - '0');
    }
    r->has_length = true;
    r->length = length;
    return true;
}

static bool take_text(char **where, const char *value, size_t n, struct serve_failure *f)
{
    if (*where)
        return serve_fail(f, 400, NULL, "A header field that can come once came twice.");
    *where = strndup(value, n);
    return *where || serve_fail(f, 503, NULL, "Out of memory.");
}

/* The options of Connection, separated by commas. */
static void take_connection(struct http_lines *l, const char *value, size_t n)
{
    size_t i = 0;
    while (i < n) {
        while (i < n && (value[i] == ' ' || value[i] == ',' || value[i] == '\t'))
            i++;
        size_t end = i;
        while (end < n && value[end] != ',' && value[end] != ' ' && value[end] != '\t')
            end++;
        l->close |= end - i == 5 && !strncasecmp(value + i, "close", 5);
        l->keep_alive |= end - i == 10 && !strncasecmp(value + i, "keep-alive", 10);
        i = end;
    }
}

static bool is(const char *name, size_t n, const char *word)
{
    return n == strlen(word) && !strncasecmp(name, word, n);
}

static bool take_field(struct http_request *r, struct http_lines *l, const char *name, size_t n, const char *value,
                       size_t size, struct serve_failure *f)
{
    if (is(name, n, "content-length"))
        return take_length(r, value, size, f);
    if (is(name, n, "transfer-encoding")) {
        l->coding_seen++;
        r->chunked = is(value, size, "chunked");
        return r->chunked || serve_fail(f, 501, NULL, "The only Transfer-Encoding here is chunked.");
    }
    if (is(name, n, "host")) {
        if (l->host_seen)
            return serve_fail(f, 400, NULL, "There are two Host fields.");
        l->host_seen = true;
        return l->absolute || take_text(&r->host, value, size, f);
    }
    if (is(name, n, "connection")) {
        take_connection(l, value, size);
        return true;
    }
    const struct {
        const char *word;
        char **where;
    } texts[] = {{"origin", &r->origin},
                 {"authorization", &r->authorization},
                 {"x-api-key", &r->api_key},
                 {"content-type", &r->content_type},
                 {"content-encoding", &r->content_encoding},
                 {"expect", &r->expect}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (is(name, n, texts[i].word))
            return take_text(texts[i].where, value, size, f);
    return true;
}

bool http_parse_field(struct http_request *r, struct http_lines *l, const char *line, size_t size,
                      struct serve_failure *f)
{
    const char *colon = memchr(line, ':', size);
    if (line[0] == ' ' || line[0] == '\t')
        return serve_fail(f, 400, NULL, "A header line is folded.");
    if (!colon || !all_tokens(line, (size_t)(colon - line)))
        return serve_fail(f, 400, NULL, "A header line is not NAME: VALUE.");
    const char *value = colon + 1, *end = line + size;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    for (const char *p = value; p < end; p++)
        if (((unsigned char)*p < 0x20 && *p != '\t') || *p == 0x7f)
            return serve_fail(f, 400, NULL, "A header value has a control byte.");
    return take_field(r, l, line, (size_t)(colon - line), value, (size_t)(end - value), f);
}

bool http_parse_finish(struct http_request *r, const struct http_lines *l, struct serve_failure *f)
{
    if (!r->host && !r->http10)
        return serve_fail(f, 400, NULL, "The Host field is missing.");
    if (!l->host_seen && !r->http10)
        return serve_fail(f, 400, NULL, "The Host field is missing.");
    if (l->coding_seen && (r->has_length || r->http10 || l->coding_seen > 1))
        return serve_fail(f, 400, NULL, "Transfer-Encoding comes with Content-Length, twice, or in HTTP/1.0.");
    r->keep = r->http10 ? l->keep_alive && !l->close : !l->close;
    return true;
}

bool http_parse_chunk(const char *line, size_t size, unsigned long long *bytes)
{
    size_t i = 0;
    *bytes = 0;
    for (; i < size; i++) {
        const char c = line[i];
        const int digit = c >= '0' && c <= '9'   ? c - '0'
                          : c >= 'a' && c <= 'f' ? c - 'a' + 10
                          : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                 : -1;
        if (digit < 0)
            break;
        if (i >= 16)
            return false;
        *bytes = *bytes * 16 + (unsigned)digit;
    }
    const size_t digits = i;
    while (i < size && (line[i] == ' ' || line[i] == '\t'))
        i++;
    if (digits == 0 || (i < size ? line[i] != ';' : i > digits)) /* spaces may only come before an extension */
        return false;
    for (; i < size; i++)
        if (((unsigned char)line[i] < 0x20 && line[i] != '\t') || line[i] == 0x7f)
            return false;
    return true;
}
