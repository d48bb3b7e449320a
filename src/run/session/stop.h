/* SPDX-License-Identifier: MIT
 * stop.h - stop strings in a text that comes in pieces. */
#ifndef TARE_RUN_SESSION_STOP_H
#define TARE_RUN_SESSION_STOP_H

#include "base/text.h"

/* Zero-initialise. */
struct tare_stops {
    char **strings; /* owned */
    size_t n;
    struct tare_text held; /* may be the beginning of a stop string */
};
enum tare_code tare_stops_open(struct tare_stops *stops, const char *const *strings, size_t n, struct tare_error *err);
void tare_stops_release(struct tare_stops *stops);
/*
 * A piece more: `out` receives what is certainly no part of a stop string. *found: one is complete; out has what stands
 * before it, the rest is dropped. Of several the one that is complete first counts, of these the longest, so that it
 * does not matter how the text was cut. tare_stops_end() gives what was held back.
 */
enum tare_code tare_stops_put(struct tare_stops *stops, const char *piece, size_t size, struct tare_text *out,
                              bool *found, struct tare_error *err);
enum tare_code tare_stops_end(struct tare_stops *stops, struct tare_text *out, struct tare_error *err);

#endif
