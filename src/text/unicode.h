/* SPDX-License-Identifier: MIT
 * unicode.h - UTF-8, and the properties of code points as the reference (tokenizers 0.23) sees them. */
#ifndef TARE_TEXT_UNICODE_H
#define TARE_TEXT_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TARE_UNICODE_TOP 0x110000u

/* Sets as pairs of first and last code points; tare_unicode_<name> and its _count, in unicode_tables.c. */
/* clang-format off */
#define TARE_UNICODE_SETS(X)                                                                                           \
    X(posix_alnum) X(posix_alpha) X(posix_blank) X(posix_cntrl) X(posix_digit) X(posix_graph) X(posix_lower) \
    X(posix_print) X(posix_punct) X(posix_space) X(posix_upper) X(posix_word) X(posix_xdigit) X(word) \
    X(rust_word) X(numeric) X(punctuation) X(white) X(accents) X(nmt_dropped) X(nmt_space) \
    X(bert_dropped) X(bert_space) X(bert_chinese) X(bert_accents) X(no_decomposition) X(no_class) X(no_compose)
/* clang-format on */
/* Other tables: runs (first << 8 | value), and pairs of a code point and its image. */
#define TARE_UNICODE_TABLES(X) X(category) X(script) X(pre_script) X(grapheme) X(fold) X(lower)

#define TARE_UNICODE_DECLARE(name)                                                                                     \
    extern const uint32_t tare_unicode_##name[];                                                                       \
    extern const size_t tare_unicode_##name##_count;
TARE_UNICODE_SETS(TARE_UNICODE_DECLARE)
TARE_UNICODE_TABLES(TARE_UNICODE_DECLARE)
extern const char *const tare_unicode_script_name[];
extern const size_t tare_unicode_script_name_count;

/* Is c in a set? tare_unicode_in(white, c) */
#define tare_unicode_in(name, c) tare_unicode_within(tare_unicode_##name, tare_unicode_##name##_count, c)
bool tare_unicode_within(const uint32_t *pairs, size_t count, uint32_t c);
uint32_t tare_unicode_pre_script_of(uint32_t c);            /* class of UnicodeScripts, 0: any */
uint32_t tare_unicode_grapheme_of(uint32_t c);              /* class in grapheme clusters; see grapheme.c */
size_t tare_unicode_lowercase(uint32_t c, uint32_t out[2]); /* how many code points Lowercase makes of c */

/* Offset of the first byte that is no UTF-8, or size when all is. */
size_t tare_utf8_check(const char *text, size_t size);

/* Bytes of the character that starts with this byte; the text is valid. */
static inline size_t tare_utf8_size(char first)
{
    const unsigned char c = (unsigned char)first;
    return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

/* The character at text, which is valid UTF-8; *size receives its bytes. */
static inline uint32_t tare_utf8_get(const char *text, size_t *size)
{
    const unsigned char *s = (const unsigned char *)text;
    *size = tare_utf8_size(*text);
    switch (*size) {
    case 1:
        return s[0];
    case 2:
        return (s[0] & 0x1fu) << 6 | (s[1] & 0x3fu);
    case 3:
        return (s[0] & 0x0fu) << 12 | (s[1] & 0x3fu) << 6 | (s[2] & 0x3fu);
    default:
        return (s[0] & 0x07u) << 18 | (s[1] & 0x3fu) << 12 | (s[2] & 0x3fu) << 6 | (s[3] & 0x3fu);
    }
}

/* Write c to text (4 bytes of room) and return its bytes. */
size_t tare_utf8_put(char *text, uint32_t c);

#endif
