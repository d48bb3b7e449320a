/* SPDX-License-Identifier: MIT
 * charsmap.c - the normalizer Precompiled: SentencePiece's table of replacements, a double array of bytes and the texts
 * that its values are places in. */
#include "text/charsmap.h"

#include <string.h>

#include "text/grapheme.h"
#include "text/unicode.h"

#define WHOLE_MOST 5 /* bytes of a cluster that is looked up as a whole */

static int sextet(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* In place; false where it is no base64. */
static bool from_base64(char *text, size_t size, size_t *out)
{
    size_t n = 0, padding = 0;
    uint32_t bits = 0;
    if (size % 4)
        return false;
    while (padding < 2 && padding < size && text[size - 1 - padding] == '=')
        padding++;
    for (size_t i = 0; i < size; i++) {
        const int six = i >= size - padding ? 0 : sextet(text[i]);
        if (six < 0)
            return false;
        bits = bits << 6 | (uint32_t)six;
        if (i % 4 != 3)
            continue;
        text[n++] = (char)(bits >> 16 & 0xff);
        text[n++] = (char)(bits >> 8 & 0xff);
        text[n++] = (char)(bits & 0xff);
        bits = 0;
    }
    *out = n - padding;
    return true;
}

static uint32_t number_at(const char *bytes)
{
    const unsigned char *b = (const unsigned char *)bytes;
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

enum tare_code tare_charsmap_open(struct tare_step *step, const struct tare_source *source)
{
    struct tare_slice coded;
    const enum tare_code code = tare_source_text(source, "precompiled_charsmap", &coded);
    if (code)
        return code;
    size_t size;
    char *bytes = tare_arena_copy(source->arena, coded.text, coded.size);
    if (!bytes)
        return tare_fail_memory(source->err);
    if (!from_base64(bytes, coded.size, &size))
        return tare_fail(source->err, TARE_E_FORMAT, source->where, "precompiled_charsmap is no base64");
    const uint32_t array = size >= 4 ? number_at(bytes) : 0;
    if (size < 4 || array % 4 || array > size - 4)
        return tare_fail(source->err, TARE_E_FORMAT, source->where, "precompiled_charsmap: a table of %u bytes in %zu",
                         (unsigned)array, size);
    step->literal = (struct tare_slice){bytes + 4, array};
    step->content = (struct tare_slice){bytes + 4 + array, (uint32_t)(size - 4 - array)};
    if (tare_utf8_check(step->content.text, step->content.size) != step->content.size)
        return tare_fail(source->err, TARE_E_FORMAT, source->where, "precompiled_charsmap: its texts are no UTF-8");
    return TARE_OK;
}

/* ---- the double array: units of 32 bits -------------------------------------------------------------------------- */

static bool unit_at(const struct tare_slice *array, size_t at, uint32_t *unit)
{
    if (at >= array->size / 4)
        return false;
    *unit = number_at(array->text + 4 * at);
    return true;
}

static uint32_t children_of(uint32_t unit)
{
    return unit >> 10 << ((unit & 1u << 9) >> 6);
}

/* The shortest key that text begins with: that, not the longest, is what the reference takes. */
static bool find(const struct tare_slice *array, const char *text, size_t size, uint32_t *value)
{
    uint32_t unit;
    size_t at = 0;
    if (!unit_at(array, 0, &unit))
        return false;
    at = children_of(unit);
    for (size_t i = 0; i < size && text[i]; i++) {
        const unsigned char byte = (unsigned char)text[i];
        at ^= byte;
        if (!unit_at(array, at, &unit) || (unit & (1u << 31 | 0xff)) != byte)
            return false;
        at ^= children_of(unit);
        if (!(unit >> 8 & 1))
            continue;
        if (!unit_at(array, at, &unit))
            return false;
        *value = unit & 0x7fffffff;
        return true;
    }
    return false;
}

/* What text is replaced by; false: it stays. A place outside of the texts, or within a character, counts for nothing.
 */
static bool replacement_of(const struct tare_step *step, const char *text, size_t size, struct tare_slice *with)
{
    const struct tare_slice *texts = &step->content;
    uint32_t at;
    if (!find(&step->literal, text, size, &at) || at > texts->size)
        return false;
    const char *start = texts->text + at;
    const char *end = memchr(start, '\0', texts->size - at);
    *with = (struct tare_slice){start, end ? (uint32_t)(end - start) : texts->size - at};
    return !with->size || ((unsigned char)*start & 0xc0) != 0x80;
}

enum tare_code tare_charsmap_run(const struct tare_step *step, const char *text, size_t size,
                                 struct tare_normal *normal, struct tare_text *out, struct tare_error *err)
{
    (void)normal, (void)err;
    for (size_t at = 0; at < size;) {
        struct tare_slice with;
        const size_t end = at + tare_grapheme_size(text + at, size - at);
        if (end - at <= WHOLE_MOST && replacement_of(step, text + at, end - at, &with)) {
            tare_text_add(out, with.text, with.size);
            at = end;
            continue;
        }
        for (size_t bytes; at < end; at += bytes) {
            bytes = tare_utf8_size(text[at]);
            if (replacement_of(step, text + at, bytes, &with))
                tare_text_add(out, with.text, with.size);
            else
                tare_text_add(out, text + at, bytes);
        }
    }
    return TARE_OK;
}
