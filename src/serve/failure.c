/* SPDX-License-Identifier: MIT
 * failure.c - errors as answers have them, and the few words of JSON that all answers are made of. */
#include "serve/failure.h"

#include <event2/buffer.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void fill(struct serve_failure *failure, int status, const char *param, const char *code, const char *format,
                 va_list args)
{
    if (failure->status)
        return;
    failure->status = status;
    failure->code = code;
    snprintf(failure->param, sizeof failure->param, "%s", param ? param : "");
    vsnprintf(failure->message, sizeof failure->message, format, args);
    for (char *p = failure->message; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' ';
}

bool serve_fail(struct serve_failure *failure, int status, const char *param, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fill(failure, status, param, status == 401 ? "invalid_api_key" : NULL, format, args);
    va_end(args);
    return false;
}

bool serve_fail_code(struct serve_failure *failure, int status, const char *param, const char *code, const char *format,
                     ...)
{
    va_list args;
    va_start(args, format);
    fill(failure, status, param, code, format, args);
    va_end(args);
    return false;
}

struct serve_quoted serve_quote(const char *text, size_t size)
{
    struct serve_quoted q;
    size_t n = size < 80 ? size : 80;
    while (n && n < size && ((unsigned char)text[n] & 0xc0) == 0x80) /* never end within a character */
        n--;
    for (size_t i = 0; i < n; i++)
        q.text[i] = (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? ' ' : text[i];
    snprintf(q.text + n, sizeof q.text - n, "%s", n < size ? ".." : "");
    return q;
}

const char *serve_failure_type(int status)
{
    switch (status) {
    case 401:
        return "authentication_error";
    case 403:
        return "permission_error";
    case 404:
        return "not_found_error";
    case 429:
        return "rate_limit_error";
    case 503:
        return "unavailable_error";
    default:
        return status >= 500 ? "server_error" : "invalid_request_error";
    }
}

void serve_failure_put(const struct serve_failure *failure, bool anthropic, struct evbuffer *out)
{
    serve_put(out, anthropic ? "{\"type\":\"error\",\"error\":{\"type\":\"" : "{\"error\":{\"message\":");
    if (anthropic) {
        serve_put(out, failure->status == 503   ? "overloaded_error"
                       : failure->status >= 500 ? "api_error"
                                                : serve_failure_type(failure->status));
        serve_put(out, "\",\"message\":");
    }
    serve_put_json(out, failure->message, strlen(failure->message));
    if (!anthropic) {
        evbuffer_add_printf(out, ",\"type\":\"%s\",\"param\":", serve_failure_type(failure->status));
        if (failure->param[0])
            serve_put_json(out, failure->param, strlen(failure->param));
        else
            serve_put(out, "null");
        serve_put(out, ",\"code\":");
        if (failure->code)
            serve_put_json(out, failure->code, strlen(failure->code));
        else
            serve_put(out, "null");
    }
    serve_put(out, "}}");
}

void serve_put(struct evbuffer *out, const char *text)
{
    evbuffer_add(out, text, strlen(text));
}

/* The bytes of the character at text, or 0 where there is none in UTF-8. */
static size_t character(const unsigned char *p, size_t size)
{
    const size_t n = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
    if (n == 0 || n > size)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    const bool wrong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] >= 0xa0) ||
                       (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] >= 0x90);
    return wrong ? 0 : n;
}

void serve_put_json(struct evbuffer *out, const char *text, size_t size)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t from = 0, i = 0;
    evbuffer_add(out, "\"", 1);
    while (i < size) {
        const size_t n = character(p + i, size - i);
        if (n > 1 || (n == 1 && p[i] >= 0x20 && p[i] != '"' && p[i] != '\\' && p[i] != 0x7f)) {
            i += n;
            continue;
        }
        evbuffer_add(out, text + from, i - from);
        if (n == 0)
            evbuffer_add(out, "\xef\xbf\xbd", 3);
        else if (p[i] == '\n')
            evbuffer_add(out, "\\n", 2);
        else if (p[i] == '"' || p[i] == '\\')
            evbuffer_add_printf(out, "\\%c", p[i]);
        else
            evbuffer_add_printf(out, "\\u%04x", p[i]);
        from = ++i;
    }
    evbuffer_add(out, text + from, i - from);
    evbuffer_add(out, "\"", 1);
}

void serve_put_real(struct evbuffer *out, double value)
{
    char number[40];
    if (!isfinite(value))
        value = -9999;
    snprintf(number, sizeof number, "%.9g", value);
    for (char *p = number; *p; p++)
        if (*p == ',')
            *p = '.';
    if (!strpbrk(number, ".e"))
        memcpy(number + strlen(number), ".0", 3);
    serve_put(out, number);
}
