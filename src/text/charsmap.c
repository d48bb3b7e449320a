/* SPDX-License-Identifier: MIT
 * charsmap.c - the normalizer Precompiled, SentencePiece's table of replacements. It has two parts: a double array
 * (Darts), which maps keys to numbers, and the replacement texts, in which these numbers are places. */
#include "text/charsmap.h"

#include <string.h>

#include "text/base64.h"
#include "text/grapheme.h"
#include "text/unicode.h"

/* A grapheme cluster of at most that many bytes is looked up as a whole. */
#define WHOLE_MOST 5

static uint32_t number_at(const char *bytes)
{
    const unsigned char *b = (const unsigned char *)bytes;
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

enum tare_code tare_charsmap_open(struct tare_text_step *step, const struct tare_step_source *source)
{
    struct tare_slice coded;
    const enum tare_code code = tare_source_text(source, "precompiled_charsmap", &coded);
    if (code)
        return code;
    size_t size;
    char *bytes = tare_arena_copy(source->arena, coded.text, coded.size);
    if (!bytes)
        return tare_fail_memory(source->err);
    if (!tare_base64_decode(bytes, coded.size, &size))
        return tare_fail(source->err, TARE_E_FORMAT, source->where, "precompiled_charsmap is no base64");
    return tare_charsmap_split(step, (struct tare_slice){bytes, (uint32_t)size}, source->where, source->err);
}

/* Layout: the size of the double array in bytes (uint32, little-endian), the array, then texts that end with NUL. */
enum tare_code tare_charsmap_split(struct tare_text_step *step, struct tare_slice bytes, const char *where,
                                   struct tare_error *err)
{
    const uint32_t array = bytes.size >= 4 ? number_at(bytes.text) : 0;
    if (bytes.size < 4 || array % 4 || array > bytes.size - 4)
        return tare_fail(err, TARE_E_FORMAT, where, "precompiled_charsmap: a table of %u bytes in %u", (unsigned)array,
                         (unsigned)bytes.size);
    step->literal = (struct tare_slice){bytes.text + 4, array};
    step->content = (struct tare_slice){bytes.text + 4 + array, bytes.size - 4 - array};
    if (tare_utf8_check(step->content.text, step->content.size) != step->content.size)
        return tare_fail(err, TARE_E_FORMAT, where, "precompiled_charsmap: its texts are no UTF-8");
    return TARE_OK;
}

/* ---- the double array: units of 32 bits -------------------------------------------------------------------------- */

/* Layout of a unit (Darts-clone): bits 0-7 label, bit 8 "a value follows", bit 9 "the offset is shifted by 8", bits
 * 10-30 offset; a unit with bit 31 set is a value in its lower 31 bits. */
static bool unit_at(const struct tare_slice *array, size_t at, uint32_t *unit)
{
    if (at >= array->size / 4)
        return false;
    *unit = number_at(array->text + 4 * at);
    return true;
}

/* The offset of a unit's children: 21 bits, times 256 when bit 9 is set. The child for a byte b is at (place ^ offset
 * ^ b). */
static uint32_t children_of(uint32_t unit)
{
    return unit >> 10 << ((unit & 1u << 9) >> 6);
}

/* Returns the size of the shortest or the longest key that the text begins with and stores its value, or returns 0
 * when there is none. */
static size_t find(const struct tare_slice *array, const char *text, size_t size, bool longest, uint32_t *value)
{
    size_t found = 0;
    uint32_t unit;
    size_t at = 0;
    if (!unit_at(array, 0, &unit))
        return 0;
    at = children_of(unit);
    for (size_t i = 0; i < size && text[i]; i++) {
        const unsigned char byte = (unsigned char)text[i];
        at ^= byte;
        if (!unit_at(array, at, &unit) || (unit & (1u << 31 | 0xff)) != byte)
            break;
        at ^= children_of(unit);
        if (!(unit >> 8 & 1))
            continue;
        if (!unit_at(array, at, &unit))
            break;
        *value = unit & 0x7fffffff;
        found = i + 1;
        if (!longest)
            break;
    }
    return found;
}

/* Finds the text at a place. Returns false for a place outside of the texts or in the middle of a character; such a
 * value of a damaged table counts as no key at all. */
static bool text_at(const struct tare_slice *texts, uint32_t at, struct tare_slice *with)
{
    if (at > texts->size)
        return false;
    const char *start = texts->text + at;
    const char *end = memchr(start, '\0', texts->size - at);
    *with = (struct tare_slice){start, end ? (uint32_t)(end - start) : texts->size - at};
    return !with->size || ((unsigned char)*start & 0xc0) != 0x80;
}

/* Finds what a text is replaced by. The reference takes the shortest key that the text begins with, not the longest,
 * and so does this. Returns false when the text stays as it is. */
static bool replacement_of(const struct tare_text_step *step, const char *text, size_t size, struct tare_slice *with)
{
    uint32_t at;
    return find(&step->literal, text, size, false, &at) && text_at(&step->content, at, with);
}

size_t tare_charsmap_longest(const struct tare_text_step *step, const char *text, size_t size, struct tare_slice *with)
{
    uint32_t at;
    const size_t n = find(&step->literal, text, size, true, &at);
    /* Only a damaged table has a key that ends within a character; it counts as none. */
    const bool whole = n && (n == size || ((unsigned char)text[n] & 0xc0) != 0x80);
    return whole && text_at(&step->content, at, with) ? n : 0;
}

/* Replaces each short grapheme cluster as a whole if it has a replacement, else each of its characters alone. */
enum tare_code tare_charsmap_run(const struct tare_text_step *step, const char *text, size_t size,
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
