/* SPDX-License-Identifier: MIT
 * failure.h - why a request is refused: what becomes the status and the error object of its answer. */
#ifndef TARE_SERVE_FAILURE_H
#define TARE_SERVE_FAILURE_H

#include <stdbool.h>
#include <stddef.h>

struct evbuffer;

struct serve_failure {
    /* 0: there is none. */
    int status;
    /* The name of a field of the request; "": none. */
    char param[64];
    /* A word for programs, as "model_not_found"; NULL: none. Static. */
    const char *code;
    /* One line without control bytes. */
    char message[512];
    /* For the headers Allow and Retry-After; NULL and 0: none. Static. */
    const char *allow;
    int retry_after;
};

/* Fill a failure, unless it has one already. Returns false. */
bool serve_fail(struct serve_failure *failure, int status, const char *param, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The same with a code. */
bool serve_fail_code(struct serve_failure *failure, int status, const char *param, const char *code, const char *format,
                     ...) __attribute__((format(printf, 5, 6)));

/* A text of a request as a message may show it: at most 80 bytes, without control bytes. */
struct serve_quoted {
    char text[84];
};
struct serve_quoted serve_quote(const char *text, size_t size);

/* The word for a status in error objects: "invalid_request_error". */
const char *serve_failure_type(int status);

/* {"error": {..}} in OpenAI's form, or {"type": "error", ..} in Anthropic's. */
void serve_failure_put(const struct serve_failure *failure, bool anthropic, struct evbuffer *out);

/* ---- JSON that is written ---- */

void serve_put(struct evbuffer *out, const char *text);
/* A JSON string with its quotes. Bytes that are no UTF-8 become U+FFFD. */
void serve_put_json(struct evbuffer *out, const char *text, size_t size);
/* A number as JSON has it, whatever the locale; -9999 for what is no number. */
void serve_put_real(struct evbuffer *out, double value);

#endif
