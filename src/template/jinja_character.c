/* SPDX-License-Identifier: MIT
 * jinja_character.c - classes and cases of characters as Python's str has them, and stripping. */
#include <string.h>
#include <utf8proc.h>

#include "template/jinja.h"
#include "text/unicode.h"

/* The characters for which Python's str.isspace() is true. */
static bool is_space(uint32_t c)
{
    return (c >= 9 && c <= 13) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

/* Is c a digit that is no decimal digit: a superscript, a circled one and the like (Unicode's Numeric_Type=Digit)? */
static bool is_digit(uint32_t c)
{
    static const uint32_t pairs[] = {0xb2,    0xb3,    0xb9,    0xb9,    0x1369,  0x1371,  0x19da,  0x19da,
                                     0x2070,  0x2070,  0x2074,  0x2079,  0x2080,  0x2089,  0x2460,  0x2468,
                                     0x2474,  0x247c,  0x2488,  0x2490,  0x24ea,  0x24ea,  0x24f5,  0x24fd,
                                     0x24ff,  0x24ff,  0x2776,  0x277e,  0x2780,  0x2788,  0x278a,  0x2792,
                                     0x10a40, 0x10a43, 0x10e60, 0x10e68, 0x11052, 0x1105a, 0x1f100, 0x1f10a};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i += 2)
        if (c >= pairs[i] && c <= pairs[i + 1])
            return true;
    return false;
}

bool tare_jinja_class(enum tare_jinja_class kind, uint32_t c)
{
    if (kind == C_SPACE)
        return is_space(c);
    if (kind == C_WORD && c < 0x80)
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    const utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)c);
    const bool alpha = category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
    const bool number = category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO;
    switch (kind) {
    case C_ALPHA:
        return alpha;
    case C_DECIMAL:
        return category == UTF8PROC_CATEGORY_ND;
    case C_DIGIT:
        return category == UTF8PROC_CATEGORY_ND || is_digit(c);
    case C_NUMERIC:
        return number;
    case C_ALNUM:
        return alpha || number;
    case C_LOWER:
        return category == UTF8PROC_CATEGORY_LL || c == 0xaa || c == 0xba;
    case C_UPPER:
        return category == UTF8PROC_CATEGORY_LU;
    case C_TITLE:
        return category == UTF8PROC_CATEGORY_LT;
    default:
        return alpha || number || category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_MC;
    }
}

static void put(struct tare_jinja_state *s, struct tare_text *out, uint32_t c)
{
    char bytes[4];
    tare_jinja_add(s, out, bytes, tare_utf8_put(bytes, c));
}

/* Writes a character in upper case, or in title case. Some characters become several: these are the upper case of the
 * character's folding (U+00DF becomes SS). */
static void put_upper(struct tare_jinja_state *s, struct tare_text *out, uint32_t c, bool title)
{
    utf8proc_int32_t folded[8];
    int boundary = 0;
    const utf8proc_ssize_t n =
        c < 0x80 || tare_jinja_class(C_UPPER, c)
            ? 1
            : utf8proc_decompose_char((utf8proc_int32_t)c, folded, 8, UTF8PROC_CASEFOLD, &boundary);
    if (n < 2 || n > 8) {
        put(s, out, (uint32_t)(title ? utf8proc_totitle((utf8proc_int32_t)c) : utf8proc_toupper((utf8proc_int32_t)c)));
        return;
    }
    for (utf8proc_ssize_t i = 0; i < n; i++)
        put(s, out, (uint32_t)(title && i ? folded[i] : utf8proc_toupper(folded[i])));
}

/* Is the capital sigma (two bytes) at `at` the last letter of a word? Python then lowers it to U+03C2 instead of
 * U+03C3. */
static bool final_sigma(const char *text, size_t at, size_t size)
{
    size_t n, before = at;
    while (before > 0 && ((unsigned char)text[before - 1] & 0xc0) == 0x80)
        before--;
    if (!before)
        return false;
    before--;
    const bool after = at + 2 < size && tare_jinja_class(C_ALPHA, tare_utf8_get(text + at + 2, &n));
    return tare_jinja_class(C_ALPHA, tare_utf8_get(text + before, &n)) && !after;
}

static void put_lower(struct tare_jinja_state *s, struct tare_text *out, const char *text, size_t at, size_t size)
{
    size_t n;
    const uint32_t c = tare_utf8_get(text + at, &n);
    if (c == 0x3a3 && final_sigma(text, at, size))
        put(s, out, 0x3c2);
    else
        put(s, out, (uint32_t)utf8proc_tolower((utf8proc_int32_t)c));
    /* U+0130 keeps its dot, as a combining one. */
    if (c == 0x130)
        put(s, out, 0x307);
}

struct tare_jinja_value tare_jinja_case(struct tare_jinja_state *s, struct tare_jinja_value text,
                                        enum tare_jinja_case to)
{
    struct tare_text out = {0};
    /* True after a cased character, that is, inside a word. */
    bool inside = false;
    size_t n;
    for (size_t i = 0; i < text.size && !s->failed; i += n) {
        const uint32_t c = tare_utf8_get(text.as.text + i, &n);
        const bool cased = tare_jinja_class(C_LOWER, c) || tare_jinja_class(C_UPPER, c) || tare_jinja_class(C_TITLE, c);
        const bool raise = to == CASE_UPPER || (to == CASE_TITLE && !inside) || (to == CASE_CAPITAL && !i) ||
                           (to == CASE_SWAP && tare_jinja_class(C_LOWER, c));
        if (raise)
            put_upper(s, &out, c, to == CASE_TITLE || to == CASE_CAPITAL);
        else if (to == CASE_FOLD && c == 0xdf)
            tare_jinja_puts(s, &out, "ss");
        else
            put_lower(s, &out, text.as.text, i, text.size);
        inside = cased;
    }
    return tare_jinja_take(s, &out);
}

/* Is a character in a set? Without a text as set, white space is meant. */
static bool in_set(struct tare_jinja_value set, const char *character, size_t n)
{
    size_t m;
    if (set.kind != TARE_JINJA_TEXT)
        return is_space(tare_utf8_get(character, &n));
    for (size_t i = 0; i < set.size; i += m) {
        m = tare_utf8_size(set.as.text[i]);
        if (m == n && !memcmp(set.as.text + i, character, n))
            return true;
    }
    return false;
}

struct tare_jinja_value tare_jinja_strip(struct tare_jinja_value text, struct tare_jinja_value set, int ends)
{
    while (ends & STRIP_LEFT && text.size) {
        const size_t n = tare_utf8_size(*text.as.text);
        if (!in_set(set, text.as.text, n))
            break;
        text.as.text += n;
        text.size -= n;
    }
    while (ends & STRIP_RIGHT && text.size) {
        size_t n = 1;
        while (n < text.size && ((unsigned char)text.as.text[text.size - n] & 0xc0) == 0x80)
            n++;
        if (!in_set(set, text.as.text + text.size - n, n))
            break;
        text.size -= n;
    }
    return text;
}
