/* SPDX-License-Identifier: MIT
 * scan.h - a JSON document as a stream of events: yajl, and the strictness that it lacks. */
#ifndef TARE_OPEN_SCAN_H
#define TARE_OPEN_SCAN_H

#include <yajl/yajl_parse.h>

#include "base/arena.h"

/*
 * Run callbacks over one JSON document of n bytes. A callback that refuses fills err by tare_fail() and returns 0; err
 * must not be NULL. Refused besides what the callbacks refuse: what is no JSON, text after the document, bytes that are
 * no UTF-8, escapes that are half a surrogate pair (yajl reads both as something else). file names the document in
 * errors, `what` is what it is: "the header", "the index".
 */
enum tare_code tare_scan(const char *file, const char *what, const char *text, size_t n,
                         const yajl_callbacks *callbacks, void *context, struct tare_error *err);

/* A number's spelling as an integer in [0, 2^63 - 1]; false for signs, fractions, exponents and what is larger. */
bool tare_scan_integer(const char *digits, size_t n, uint64_t *value);

/* Text from a file, made fit for one line of an error: at most 64 bytes, control characters as '?'. */
struct tare_scan_word {
    char text[72];
};
struct tare_scan_word tare_scan_word(const void *bytes, size_t n);

#endif
