/* SPDX-License-Identifier: MIT
 * jinja_text.c - the methods of str. */
#define _GNU_SOURCE /* memmem */
#include <string.h>

#include "template/jinja_builtin.h"
#include "text/unicode.h"

static bool need_text(struct tare_jinja_state *s, struct tare_jinja_value v)
{
    if (v.kind == TARE_JINJA_TEXT)
        return true;
    if (v.kind == TARE_JINJA_UNDEFINED)
        tare_jinja_binary(s, T_ADD, v, v);
    else
        tare_jinja_fail(s, "must be str, not %s", tare_jinja_type(v));
    return false;
}

/* ---- stripping and cases ----------------------------------------------------------------------------------------- */

static struct tare_jinja_value strip(struct tare_jinja_state *s, const struct tare_jinja_value *a, int ends)
{
    if (a[1].kind != TARE_JINJA_ABSENT && a[1].kind != TARE_JINJA_NONE && a[1].kind != TARE_JINJA_TEXT)
        return tare_jinja_fail(s, "strip arg must be None or str");
    return tare_jinja_strip(a[0], a[1], ends);
}

BUILTIN_IS(strip_both, strip(s, a, STRIP_LEFT | STRIP_RIGHT));
BUILTIN_IS(strip_left, strip(s, a, STRIP_LEFT));
BUILTIN_IS(strip_right, strip(s, a, STRIP_RIGHT));
BUILTIN_IS(upper, tare_jinja_case(s, a[0], CASE_UPPER));
BUILTIN_IS(lower, tare_jinja_case(s, a[0], CASE_LOWER));
BUILTIN_IS(title, tare_jinja_case(s, a[0], CASE_TITLE));
BUILTIN_IS(capitalize, tare_jinja_case(s, a[0], CASE_CAPITAL));
BUILTIN_IS(swapcase, tare_jinja_case(s, a[0], CASE_SWAP));
BUILTIN_IS(casefold, tare_jinja_case(s, a[0], CASE_FOLD));

/* ---- finding ----------------------------------------------------------------------------------------------------- */

static const char *find(const char *text, size_t size, struct tare_jinja_value what)
{
    return what.size > size ? NULL : what.size ? memmem(text, size, what.as.text, what.size) : text;
}

static const char *find_last(const char *text, size_t size, struct tare_jinja_value what)
{
    for (size_t at = size + 1 - what.size; what.size <= size && at-- > 0;)
        if (!memcmp(text + at, what.as.text, what.size))
            return text + at;
    return NULL;
}

/* Cuts a[0] to the start and end in a[2] and a[3]. Returns false when they leave nothing, not even an empty text. */
static bool part(struct tare_jinja_state *s, const struct tare_jinja_value *a, struct tare_jinja_value *text,
                 size_t *skipped)
{
    const int64_t n = tare_jinja_length(s, a[0]);
    int64_t from = a[2].kind == TARE_JINJA_NONE ? 0 : tare_jinja_need_whole(s, a[2], 0),
            to = a[3].kind == TARE_JINJA_NONE ? n : tare_jinja_need_whole(s, a[3], n);
    from = from < 0 ? (from < -n ? 0 : from + n) : from;
    to = to < 0 ? (to < -n ? 0 : to + n) : to > n ? n : to;
    if (s->failed || from > to)
        return false;
    const size_t start = tare_jinja_offset(a[0].as.text, a[0].size, (size_t)from);
    *text = tare_jinja_text(a[0].as.text + start,
                            tare_jinja_offset(a[0].as.text + start, a[0].size - start, (size_t)(to - from)));
    *skipped = (size_t)from;
    return true;
}

static struct tare_jinja_value find_in(struct tare_jinja_state *s, const struct tare_jinja_value *a, bool last,
                                       bool must)
{
    struct tare_jinja_value text;
    size_t skipped = 0;
    const char *at = NULL;
    if (!need_text(s, a[1]) || !tare_jinja_spend(s, a[0].size / 64))
        return a[0];
    if (part(s, a, &text, &skipped))
        at = last ? find_last(text.as.text, text.size, a[1]) : find(text.as.text, text.size, a[1]);
    if (!at)
        return must ? tare_jinja_fail(s, "substring not found") : tare_jinja_whole(-1);
    return tare_jinja_whole((int64_t)(skipped + tare_jinja_characters(text.as.text, (size_t)(at - text.as.text))));
}

BUILTIN_IS(find_first, find_in(s, a, false, false));
BUILTIN_IS(find_right, find_in(s, a, true, false));
BUILTIN_IS(index_first, find_in(s, a, false, true));
BUILTIN_IS(index_right, find_in(s, a, true, true));

BUILTIN(count)
{
    struct tare_jinja_value text;
    size_t skipped = 0;
    int64_t n = 0;
    UNUSED;
    if (!need_text(s, a[1]) || !part(s, a, &text, &skipped))
        return tare_jinja_whole(0);
    if (!a[1].size)
        return tare_jinja_whole(tare_jinja_length(s, text) + 1);
    const char *p = text.as.text, *end = p + text.size;
    for (const char *at; (at = find(p, (size_t)(end - p), a[1])); n++)
        p = at + a[1].size;
    return tare_jinja_whole(n);
}

static struct tare_jinja_value affix(struct tare_jinja_state *s, const struct tare_jinja_value *a, bool end)
{
    struct tare_jinja_value text;
    size_t skipped = 0;
    const struct tare_jinja_value one = a[1], *items = &one;
    size_t n = 1;
    if (one.kind == TARE_JINJA_TUPLE) {
        items = one.as.list->items;
        n = one.as.list->n;
    }
    const bool any = part(s, a, &text, &skipped);
    for (size_t i = 0; i < n && !s->failed; i++) {
        if (items[i].kind != TARE_JINJA_TEXT)
            return tare_jinja_fail(s, "%s first arg must be str or a tuple of str, not %s",
                                   end ? "endswith" : "startswith", tare_jinja_type(items[i]));
        if (any && items[i].size <= text.size &&
            !memcmp(text.as.text + (end ? text.size - items[i].size : 0), items[i].as.text, items[i].size))
            return tare_jinja_bool(true);
    }
    return tare_jinja_bool(false);
}

BUILTIN_IS(starts, affix(s, a, false));
BUILTIN_IS(ends, affix(s, a, true));

BUILTIN(remove_prefix)
{
    UNUSED;
    if (!need_text(s, a[1]) || a[1].size > a[0].size || memcmp(a[0].as.text, a[1].as.text, a[1].size))
        return a[0];
    return tare_jinja_text(a[0].as.text + a[1].size, a[0].size - a[1].size);
}

BUILTIN(remove_suffix)
{
    UNUSED;
    if (!need_text(s, a[1]) || a[1].size > a[0].size ||
        memcmp(a[0].as.text + a[0].size - a[1].size, a[1].as.text, a[1].size))
        return a[0];
    return tare_jinja_text(a[0].as.text, a[0].size - a[1].size);
}

/* ---- splitting and joining --------------------------------------------------------------------------------------- */

static void split_space(struct tare_jinja_state *s, struct tare_jinja_list *list, struct tare_jinja_value text,
                        int64_t most)
{
    size_t n;
    text = tare_jinja_strip(text, tare_jinja_make(TARE_JINJA_NONE), STRIP_LEFT);
    while (text.size && !s->failed) {
        size_t at = 0;
        if (most-- == 0) {
            tare_jinja_list_add(s, list, tare_jinja_strip(text, tare_jinja_make(TARE_JINJA_NONE), STRIP_RIGHT));
            return;
        }
        while (at < text.size && !tare_jinja_class(C_SPACE, tare_utf8_get(text.as.text + at, &n)))
            at += n;
        tare_jinja_list_add(s, list, tare_jinja_text(text.as.text, at));
        text = tare_jinja_strip(tare_jinja_text(text.as.text + at, text.size - at), tare_jinja_make(TARE_JINJA_NONE),
                                STRIP_LEFT);
    }
}

static void split_at(struct tare_jinja_state *s, struct tare_jinja_list *list, struct tare_jinja_value text,
                     struct tare_jinja_value separator, int64_t most)
{
    const char *p = text.as.text, *end = p + text.size, *at;
    while (most-- != 0 && !s->failed && (at = find(p, (size_t)(end - p), separator))) {
        tare_jinja_list_add(s, list, tare_jinja_text(p, (size_t)(at - p)));
        p = at + separator.size;
    }
    tare_jinja_list_add(s, list, tare_jinja_text(p, (size_t)(end - p)));
}

static void reverse(struct tare_jinja_list *list)
{
    for (size_t i = 0; i < list->n / 2; i++) {
        const struct tare_jinja_value other = list->items[i];
        list->items[i] = list->items[list->n - 1 - i];
        list->items[list->n - 1 - i] = other;
    }
}

static void split_back(struct tare_jinja_state *s, struct tare_jinja_list *list, struct tare_jinja_value text,
                       struct tare_jinja_value separator, int64_t most)
{
    const char *at;
    while (most-- != 0 && !s->failed && (at = find_last(text.as.text, text.size, separator))) {
        const size_t from = (size_t)(at - text.as.text) + separator.size;
        tare_jinja_list_add(s, list, tare_jinja_text(text.as.text + from, text.size - from));
        text.size = (size_t)(at - text.as.text);
    }
    tare_jinja_list_add(s, list, text);
    reverse(list);
}

static void split_space_back(struct tare_jinja_state *s, struct tare_jinja_list *list, struct tare_jinja_value text,
                             int64_t most)
{
    text = tare_jinja_strip(text, tare_jinja_make(TARE_JINJA_NONE), STRIP_RIGHT);
    while (text.size && !s->failed) {
        if (most-- == 0) {
            tare_jinja_list_add(s, list, tare_jinja_strip(text, tare_jinja_make(TARE_JINJA_NONE), STRIP_LEFT));
            break;
        }
        size_t from = text.size, n;
        for (;;) {
            size_t before = from;
            while (before && ((unsigned char)text.as.text[before - 1] & 0xc0) == 0x80)
                before--;
            if (!before || tare_jinja_class(C_SPACE, tare_utf8_get(text.as.text + before - 1, &n)))
                break;
            from = before - 1;
        }
        tare_jinja_list_add(s, list, tare_jinja_text(text.as.text + from, text.size - from));
        text = tare_jinja_strip(tare_jinja_text(text.as.text, from), tare_jinja_make(TARE_JINJA_NONE), STRIP_RIGHT);
    }
    reverse(list);
}

static struct tare_jinja_value split_any(struct tare_jinja_state *s, const struct tare_jinja_value *a, bool back)
{
    const int64_t most = tare_jinja_need_whole(s, a[2], -1);
    struct tare_jinja_list *list = tare_jinja_list_new(s, 4);
    if (s->failed || !tare_jinja_spend(s, a[0].size / 64))
        return a[0];
    if (a[1].kind == TARE_JINJA_ABSENT || a[1].kind == TARE_JINJA_NONE) {
        if (back)
            split_space_back(s, list, a[0], most);
        else
            split_space(s, list, a[0], most);
    } else if (need_text(s, a[1])) {
        if (!a[1].size)
            return tare_jinja_fail(s, "empty separator");
        if (back)
            split_back(s, list, a[0], a[1], most);
        else
            split_at(s, list, a[0], a[1], most);
    }
    return tare_jinja_listed(TARE_JINJA_LIST, list);
}

BUILTIN_IS(split, split_any(s, a, false));
BUILTIN_IS(rsplit, split_any(s, a, true));

BUILTIN(splitlines)
{
    struct tare_jinja_list *list = tare_jinja_list_new(s, 4);
    const bool keep = tare_jinja_truth(a[1]);
    size_t from = 0, n = 0;
    UNUSED;
    for (size_t i = 0; i < a[0].size && !s->failed;) {
        const uint32_t c = tare_utf8_get(a[0].as.text + i, &n);
        const size_t at = i;
        i += n;
        if (!((c >= 10 && c <= 13) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 || c == 0x2029))
            continue;
        if (c == '\r' && i < a[0].size && a[0].as.text[i] == '\n')
            i++;
        tare_jinja_list_add(s, list, tare_jinja_text(a[0].as.text + from, (keep ? i : at) - from));
        from = i;
    }
    if (from < a[0].size)
        tare_jinja_list_add(s, list, tare_jinja_text(a[0].as.text + from, a[0].size - from));
    return tare_jinja_listed(TARE_JINJA_LIST, list);
}

static struct tare_jinja_value partition_at(struct tare_jinja_state *s, const struct tare_jinja_value *a, bool last)
{
    struct tare_jinja_list *list = tare_jinja_list_new(s, 3);
    if (!need_text(s, a[1]) || !a[1].size)
        return tare_jinja_fail(s, "empty separator");
    const struct tare_jinja_value text = a[0];
    const char *at = last ? find_last(text.as.text, text.size, a[1]) : find(text.as.text, text.size, a[1]);
    const size_t n = at ? (size_t)(at - text.as.text) : last ? 0 : text.size, m = at ? n + a[1].size : n;
    tare_jinja_list_add(s, list, tare_jinja_text(text.as.text, n));
    tare_jinja_list_add(s, list, tare_jinja_text(at ? at : "", at ? a[1].size : 0));
    tare_jinja_list_add(s, list, tare_jinja_text(text.as.text + m, text.size - m));
    return tare_jinja_listed(TARE_JINJA_TUPLE, list);
}

BUILTIN_IS(partition, partition_at(s, a, false));
BUILTIN_IS(rpartition, partition_at(s, a, true));

BUILTIN(join)
{
    struct tare_text out = {0};
    struct tare_jinja_walk walk;
    struct tare_jinja_value item;
    UNUSED;
    tare_jinja_walk_init(s, &walk, a[1]);
    for (int64_t i = 0; tare_jinja_walk_next(s, &walk, &item); i++) {
        if (item.kind != TARE_JINJA_TEXT)
            tare_jinja_fail(s, "sequence item %lld: expected str instance, %s found", (long long)i,
                            tare_jinja_type(item));
        if (i)
            tare_jinja_add_value(s, &out, a[0]);
        tare_jinja_add_value(s, &out, item);
    }
    return tare_jinja_take(s, &out);
}

BUILTIN(replace)
{
    struct tare_text out = {0};
    int64_t most = tare_jinja_need_whole(s, a[3], -1);
    UNUSED;
    if (s->failed || !need_text(s, a[1]) || !need_text(s, a[2]))
        return a[0];
    const char *p = a[0].as.text, *end = p + a[0].size, *at;
    if (a[1].size && !find(p, a[0].size, a[1]))
        return tare_jinja_spend(s, a[0].size / 64) ? a[0] : tare_jinja_make(TARE_JINJA_UNDEFINED);
    while (most != 0 && !s->failed && (at = find(p, (size_t)(end - p), a[1])) && tare_jinja_spend(s, 1)) {
        tare_jinja_add(s, &out, p, (size_t)(at - p));
        tare_jinja_add_value(s, &out, a[2]);
        p = at + a[1].size;
        most--;
        if (!a[1].size) {
            const size_t n = p < end ? tare_utf8_size(*p) : 0;
            tare_jinja_add(s, &out, p, n);
            p += n;
            if (!n)
                break;
        }
    }
    tare_jinja_add(s, &out, p, (size_t)(end - p));
    return tare_jinja_take(s, &out);
}

/* ---- width ------------------------------------------------------------------------------------------------------- */

static struct tare_jinja_value justify(struct tare_jinja_state *s, const struct tare_jinja_value *a, int where)
{
    struct tare_text out = {0};
    const int64_t n = tare_jinja_length(s, a[0]), width = tare_jinja_need_whole(s, a[1], 0),
                  room = width > n ? width - n : 0;
    const struct tare_jinja_value fill = a[2].kind == TARE_JINJA_ABSENT ? tare_jinja_text(" ", 1) : a[2];
    if (s->failed || !need_text(s, fill) || room > (int64_t)TARE_JINJA_TEXT_MOST)
        return tare_jinja_fail_limit(s, "a width is too large");
    const int64_t left = where < 0 ? 0 : where ? room : room / 2 + (room & width & 1);
    for (int64_t i = 0; i < left && !s->failed; i++)
        tare_jinja_add_value(s, &out, fill);
    tare_jinja_add_value(s, &out, a[0]);
    for (int64_t i = left; i < room && !s->failed; i++)
        tare_jinja_add_value(s, &out, fill);
    return tare_jinja_take(s, &out);
}

BUILTIN_IS(center, justify(s, a, 0));
BUILTIN_IS(ljust, justify(s, a, -1));
BUILTIN_IS(rjust, justify(s, a, 1));

BUILTIN(zfill)
{
    const bool sign = a[0].size && (*a[0].as.text == '-' || *a[0].as.text == '+');
    const struct tare_jinja_value digits = tare_jinja_text(a[0].as.text + sign, a[0].size - sign);
    const struct tare_jinja_value b[3] = {digits, tare_jinja_whole(tare_jinja_need_whole(s, a[1], 0) - sign),
                                          tare_jinja_text("0", 1)};
    UNUSED;
    return s->failed ? a[0] : tare_jinja_join(s, tare_jinja_text(a[0].as.text, sign), justify(s, b, 1));
}

BUILTIN(expandtabs)
{
    const int64_t size = tare_jinja_need_whole(s, a[1], 8);
    struct tare_text out = {0};
    int64_t column = 0;
    UNUSED;
    for (size_t i = 0; i < a[0].size && !s->failed; i++) {
        const char c = a[0].as.text[i];
        if (c != '\t') {
            tare_jinja_add(s, &out, &c, 1);
            column = c == '\n' || c == '\r' ? 0 : column + (((unsigned char)c & 0xc0) != 0x80);
            continue;
        }
        for (int64_t n = size > 0 ? size - column % size : 0; n > 0 && !s->failed; n--, column++)
            tare_jinja_puts(s, &out, " ");
    }
    return tare_jinja_take(s, &out);
}

/* ---- classes ----------------------------------------------------------------------------------------------------- */

static struct tare_jinja_value all(struct tare_jinja_value text, enum tare_jinja_class kind)
{
    size_t n;
    for (size_t i = 0; i < text.size; i += n)
        if (!tare_jinja_class(kind, tare_utf8_get(text.as.text + i, &n)))
            return tare_jinja_bool(false);
    return tare_jinja_bool(text.size > 0);
}

/* Is there a letter of the wanted case and none of the other? */
static struct tare_jinja_value cased(struct tare_jinja_value text, enum tare_jinja_class wanted,
                                     enum tare_jinja_class other)
{
    bool any = false;
    size_t n;
    for (size_t i = 0; i < text.size; i += n) {
        const uint32_t c = tare_utf8_get(text.as.text + i, &n);
        if (tare_jinja_class(other, c) || tare_jinja_class(C_TITLE, c))
            return tare_jinja_bool(false);
        any = any || tare_jinja_class(wanted, c);
    }
    return tare_jinja_bool(any);
}

BUILTIN_IS(is_digit, all(a[0], C_DIGIT));
BUILTIN_IS(is_decimal, all(a[0], C_DECIMAL));
BUILTIN_IS(is_numeric, all(a[0], C_NUMERIC));
BUILTIN_IS(is_alpha, all(a[0], C_ALPHA));
BUILTIN_IS(is_alnum, all(a[0], C_ALNUM));
BUILTIN_IS(is_space, all(a[0], C_SPACE));
BUILTIN_IS(is_lower, cased(a[0], C_LOWER, C_UPPER));
BUILTIN_IS(is_upper, cased(a[0], C_UPPER, C_LOWER));

BUILTIN(is_ascii)
{
    UNUSED;
    for (size_t i = 0; i < a[0].size; i++)
        if ((unsigned char)a[0].as.text[i] >= 0x80)
            return tare_jinja_bool(false);
    return tare_jinja_bool(true);
}

BUILTIN(is_printable)
{
    size_t n;
    UNUSED;
    for (size_t i = 0; i < a[0].size; i += n)
        if (!tare_jinja_printable(tare_utf8_get(a[0].as.text + i, &n)))
            return tare_jinja_bool(false);
    return tare_jinja_bool(true);
}

BUILTIN(is_title)
{
    bool inside = false, any = false;
    size_t n;
    UNUSED;
    for (size_t i = 0; i < a[0].size; i += n) {
        const uint32_t c = tare_utf8_get(a[0].as.text + i, &n);
        const bool up = tare_jinja_class(C_UPPER, c) || tare_jinja_class(C_TITLE, c),
                   low = tare_jinja_class(C_LOWER, c);
        if ((up && inside) || (low && !inside))
            return tare_jinja_bool(false);
        inside = up || low;
        any = any || up;
    }
    return tare_jinja_bool(any);
}

BUILTIN_IS(format, tare_jinja_format(s, a[0], args));

BUILTIN(format_map)
{
    UNUSED;
    if (a[1].kind != TARE_JINJA_DICT)
        return tare_jinja_fail(s, "format_map takes a mapping");
    const struct tare_jinja_args named = {.named = a[1].as.dict->pairs, .n_named = a[1].as.dict->n};
    return tare_jinja_format(s, a[0], &named);
}

BUILTIN(encode)
{
    struct tare_jinja_value bytes = a[0];
    UNUSED;
    if (a[1].kind == TARE_JINJA_TEXT && !tare_jinja_is(a[1], "utf-8") && !tare_jinja_is(a[1], "utf8"))
        return tare_jinja_fail(s, "only utf-8 can be encoded to");
    bytes.kind = TARE_JINJA_BYTES;
    return bytes;
}

const struct tare_jinja_builtin tare_jinja_text_methods[] = {{"strip", strip_both, "?chars"},
                                                             {"lstrip", strip_left, "?chars"},
                                                             {"rstrip", strip_right, "?chars"},
                                                             {"split", split, "?sep ?maxsplit"},
                                                             {"rsplit", rsplit, "?sep ?maxsplit"},
                                                             {"startswith", starts, "prefix ?start ?end"},
                                                             {"endswith", ends, "suffix ?start ?end"},
                                                             {"replace", replace, "old new ?count"},
                                                             {"upper", upper, ""},
                                                             {"lower", lower, ""},
                                                             {"title", title, ""},
                                                             {"capitalize", capitalize, ""},
                                                             {"swapcase", swapcase, ""},
                                                             {"casefold", casefold, ""},
                                                             {"find", find_first, "sub ?start ?end"},
                                                             {"rfind", find_right, "sub ?start ?end"},
                                                             {"index", index_first, "sub ?start ?end"},
                                                             {"rindex", index_right, "sub ?start ?end"},
                                                             {"count", count, "sub ?start ?end"},
                                                             {"join", join, "iterable"},
                                                             {"format", format, "*"},
                                                             {"format_map", format_map, "mapping"},
                                                             {"partition", partition, "sep"},
                                                             {"rpartition", rpartition, "sep"},
                                                             {"splitlines", splitlines, "?keepends"},
                                                             {"removeprefix", remove_prefix, "prefix"},
                                                             {"removesuffix", remove_suffix, "suffix"},
                                                             {"center", center, "width ?fillchar"},
                                                             {"ljust", ljust, "width ?fillchar"},
                                                             {"rjust", rjust, "width ?fillchar"},
                                                             {"zfill", zfill, "width"},
                                                             {"expandtabs", expandtabs, "?tabsize"},
                                                             {"isdigit", is_digit, ""},
                                                             {"isdecimal", is_decimal, ""},
                                                             {"isnumeric", is_numeric, ""},
                                                             {"isalpha", is_alpha, ""},
                                                             {"isalnum", is_alnum, ""},
                                                             {"isspace", is_space, ""},
                                                             {"islower", is_lower, ""},
                                                             {"isupper", is_upper, ""},
                                                             {"istitle", is_title, ""},
                                                             {"isascii", is_ascii, ""},
                                                             {"isprintable", is_printable, ""},
                                                             {"encode", encode, "?encoding ?errors"},
                                                             {NULL, NULL, NULL}};
