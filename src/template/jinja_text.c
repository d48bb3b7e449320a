/* SPDX-License-Identifier: MIT
 * jinja_text.c - the methods of str. */
#define _GNU_SOURCE /* memmem */
#include <string.h>

#include "template/jinja.h"
#include "text/unicode.h"

#define METHOD(name) static struct j_value name(struct j_state *s, const struct j_value *a, const struct j_args *args)
#define UNUSED (void)s, (void)args

static bool need_text(struct j_state *s, struct j_value v)
{
    if (v.kind == J_TEXT)
        return true;
    if (v.kind == J_UNDEFINED)
        j_binary(s, T_ADD, v, v);
    else
        j_fail(s, "must be str, not %s", j_type(v));
    return false;
}

/* ---- stripping and cases ----------------------------------------------------------------------------------------- */

static struct j_value strip(struct j_state *s, const struct j_value *a, int ends)
{
    if (a[1].kind != J_ABSENT && a[1].kind != J_NONE && a[1].kind != J_TEXT)
        return j_fail(s, "strip arg must be None or str");
    return j_strip(a[0], a[1], ends);
}

METHOD(strip_both) { UNUSED; return strip(s, a, STRIP_LEFT | STRIP_RIGHT); }
METHOD(strip_left) { UNUSED; return strip(s, a, STRIP_LEFT); }
METHOD(strip_right) { UNUSED; return strip(s, a, STRIP_RIGHT); }
METHOD(upper) { UNUSED; return j_case(s, a[0], CASE_UPPER); }
METHOD(lower) { UNUSED; return j_case(s, a[0], CASE_LOWER); }
METHOD(title) { UNUSED; return j_case(s, a[0], CASE_TITLE); }
METHOD(capitalize) { UNUSED; return j_case(s, a[0], CASE_CAPITAL); }
METHOD(swapcase) { UNUSED; return j_case(s, a[0], CASE_SWAP); }
METHOD(casefold) { UNUSED; return j_case(s, a[0], CASE_FOLD); }

/* ---- finding ----------------------------------------------------------------------------------------------------- */

static const char *find(const char *text, size_t size, struct j_value what)
{
    return what.size > size ? NULL : what.size ? memmem(text, size, what.as.text, what.size) : text;
}

static const char *find_last(const char *text, size_t size, struct j_value what)
{
    for (size_t at = size + 1 - what.size; what.size <= size && at-- > 0;)
        if (!memcmp(text + at, what.as.text, what.size))
            return text + at;
    return NULL;
}

/* The part of a[0] that a start and an end at a[2], a[3] leave; false: they leave nothing, not even an empty text. */
static bool part(struct j_state *s, const struct j_value *a, struct j_value *text, size_t *skipped)
{
    const int64_t n = j_length(s, a[0]);
    int64_t from = a[2].kind == J_NONE ? 0 : j_need_whole(s, a[2], 0), to = a[3].kind == J_NONE ? n : j_need_whole(s, a[3], n);
    from = from < 0 ? (from < -n ? 0 : from + n) : from;
    to = to < 0 ? (to < -n ? 0 : to + n) : to > n ? n : to;
    if (s->failed || from > to)
        return false;
    const size_t start = j_offset(a[0].as.text, a[0].size, (size_t)from);
    *text = j_text(a[0].as.text + start,
                   j_offset(a[0].as.text + start, a[0].size - start, (size_t)(to - from)));
    *skipped = (size_t)from;
    return true;
}

static struct j_value find_in(struct j_state *s, const struct j_value *a, bool last, bool must)
{
    struct j_value text;
    size_t skipped = 0;
    const char *at = NULL;
    if (!need_text(s, a[1]) || !j_spend(s, a[0].size / 64))
        return a[0];
    if (part(s, a, &text, &skipped))
        at = last ? find_last(text.as.text, text.size, a[1]) : find(text.as.text, text.size, a[1]);
    if (!at)
        return must ? j_fail(s, "substring not found") : j_whole(-1);
    return j_whole((int64_t)(skipped + j_characters(text.as.text, (size_t)(at - text.as.text))));
}

METHOD(find_first) { UNUSED; return find_in(s, a, false, false); }
METHOD(find_right) { UNUSED; return find_in(s, a, true, false); }
METHOD(index_first) { UNUSED; return find_in(s, a, false, true); }
METHOD(index_right) { UNUSED; return find_in(s, a, true, true); }

METHOD(count)
{
    struct j_value text;
    size_t skipped = 0;
    int64_t n = 0;
    UNUSED;
    if (!need_text(s, a[1]) || !part(s, a, &text, &skipped))
        return j_whole(0);
    if (!a[1].size)
        return j_whole(j_length(s, text) + 1);
    const char *p = text.as.text, *end = p + text.size;
    for (const char *at; (at = find(p, (size_t)(end - p), a[1])); n++)
        p = at + a[1].size;
    return j_whole(n);
}

static struct j_value affix(struct j_state *s, const struct j_value *a, bool end)
{
    struct j_value text;
    size_t skipped = 0;
    const struct j_value one = a[1], *items = &one;
    size_t n = 1;
    if (one.kind == J_TUPLE) {
        items = one.as.list->items;
        n = one.as.list->n;
    }
    const bool any = part(s, a, &text, &skipped);
    for (size_t i = 0; i < n && !s->failed; i++) {
        if (items[i].kind != J_TEXT)
            return j_fail(s, "%s first arg must be str or a tuple of str, not %s", end ? "endswith" : "startswith",
                          j_type(items[i]));
        if (any && items[i].size <= text.size &&
            !memcmp(text.as.text + (end ? text.size - items[i].size : 0), items[i].as.text, items[i].size))
            return j_bool(true);
    }
    return j_bool(false);
}

METHOD(starts) { UNUSED; return affix(s, a, false); }
METHOD(ends) { UNUSED; return affix(s, a, true); }

METHOD(remove_prefix)
{
    UNUSED;
    if (!need_text(s, a[1]) || a[1].size > a[0].size || memcmp(a[0].as.text, a[1].as.text, a[1].size))
        return a[0];
    return j_text(a[0].as.text + a[1].size, a[0].size - a[1].size);
}

METHOD(remove_suffix)
{
    UNUSED;
    if (!need_text(s, a[1]) || a[1].size > a[0].size ||
        memcmp(a[0].as.text + a[0].size - a[1].size, a[1].as.text, a[1].size))
        return a[0];
    return j_text(a[0].as.text, a[0].size - a[1].size);
}

/* ---- splitting and joining --------------------------------------------------------------------------------------- */

static void split_space(struct j_state *s, struct j_list *list, struct j_value text, int64_t most)
{
    size_t n;
    text = j_strip(text, j_make(J_NONE), STRIP_LEFT);
    while (text.size && !s->failed) {
        size_t at = 0;
        if (most-- == 0) {
            j_list_add(s, list, j_strip(text, j_make(J_NONE), STRIP_RIGHT));
            return;
        }
        while (at < text.size && !j_class(C_SPACE, tare_utf8_get(text.as.text + at, &n)))
            at += n;
        j_list_add(s, list, j_text(text.as.text, at));
        text = j_strip(j_text(text.as.text + at, text.size - at), j_make(J_NONE), STRIP_LEFT);
    }
}

static void split_at(struct j_state *s, struct j_list *list, struct j_value text, struct j_value separator, int64_t most)
{
    const char *p = text.as.text, *end = p + text.size, *at;
    while (most-- != 0 && !s->failed && (at = find(p, (size_t)(end - p), separator))) {
        j_list_add(s, list, j_text(p, (size_t)(at - p)));
        p = at + separator.size;
    }
    j_list_add(s, list, j_text(p, (size_t)(end - p)));
}

static void reverse(struct j_list *list)
{
    for (size_t i = 0; i < list->n / 2; i++) {
        const struct j_value other = list->items[i];
        list->items[i] = list->items[list->n - 1 - i];
        list->items[list->n - 1 - i] = other;
    }
}

static void split_back(struct j_state *s, struct j_list *list, struct j_value text, struct j_value separator, int64_t most)
{
    const char *at;
    while (most-- != 0 && !s->failed && (at = find_last(text.as.text, text.size, separator))) {
        const size_t from = (size_t)(at - text.as.text) + separator.size;
        j_list_add(s, list, j_text(text.as.text + from, text.size - from));
        text.size = (size_t)(at - text.as.text);
    }
    j_list_add(s, list, text);
    reverse(list);
}

static void split_space_back(struct j_state *s, struct j_list *list, struct j_value text, int64_t most)
{
    text = j_strip(text, j_make(J_NONE), STRIP_RIGHT);
    while (text.size && !s->failed) {
        if (most-- == 0) {
            j_list_add(s, list, j_strip(text, j_make(J_NONE), STRIP_LEFT));
            break;
        }
        size_t from = text.size, n;
        for (;;) {
            size_t before = from;
            while (before && ((unsigned char)text.as.text[before - 1] & 0xc0) == 0x80)
                before--;
            if (!before || j_class(C_SPACE, tare_utf8_get(text.as.text + before - 1, &n)))
                break;
            from = before - 1;
        }
        j_list_add(s, list, j_text(text.as.text + from, text.size - from));
        text = j_strip(j_text(text.as.text, from), j_make(J_NONE), STRIP_RIGHT);
    }
    reverse(list);
}

static struct j_value split_any(struct j_state *s, const struct j_value *a, bool back)
{
    const int64_t most = j_need_whole(s, a[2], -1);
    struct j_list *list = j_list_new(s, 4);
    if (s->failed || !j_spend(s, a[0].size / 64))
        return a[0];
    if (a[1].kind == J_ABSENT || a[1].kind == J_NONE) {
        if (back)
            split_space_back(s, list, a[0], most);
        else
            split_space(s, list, a[0], most);
    } else if (need_text(s, a[1])) {
        if (!a[1].size)
            return j_fail(s, "empty separator");
        if (back)
            split_back(s, list, a[0], a[1], most);
        else
            split_at(s, list, a[0], a[1], most);
    }
    return j_listed(J_LIST, list);
}

METHOD(split) { UNUSED; return split_any(s, a, false); }
METHOD(rsplit) { UNUSED; return split_any(s, a, true); }

METHOD(splitlines)
{
    struct j_list *list = j_list_new(s, 4);
    const bool keep = j_truth(a[1]);
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
        j_list_add(s, list, j_text(a[0].as.text + from, (keep ? i : at) - from));
        from = i;
    }
    if (from < a[0].size)
        j_list_add(s, list, j_text(a[0].as.text + from, a[0].size - from));
    return j_listed(J_LIST, list);
}

static struct j_value partition_at(struct j_state *s, const struct j_value *a, bool last)
{
    struct j_list *list = j_list_new(s, 3);
    if (!need_text(s, a[1]) || !a[1].size)
        return j_fail(s, "empty separator");
    const struct j_value text = a[0];
    const char *at = last ? find_last(text.as.text, text.size, a[1]) : find(text.as.text, text.size, a[1]);
    const size_t n = at ? (size_t)(at - text.as.text) : last ? 0 : text.size, m = at ? n + a[1].size : n;
    j_list_add(s, list, j_text(text.as.text, n));
    j_list_add(s, list, j_text(at ? at : "", at ? a[1].size : 0));
    j_list_add(s, list, j_text(text.as.text + m, text.size - m));
    return j_listed(J_TUPLE, list);
}

METHOD(partition) { UNUSED; return partition_at(s, a, false); }
METHOD(rpartition) { UNUSED; return partition_at(s, a, true); }

METHOD(join)
{
    struct tare_text out = {0};
    struct j_walk walk;
    struct j_value item;
    UNUSED;
    j_walk_init(s, &walk, a[1]);
    for (int64_t i = 0; j_walk_next(s, &walk, &item); i++) {
        if (item.kind != J_TEXT)
            j_fail(s, "sequence item %lld: expected str instance, %s found", (long long)i, j_type(item));
        if (i)
            j_add_value(s, &out, a[0]);
        j_add_value(s, &out, item);
    }
    return j_take(s, &out);
}

METHOD(replace)
{
    struct tare_text out = {0};
    int64_t most = j_need_whole(s, a[3], -1);
    UNUSED;
    if (s->failed || !need_text(s, a[1]) || !need_text(s, a[2]))
        return a[0];
    const char *p = a[0].as.text, *end = p + a[0].size, *at;
    if (a[1].size && !find(p, a[0].size, a[1]))
        return j_spend(s, a[0].size / 64) ? a[0] : j_make(J_UNDEFINED);
    while (most != 0 && !s->failed && (at = find(p, (size_t)(end - p), a[1])) && j_spend(s, 1)) {
        j_add(s, &out, p, (size_t)(at - p));
        j_add_value(s, &out, a[2]);
        p = at + a[1].size;
        most--;
        if (!a[1].size) {
            const size_t n = p < end ? tare_utf8_size(*p) : 0;
            j_add(s, &out, p, n);
            p += n;
            if (!n)
                break;
        }
    }
    j_add(s, &out, p, (size_t)(end - p));
    return j_take(s, &out);
}

/* ---- width ------------------------------------------------------------------------------------------------------- */

static struct j_value justify(struct j_state *s, const struct j_value *a, int where)
{
    struct tare_text out = {0};
    const int64_t n = j_length(s, a[0]), width = j_need_whole(s, a[1], 0), room = width > n ? width - n : 0;
    const struct j_value fill = a[2].kind == J_ABSENT ? j_text(" ", 1) : a[2];
    if (s->failed || !need_text(s, fill) || room > (int64_t)J_TEXT_MOST)
        return j_fail_limit(s, "a width is too large");
    const int64_t left = where < 0 ? 0 : where ? room : room / 2 + (room & width & 1);
    for (int64_t i = 0; i < left && !s->failed; i++)
        j_add_value(s, &out, fill);
    j_add_value(s, &out, a[0]);
    for (int64_t i = left; i < room && !s->failed; i++)
        j_add_value(s, &out, fill);
    return j_take(s, &out);
}

METHOD(center) { UNUSED; return justify(s, a, 0); }
METHOD(ljust) { UNUSED; return justify(s, a, -1); }
METHOD(rjust) { UNUSED; return justify(s, a, 1); }

METHOD(zfill)
{
    const bool sign = a[0].size && (*a[0].as.text == '-' || *a[0].as.text == '+');
    const struct j_value digits = j_text(a[0].as.text + sign, a[0].size - sign);
    const struct j_value b[3] = {digits, j_whole(j_need_whole(s, a[1], 0) - sign), j_text("0", 1)};
    UNUSED;
    return s->failed ? a[0] : j_join(s, j_text(a[0].as.text, sign), justify(s, b, 1));
}

METHOD(expandtabs)
{
    const int64_t size = j_need_whole(s, a[1], 8);
    struct tare_text out = {0};
    int64_t column = 0;
    UNUSED;
    for (size_t i = 0; i < a[0].size && !s->failed; i++) {
        const char c = a[0].as.text[i];
        if (c != '\t') {
            j_add(s, &out, &c, 1);
            column = c == '\n' || c == '\r' ? 0 : column + (((unsigned char)c & 0xc0) != 0x80);
            continue;
        }
        for (int64_t n = size > 0 ? size - column % size : 0; n > 0 && !s->failed; n--, column++)
            j_puts(s, &out, " ");
    }
    return j_take(s, &out);
}

/* ---- classes ----------------------------------------------------------------------------------------------------- */

static struct j_value all(struct j_value text, enum j_class kind)
{
    size_t n;
    for (size_t i = 0; i < text.size; i += n)
        if (!j_class(kind, tare_utf8_get(text.as.text + i, &n)))
            return j_bool(false);
    return j_bool(text.size > 0);
}

/* Some letter of the case wanted, none of the other. */
static struct j_value cased(struct j_value text, enum j_class wanted, enum j_class other)
{
    bool any = false;
    size_t n;
    for (size_t i = 0; i < text.size; i += n) {
        const uint32_t c = tare_utf8_get(text.as.text + i, &n);
        if (j_class(other, c) || j_class(C_TITLE, c))
            return j_bool(false);
        any = any || j_class(wanted, c);
    }
    return j_bool(any);
}

METHOD(is_digit) { UNUSED; return all(a[0], C_DIGIT); }
METHOD(is_decimal) { UNUSED; return all(a[0], C_DECIMAL); }
METHOD(is_numeric) { UNUSED; return all(a[0], C_NUMERIC); }
METHOD(is_alpha) { UNUSED; return all(a[0], C_ALPHA); }
METHOD(is_alnum) { UNUSED; return all(a[0], C_ALNUM); }
METHOD(is_space) { UNUSED; return all(a[0], C_SPACE); }
METHOD(is_lower) { UNUSED; return cased(a[0], C_LOWER, C_UPPER); }
METHOD(is_upper) { UNUSED; return cased(a[0], C_UPPER, C_LOWER); }

METHOD(is_ascii)
{
    UNUSED;
    for (size_t i = 0; i < a[0].size; i++)
        if ((unsigned char)a[0].as.text[i] >= 0x80)
            return j_bool(false);
    return j_bool(true);
}

METHOD(is_title)
{
    bool inside = false, any = false;
    size_t n;
    UNUSED;
    for (size_t i = 0; i < a[0].size; i += n) {
        const uint32_t c = tare_utf8_get(a[0].as.text + i, &n);
        const bool up = j_class(C_UPPER, c) || j_class(C_TITLE, c), low = j_class(C_LOWER, c);
        if ((up && inside) || (low && !inside))
            return j_bool(false);
        inside = up || low;
        any = any || up;
    }
    return j_bool(any);
}

METHOD(format) { UNUSED; return j_format(s, a[0], args); }

METHOD(format_map)
{
    UNUSED;
    if (a[1].kind != J_DICT)
        return j_fail(s, "format_map takes a mapping");
    const struct j_args named = {.named = a[1].as.dict->pairs, .n_named = a[1].as.dict->n};
    return j_format(s, a[0], &named);
}

METHOD(encode)
{
    struct j_value bytes = a[0];
    UNUSED;
    if (a[1].kind == J_TEXT && !j_is(a[1], "utf-8") && !j_is(a[1], "utf8"))
        return j_fail(s, "only utf-8 can be encoded to");
    bytes.kind = J_BYTES;
    return bytes;
}

const struct j_builtin j_text_methods[] = {
    {"strip", strip_both, "?chars"}, {"lstrip", strip_left, "?chars"}, {"rstrip", strip_right, "?chars"},
    {"split", split, "?sep ?maxsplit"}, {"rsplit", rsplit, "?sep ?maxsplit"}, {"startswith", starts, "prefix ?start ?end"},
    {"endswith", ends, "suffix ?start ?end"}, {"replace", replace, "old new ?count"}, {"upper", upper, ""},
    {"lower", lower, ""}, {"title", title, ""}, {"capitalize", capitalize, ""}, {"swapcase", swapcase, ""},
    {"casefold", casefold, ""}, {"find", find_first, "sub ?start ?end"}, {"rfind", find_right, "sub ?start ?end"},
    {"index", index_first, "sub ?start ?end"}, {"rindex", index_right, "sub ?start ?end"},
    {"count", count, "sub ?start ?end"}, {"join", join, "iterable"}, {"format", format, "*"},
    {"format_map", format_map, "mapping"}, {"partition", partition, "sep"}, {"rpartition", rpartition, "sep"},
    {"splitlines", splitlines, "?keepends"}, {"removeprefix", remove_prefix, "prefix"},
    {"removesuffix", remove_suffix, "suffix"}, {"center", center, "width ?fillchar"}, {"ljust", ljust, "width ?fillchar"},
    {"rjust", rjust, "width ?fillchar"}, {"zfill", zfill, "width"}, {"expandtabs", expandtabs, "?tabsize"},
    {"isdigit", is_digit, ""}, {"isdecimal", is_decimal, ""}, {"isnumeric", is_numeric, ""}, {"isalpha", is_alpha, ""},
    {"isalnum", is_alnum, ""}, {"isspace", is_space, ""}, {"islower", is_lower, ""}, {"isupper", is_upper, ""},
    {"istitle", is_title, ""}, {"isascii", is_ascii, ""}, {"encode", encode, "?encoding ?errors"}, {NULL, NULL, NULL}};
