/* SPDX-License-Identifier: MIT
 * answer.h - what the header lines of an answer say. */
#ifndef TARE_HUB_ANSWER_H
#define TARE_HUB_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A text that is longer than its field counts as absent, but for the message, which is cut. */
struct tare_answer {
    int status;
    /* X-Linked-Etag, else ETag, without W/ and quotes; "" when absent. */
    char etag[128];
    /* X-Error-Code and X-Error-Message. */
    char error[64];
    char message[200];
    /* Where a redirect leads; the page that Link calls "next". */
    char location[8192];
    char next[4096];
    /* Content-Range: bytes first-last/total. */
    bool ranged;
    uint64_t first, last, total;
    /* Content-Length. */
    bool sized;
    uint64_t length;
    /* Content-Encoding is there and not identity: the bytes are not the file's. */
    bool encoded;
    /* RateLimit: r is 0, and it takes so many seconds until it is not; 0: nothing is said. */
    double limited;
    /* There was an X-Linked-Etag. */
    bool linked;
    /* Bytes of all header lines, of this answer and of those that led to it. */
    size_t bytes;
};

/*
 * Reads one line. A status line begins a new answer and forgets the one before. Returns false when the lines together
 * are longer than any honest answer's.
 */
bool tare_answer_line(struct tare_answer *answer, const char *line, size_t n);

#endif
