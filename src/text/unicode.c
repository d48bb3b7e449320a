/* SPDX-License-Identifier: MIT
 * unicode.c - look-ups in the tables of unicode_tables.c, and UTF-8. */
#include "text/unicode.h"

/* Binary search for the first pair whose last code point is at or after c. */
bool tare_unicode_within(const uint32_t *pairs, size_t count, uint32_t c)
{
    size_t low = 0, high = count / 2;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (pairs[2 * middle + 1] < c)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count / 2 && pairs[2 * low] <= c;
}

/* Returns the value of the last run that starts at or before c. The first run starts at 0, so there always is one. */
static uint32_t value_of(const uint32_t *runs, size_t count, uint32_t c)
{
    size_t low = 0, high = count;
    while (low + 1 < high) {
        const size_t middle = (low + high) / 2;
        if (runs[middle] >> 8 <= c)
            low = middle;
        else
            high = middle;
    }
    return runs[low] & 0xff;
}

uint32_t tare_unicode_pre_script_of(uint32_t c)
{
    return value_of(tare_unicode_pre_script, tare_unicode_pre_script_count, c);
}

uint32_t tare_unicode_grapheme_of(uint32_t c)
{
    return value_of(tare_unicode_grapheme, tare_unicode_grapheme_count, c);
}

size_t tare_unicode_lowercase(uint32_t c, uint32_t out[2])
{
    out[0] = c;
    if (c < 0x80) {
        out[0] = c >= 'A' && c <= 'Z' ? c + 32 : c;
        return 1;
    }
    /* U+0130 is the only character whose lower case is two characters. */
    if (c == 0x130) {
        out[0] = 'i';
        out[1] = 0x307;
        return 2;
    }
    size_t low = 0, high = tare_unicode_lower_count / 2;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (tare_unicode_lower[2 * middle] < c)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < tare_unicode_lower_count / 2 && tare_unicode_lower[2 * low] == c)
        out[0] = tare_unicode_lower[2 * low + 1];
    return 1;
}

/* A lead byte says how many bytes follow: c2..df one, e0..ef two, f0..f4 three. c0 and c1 would be overlong. */
size_t tare_utf8_check(const char *text, size_t size)
{
    const unsigned char *s = (const unsigned char *)text;
    for (size_t i = 0; i < size;) {
        const unsigned char c = s[i];
        if (c < 0x80) {
            i++;
            continue;
        }
        const size_t n = c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
        if (!n || size - i < n)
            return i;
        for (size_t k = 1; k < n; k++)
            if ((s[i + k] & 0xc0) != 0x80)
                return i;
        /* Overlong forms, surrogates and what lies beyond U+10FFFF show in the second byte. */
        if ((c == 0xe0 && s[i + 1] < 0xa0) || (c == 0xed && s[i + 1] > 0x9f) || (c == 0xf0 && s[i + 1] < 0x90) ||
            (c == 0xf4 && s[i + 1] > 0x8f))
            return i;
        i += n;
    }
    return size;
}

size_t tare_utf8_put(char *text, uint32_t c)
{
    unsigned char *s = (unsigned char *)text;
    if (c < 0x80) {
        s[0] = (unsigned char)c;
        return 1;
    }
    if (c < 0x800) {
        s[0] = (unsigned char)(0xc0 | c >> 6);
        s[1] = (unsigned char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        s[0] = (unsigned char)(0xe0 | c >> 12);
        s[1] = (unsigned char)(0x80 | (c >> 6 & 0x3f));
        s[2] = (unsigned char)(0x80 | (c & 0x3f));
        return 3;
    }
    s[0] = (unsigned char)(0xf0 | c >> 18);
    s[1] = (unsigned char)(0x80 | (c >> 12 & 0x3f));
    s[2] = (unsigned char)(0x80 | (c >> 6 & 0x3f));
    s[3] = (unsigned char)(0x80 | (c & 0x3f));
    return 4;
}
