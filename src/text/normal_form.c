/* SPDX-License-Identifier: MIT
 * normal_form.c - the normal forms NFC, NFD, NFKC and NFKD by utf8proc, held back to Unicode 9, which the
 * reference uses. Characters that came later are not decomposed, marks that came later have class 0, and pairs
 * that came later are not composed. */
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "text/tokenizer.h"
#include "text/unicode.h"

/* The most code points of one decomposition; the longest known, of U+FDFA, has 18. */
#define EXPANSION_MOST 32

/* The canonical combining class as Unicode 9 has it; 0 for a character that is no mark. */
static int class_of(int32_t c)
{
    const int class = utf8proc_get_property(c)->combining_class;
    return class && !tare_unicode_in(no_class, (uint32_t)c) ? class : 0;
}

/* Sorts the marks points[0 .. n) by class with a counting sort, which keeps equal ones in order. `spare` has room for
 * n code points. */
static void sort_marks(int32_t *points, size_t n, int32_t *spare)
{
    size_t count[257] = {0};
    for (size_t i = 0; i < n; i++)
        count[class_of(points[i]) + 1]++;
    for (size_t class = 1; class < 257; class ++)
        count[class] += count[class - 1];
    for (size_t i = 0; i < n; i++)
        spare[count[class_of(points[i])]++] = points[i];
    memcpy(points, spare, n * sizeof *points);
}

/* Puts each run of marks (class above 0) into canonical order; most runs are in order already. */
static void order(int32_t *points, size_t n, int32_t *spare)
{
    for (size_t i = 0; i < n;) {
        bool sorted = true;
        size_t end = i;
        for (int last = 0, class; end < n && (class = class_of(points[end])) != 0; end++, last = class)
            if (class < last)
                sorted = false;
        if (!sorted)
            sort_marks(points + i, end - i, spare);
        i = end + 1;
    }
}

/* Composes the code points. They are cut before each character that must not join what precedes it, and each part is
 * composed alone. Returns how many code points are left. */
static size_t compose(int32_t *points, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n;) {
        size_t end = i + 1;
        while (end < n && !(points[end] >= 0x300 && (tare_unicode_in(no_class, (uint32_t)points[end]) ||
                                                     tare_unicode_in(no_compose, (uint32_t)points[end]))))
            end++;
        memmove(points + kept, points + i, (end - i) * sizeof *points);
        const utf8proc_ssize_t left =
            utf8proc_normalize_utf32(points + kept, (utf8proc_ssize_t)(end - i), UTF8PROC_COMPOSE | UTF8PROC_STABLE);
        kept += left < 0 ? end - i : (size_t)left;
        i = end;
    }
    return kept;
}

/* Normalizes one stretch of text: decompose each character, sort the marks, compose for NFC and NFKC, write UTF-8. */
static enum tare_code normalize_run(enum tare_unicode_form form, const char *text, size_t size,
                                    struct tare_normal *normal, struct tare_text *out, struct tare_error *err)
{
    const utf8proc_option_t options =
        UTF8PROC_DECOMPOSE | UTF8PROC_STABLE | (form == TARE_NFKC || form == TARE_NFKD ? UTF8PROC_COMPAT : 0);
    size_t n = 0;
    for (size_t i = 0, bytes; i < size; i += bytes) {
        const int32_t c = (int32_t)tare_utf8_get(text + i, &bytes);
        if (!tare_grow(&normal->points, &normal->points_room, n + EXPANSION_MOST, sizeof *normal->points))
            return tare_fail_memory(err);
        int boundary = 0;
        utf8proc_ssize_t wrote = 0;
        if (!tare_unicode_in(no_decomposition, (uint32_t)c))
            wrote = utf8proc_decompose_char(c, normal->points + n, EXPANSION_MOST, options, &boundary);
        if (wrote <= 0 || wrote > EXPANSION_MOST) {
            normal->points[n] = c;
            wrote = 1;
        }
        n += (size_t)wrote;
    }
    if (!tare_grow(&normal->points, &normal->points_room, 2 * n, sizeof *normal->points))
        return tare_fail_memory(err);
    order(normal->points, n, normal->points + n);
    if (form == TARE_NFC || form == TARE_NFKC)
        n = compose(normal->points, n);
    for (size_t i = 0; i < n; i++) {
        char bytes[4];
        tare_text_add(out, bytes, tare_utf8_put(bytes, (uint32_t)normal->points[i]));
    }
    return TARE_OK;
}

/* The first code point that a form may change. Lower ones stay as they are, unless a mark after them composes with
 * them. */
static uint32_t inert_below(enum tare_unicode_form form)
{
    return form == TARE_NFC ? 0x300 : form == TARE_NFD ? 0xc0 : 0xa0;
}

/* Copies inert characters and normalizes only the stretches between them. A stretch takes in the inert character
 * before it, since a mark may compose with that. */
enum tare_code tare_normal_form(enum tare_unicode_form form, const char *text, size_t size, struct tare_normal *normal,
                                struct tare_text *out, struct tare_error *err)
{
    const uint32_t inert = inert_below(form);
    /* Text from this place on has not been written. */
    size_t from = 0;
    for (size_t i = 0, last = 0, bytes; i < size;) {
        if (tare_utf8_get(text + i, &bytes) < inert) {
            last = i;
            i += bytes;
            continue;
        }
        if (i > 0 && last < from)
            last = from;
        /* The character before may compose with what follows. */
        const size_t begin = i > from ? last : i;
        tare_text_add(out, text + from, begin - from);
        for (; i < size && tare_utf8_get(text + i, &bytes) >= inert;)
            i += bytes;
        const enum tare_code code = normalize_run(form, text + begin, i - begin, normal, out, err);
        if (code)
            return code;
        from = i;
    }
    tare_text_add(out, text + from, size - from);
    return out->failed ? tare_fail_memory(err) : TARE_OK;
}
