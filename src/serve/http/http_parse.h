/* SPDX-License-Identifier: MIT
 * http_parse.h - the lines of a request, strictly by RFC 9110 and 9112. */
#ifndef TARE_SERVE_HTTP_PARSE_H
#define TARE_SERVE_HTTP_PARSE_H

#include "serve/http/http.h"

/* What the lines so far said beside the request itself. */
struct http_lines {
    bool host_seen;
    bool absolute;
    int coding_seen;
    int close;
    int keep_alive;
};

/* Each returns false when the line is refused; then failure says why. A line has no CRLF and may hold a NUL. */
bool http_parse_request_line(struct http_request *r, struct http_lines *l, const char *line, size_t size,
                             struct serve_failure *f);
bool http_parse_field(struct http_request *r, struct http_lines *l, const char *line, size_t size,
                      struct serve_failure *f);
/* After the last field. */
bool http_parse_finish(struct http_request *r, const struct http_lines *l, struct serve_failure *f);

/* The size in a line before a chunk. */
bool http_parse_chunk(const char *line, size_t size, unsigned long long *bytes);

void http_request_release(struct http_request *r);

#endif
