/* SPDX-License-Identifier: MIT
 * grapheme.c - extended grapheme clusters (UAX #29). */
#include "text/grapheme.h"

#include <stdbool.h>
#include <stdint.h>

#include "text/unicode.h"

/* The numbers are those of tools/unicode.py, except HANGUL_LV: the table has HANGUL for every syllable, and the code
 * point tells LV from LVT (see kind_of). */
enum cluster_kind {
    OTHER,
    CR,
    LF,
    CONTROL,
    EXTEND,
    ZWJ,
    SPACING,
    PREPEND,
    HANGUL_L,
    HANGUL_V,
    HANGUL_T,
    HANGUL,
    REGIONAL,
    PICTURE,
    CONSONANT,
    LINKER,
    ZWNJ,
    HANGUL_LV
};

/* The properties of a grapheme cluster that decide whether the next character joins it (Unicode Annex 29). */
struct cluster {
    enum cluster_kind last;
    /* It ends in an odd number of regional indicators, so that one more completes a flag. */
    bool odd;
    /* It ends in a picture and characters that extend it. */
    bool picture;
    /* It ends in such a picture and a ZWJ, so that another picture joins it (rule GB11). */
    bool joined;
    /* It ends in a consonant and characters that extend it. */
    bool conjunct;
    /* A linker is among the characters after that consonant, so that another consonant joins it (rule GB9c). */
    bool linked;
};

/* Hangul syllables from U+AC00 on stand in groups of 28: one LV, then its 27 LVT. */
static enum cluster_kind kind_of(uint32_t c)
{
    if (c >= 0x20 && c < 0x7f)
        return OTHER;
    const enum cluster_kind kind = (enum cluster_kind)(tare_unicode_grapheme_of(c));
    return kind == HANGUL && (c - 0xac00) % 28 == 0 ? HANGUL_LV : kind;
}

static bool extends(enum cluster_kind kind)
{
    return kind == EXTEND || kind == LINKER || kind == ZWNJ;
}

/* Rules GB6 to GB8: whether a Hangul letter or syllable continues the syllable before it. */
static bool hangul_goes_on(enum cluster_kind last, enum cluster_kind next)
{
    switch (last) {
    case HANGUL_L:
        return next == HANGUL_L || next == HANGUL_V || next == HANGUL_LV || next == HANGUL;
    case HANGUL_LV:
    case HANGUL_V:
        return next == HANGUL_V || next == HANGUL_T;
    case HANGUL:
    case HANGUL_T:
        return next == HANGUL_T;
    default:
        return false;
    }
}

/* Rules GB3 to GB13 of UAX #29: whether the next character belongs to the cluster. */
static bool goes_on(const struct cluster *cluster, enum cluster_kind next)
{
    const enum cluster_kind last = cluster->last;
    if (last == CR)
        return next == LF;
    if (last == LF || last == CONTROL || next == CR || next == LF || next == CONTROL)
        return false;
    if (extends(next) || next == ZWJ || next == SPACING || last == PREPEND)
        return true;
    return hangul_goes_on(last, next) || (next == CONSONANT && cluster->linked) ||
           (next == PICTURE && cluster->joined) || (next == REGIONAL && last == REGIONAL && cluster->odd);
}

/* Adds a character to the cluster. Each property is computed from the old ones before they are overwritten. */
static void take(struct cluster *cluster, enum cluster_kind next)
{
    cluster->last = next;
    cluster->odd = next == REGIONAL && !cluster->odd;
    cluster->joined = cluster->picture && next == ZWJ;
    cluster->picture = next == PICTURE || (cluster->picture && extends(next));
    const bool inner = cluster->conjunct && (next == EXTEND || next == LINKER || next == ZWJ);
    cluster->linked = inner && (cluster->linked || next == LINKER);
    cluster->conjunct = inner || next == CONSONANT;
}

/* Two ASCII characters never share a cluster, except CR LF, so most texts take the short way. */
size_t tare_grapheme_size(const char *text, size_t size)
{
    struct cluster cluster = {.last = OTHER};
    size_t at, bytes;
    if (size > 1 && (text[0] & 0x80) == 0 && (text[1] & 0x80) == 0 && text[0] != '\r')
        return 1;
    take(&cluster, kind_of(tare_utf8_get(text, &at)));
    for (; at < size; at += bytes) {
        const enum cluster_kind next = kind_of(tare_utf8_get(text + at, &bytes));
        if (!goes_on(&cluster, next))
            break;
        take(&cluster, next);
    }
    return at;
}
