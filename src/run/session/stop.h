/* SPDX-License-Identifier: MIT
 * stop.h - finds stop strings in a text that arrives in pieces. */
#ifndef TARE_RUN_SESSION_STOP_H
#define TARE_RUN_SESSION_STOP_H

#include "base/text.h"

/* The caller initializes it with zeros. */
struct tare_stops {
    char **strings; /* owned */
    size_t *sizes;  /* bytes of each; U+0000 may be among them */
    size_t n;
    struct tare_text held; /* may be the beginning of a stop string */
    size_t found;          /* the number of the one that is complete */
};
/* sizes: NULL means that each string ends with its NUL. */
enum tare_code tare_stops_open(struct tare_stops *stops, const char *const *strings, const size_t *sizes, size_t n,
                               struct tare_error *err);
void tare_stops_release(struct tare_stops *stops);
/*
 * Takes one more piece, and appends to `out` what is certainly not part of a stop string. *found tells that a stop
 * string is complete: out then has the text before it, and the rest is dropped. Of several stop strings the one that is
 * complete first counts, and of these the longest, so that it does not matter where the text was cut. tare_stops_end()
 * gives out what was held back.
 */
enum tare_code tare_stops_put(struct tare_stops *stops, const char *piece, size_t size, struct tare_text *out,
                              bool *found, struct tare_error *err);
enum tare_code tare_stops_end(struct tare_stops *stops, struct tare_text *out, struct tare_error *err);

#endif
