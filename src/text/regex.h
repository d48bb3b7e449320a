/* SPDX-License-Identifier: MIT
 * regex.h - regular expressions as Oniguruma (Ruby syntax, Unicode 16) reads them, run by PCRE2.
 *
 * Only the structure of a pattern is PCRE2's. Which characters a literal, class or escape takes is decided by our
 * tables: all code points that no set of the pattern tells apart become one symbol, a byte; text and pattern are
 * translated into symbols, and PCRE2 matches bytes. So results do not depend on its Unicode version, and every script
 * is as fast as ASCII.
 */
#ifndef TARE_TEXT_REGEX_H
#define TARE_TEXT_REGEX_H

#include "base/arena.h"
#include "text/charset.h"

/* A pattern taken apart: PCRE2 syntax between references to sets. */
struct tare_regex_item {
    int32_t set; /* -1: text */
    char text[16];
};
struct tare_regex_parts {
    struct tare_regex_item *items;
    size_t n_items, items_room;
    struct tare_charset *sets;
    size_t n_sets, sets_room;
};
/* parts is zeroed by the caller and released also after a failure. where names the place in error texts. */
enum tare_code tare_regex_parse(struct tare_regex_parts *parts, const char *pattern, size_t size, const char *where,
                                struct tare_error *err);
void tare_regex_parts_release(struct tare_regex_parts *parts);

struct tare_regex;
enum tare_code tare_regex_open(struct tare_regex **regex, const char *pattern, size_t size, const char *where,
                               struct tare_error *err);
void tare_regex_free(struct tare_regex *regex);

/* A walk over one text. Zero-initialise once, reuse for many texts and patterns; belongs to one thread. */
struct tare_matcher {
    const struct tare_regex *regex;
    const char *text;
    size_t size;
    unsigned char *symbols; /* one a character */
    size_t n, room;
    /* The text is ASCII, so symbols and bytes have the same offsets. */
    bool ascii;
    /* Where the search continues, in symbols. */
    size_t from;
    /* The end of the last match, in symbols; SIZE_MAX before the first one. */
    size_t last;
    /* One place in symbols and in bytes, from which offsets are translated. */
    size_t seen_symbol;
    size_t seen_byte;
    /* PCRE2's own data. */
    void *match;
    void *context;
    void *stack;
};
/* text is valid UTF-8 and borrowed until the next start. */
enum tare_code tare_matcher_start(struct tare_matcher *matcher, const struct tare_regex *regex, const char *text,
                                  size_t size, struct tare_error *err);
/* The next match in bytes; *found is false at the end. An empty match directly after the last one is skipped. */
enum tare_code tare_matcher_next(struct tare_matcher *matcher, bool *found, size_t *start, size_t *end,
                                 struct tare_error *err);
void tare_matcher_release(struct tare_matcher *matcher);

#endif
