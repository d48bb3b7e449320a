/* SPDX-License-Identifier: MIT
 * jinja_filters.c - filters of any value, of numbers and of sequences. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/locale.h"
#include "template/jinja_builtin.h"

static bool usable(struct tare_jinja_state *s, struct tare_jinja_value v)
{
    if (v.kind == TARE_JINJA_UNDEFINED)
        tare_jinja_binary(s, T_ADD, v, v);
    return v.kind != TARE_JINJA_UNDEFINED;
}

/* ---- any value --------------------------------------------------------------------------------------------------- */

/* default_value boolean */
BUILTIN(fallback)
{
    UNUSED;
    if (a[0].kind == TARE_JINJA_UNDEFINED || (tare_jinja_truth(a[2]) && !tare_jinja_truth(a[0])))
        return a[1].kind == TARE_JINJA_ABSENT ? tare_jinja_text("", 0) : a[1];
    return a[0];
}

BUILTIN_IS(string, tare_jinja_string(s, a[0]));
BUILTIN_IS(length, tare_jinja_whole(tare_jinja_length(s, a[0])));
/* Parameter: name. Finds an attribute; unlike a subscript, it does not look at keys. */
BUILTIN(attribute)
{
    UNUSED;
    if (a[1].kind != TARE_JINJA_TEXT)
        return tare_jinja_make(TARE_JINJA_UNDEFINED);
    if (a[0].kind == TARE_JINJA_SPACE || a[0].kind == TARE_JINJA_UNDEFINED)
        return tare_jinja_attribute(s, a[0], a[1]);
    const struct tare_jinja_value found = tare_jinja_own(s, a[0], a[1]);
    return found.kind == TARE_JINJA_ABSENT ? tare_jinja_make(TARE_JINJA_UNDEFINED) : found;
}

BUILTIN(pprint)
{
    struct tare_text out = {0};
    UNUSED;
    tare_jinja_repr(s, &out, a[0], 0);
    return tare_jinja_take(s, &out);
}

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

/* default base */
BUILTIN(to_int)
{
    const struct tare_jinja_value otherwise = a[1].kind == TARE_JINJA_ABSENT ? tare_jinja_whole(0) : a[1];
    int64_t whole = 0;
    double real = 0;
    UNUSED;
    if (!usable(s, a[0]))
        return a[0];
    if (tare_jinja_as_whole(a[0], &whole))
        return tare_jinja_whole(whole);
    if (a[0].kind == TARE_JINJA_TEXT) {
        if (tare_jinja_parse_whole(a[0], (int)tare_jinja_need_whole(s, a[2], 10), &whole))
            return tare_jinja_whole(whole);
        if (!tare_jinja_parse_real(a[0], &real))
            return otherwise;
    } else if (a[0].kind == TARE_JINJA_FLOAT) {
        real = a[0].as.real;
    } else {
        return otherwise;
    }
    if (isnan(real) || isinf(real))
        return otherwise;
    return fabs(real) < 0x1p63 ? tare_jinja_whole((int64_t)real)
                               : tare_jinja_fail_limit(s, "an integer does not fit 64 bits");
}

BUILTIN(to_float)
{
    double real = 0;
    UNUSED;
    if (!usable(s, a[0]))
        return a[0];
    if (tare_jinja_is_number(a[0]))
        return tare_jinja_real(tare_jinja_as_real(a[0]));
    if (a[0].kind == TARE_JINJA_TEXT && tare_jinja_parse_real(a[0], &real))
        return tare_jinja_real(real);
    return a[1].kind == TARE_JINJA_ABSENT ? tare_jinja_real(0) : a[1];
}

BUILTIN(absolute)
{
    int64_t whole;
    UNUSED;
    if (!usable(s, a[0]))
        return a[0];
    if (a[0].kind == TARE_JINJA_FLOAT)
        return tare_jinja_real(fabs(a[0].as.real));
    if (tare_jinja_as_whole(a[0], &whole))
        return whole < 0 ? tare_jinja_negate(s, a[0], true) : tare_jinja_whole(whole);
    return tare_jinja_fail(s, "bad operand type for abs(): '%s'", tare_jinja_type(a[0]));
}

/* precision method */
BUILTIN(round_)
{
    const int64_t precision = tare_jinja_need_whole(s, a[1], 0);
    char word[400];
    UNUSED;
    if (!usable(s, a[0]))
        return a[0];
    if (!tare_jinja_is_number(a[0]))
        return tare_jinja_fail(s, "type %s doesn't define __round__ method", tare_jinja_type(a[0]));
    const double value = tare_jinja_as_real(a[0]);
    if (tare_jinja_is(a[2], "ceil") || tare_jinja_is(a[2], "floor")) {
        const double scale = pow(10, (double)precision);
        return tare_jinja_real((tare_jinja_is(a[2], "ceil") ? ceil(value * scale) : floor(value * scale)) / scale);
    }
    if (a[2].kind != TARE_JINJA_ABSENT && !tare_jinja_is(a[2], "common"))
        return tare_jinja_fail(s, "method must be common, ceil or floor");
    if (isnan(value) || isinf(value) || precision > 60)
        return tare_jinja_real(value);
    if (precision < 0) {
        const double scale = precision < -300 ? INFINITY : pow(10, (double)-precision);
        const double rounded = isinf(scale) ? 0 : nearbyint(value / scale) * scale;
        return a[0].kind == TARE_JINJA_FLOAT ? tare_jinja_real(rounded) : tare_jinja_whole((int64_t)rounded);
    }
    if (a[0].kind != TARE_JINJA_FLOAT)
        return tare_jinja_whole(a[0].kind == TARE_JINJA_BOOL ? a[0].as.truth : a[0].as.whole);
    tare_format(word, sizeof word, "%.*f", (int)precision, value);
    return tare_jinja_real(tare_number_parse(word, NULL));
}

BUILTIN(filesize)
{
    static const char *const units[2][8] = {{"kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"},
                                            {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"}};
    const bool binary = tare_jinja_truth(a[1]);
    const double base = binary ? 1024 : 1000;
    char word[64];
    UNUSED;
    const struct tare_jinja_value number = to_float(s, a, args);
    if (s->failed)
        return number;
    const double size = number.kind == TARE_JINJA_FLOAT ? number.as.real : 0;
    double unit = base;
    int i = 0;
    for (; i < 7 && size >= unit * base; i++)
        unit *= base;
    if (size == 1)
        tare_format(word, sizeof word, "1 Byte");
    else if (size < base)
        tare_format(word, sizeof word, "%.0f Bytes", trunc(size));
    else
        tare_format(word, sizeof word, "%.1f %s", size / unit, units[binary][i]);
    return tare_jinja_copy(s, word, strlen(word));
}

/* ---- sequences --------------------------------------------------------------------------------------------------- */

static struct tare_jinja_value none_there(const char *text)
{
    return (struct tare_jinja_value){
        .kind = TARE_JINJA_UNDEFINED, .owner = TARE_JINJA_LOOP, .as.text = text, .size = strlen(text)};
}

BUILTIN(first)
{
    struct tare_jinja_walk walk;
    struct tare_jinja_value item;
    UNUSED;
    if (tare_jinja_walk_init(s, &walk, a[0]) && tare_jinja_walk_next(s, &walk, &item))
        return item;
    return none_there("no first item, sequence was empty");
}

BUILTIN(last)
{
    UNUSED;
    if (a[0].kind == TARE_JINJA_STREAM)
        return tare_jinja_fail(s, "'generator' object is not reversible");
    const struct tare_jinja_list *list = tare_jinja_collect(s, a[0]);
    return list && list->n ? list->items[list->n - 1] : none_there("no last item, sequence was empty");
}

BUILTIN_IS(list, tare_jinja_listed(TARE_JINJA_LIST, tare_jinja_collect(s, a[0])));

BUILTIN(reverse)
{
    struct tare_text out = {0};
    UNUSED;
    const struct tare_jinja_value value = a[0].kind == TARE_JINJA_TEXT || usable(s, a[0]) ? a[0] : a[0];
    struct tare_jinja_list *items = s->failed ? NULL : tare_jinja_collect(s, value),
                           *list = items ? tare_jinja_list_new(s, items->n) : NULL;
    for (size_t i = items ? items->n : 0; list && i-- > 0 && !s->failed;) {
        if (a[0].kind == TARE_JINJA_TEXT)
            tare_jinja_add_value(s, &out, items->items[i]);
        else
            tare_jinja_list_add(s, list, items->items[i]);
    }
    if (a[0].kind == TARE_JINJA_TEXT)
        return tare_jinja_take(s, &out);
    return tare_jinja_listed(TARE_JINJA_STREAM, list);
}

BUILTIN(items)
{
    struct tare_jinja_list *list = tare_jinja_list_new(s, 4);
    UNUSED;
    if (a[0].kind != TARE_JINJA_UNDEFINED && a[0].kind != TARE_JINJA_DICT)
        return tare_jinja_fail(s, "can only get item pairs from a mapping");
    for (size_t i = 0; a[0].kind == TARE_JINJA_DICT && i < a[0].as.dict->n && !s->failed; i++)
        tare_jinja_list_add(s, list, tare_jinja_pair(s, a[0].as.dict->pairs[i].key, a[0].as.dict->pairs[i].value));
    return tare_jinja_listed(TARE_JINJA_STREAM, list);
}

/* linecount fill_with */
BUILTIN(batch)
{
    const int64_t size = tare_jinja_need_whole(s, a[1], 0);
    struct tare_jinja_list *batches = tare_jinja_list_new(s, 4), *batch_ = NULL;
    struct tare_jinja_walk walk;
    struct tare_jinja_value item;
    UNUSED;
    for (tare_jinja_walk_init(s, &walk, a[0]); tare_jinja_walk_next(s, &walk, &item);
         tare_jinja_list_add(s, batch_, item))
        if (!batch_ || (int64_t)batch_->n == size) {
            batch_ = tare_jinja_list_new(s, 4);
            tare_jinja_list_add(s, batches, tare_jinja_listed(TARE_JINJA_LIST, batch_));
        }
    while (batch_ && (int64_t)batch_->n < size && a[2].kind != TARE_JINJA_ABSENT && a[2].kind != TARE_JINJA_NONE &&
           !s->failed)
        tare_jinja_list_add(s, batch_, a[2]);
    return tare_jinja_listed(TARE_JINJA_STREAM, batches);
}

/* slices fill_with */
BUILTIN(slice)
{
    const int64_t n = tare_jinja_need_whole(s, a[1], 0);
    const struct tare_jinja_list *all = tare_jinja_collect(s, a[0]);
    struct tare_jinja_list *slices = tare_jinja_list_new(s, 4);
    UNUSED;
    if (s->failed || n <= 0)
        return n <= 0 ? tare_jinja_fail(s, "slice needs a positive number of slices") : a[0];
    const size_t each = all->n / (size_t)n, more = all->n % (size_t)n;
    size_t at = 0;
    for (size_t i = 0; i < (size_t)n && !s->failed; i++) {
        struct tare_jinja_list *one = tare_jinja_list_new(s, each + 1);
        for (size_t k = 0; k < each + (i < more) && !s->failed; k++)
            tare_jinja_list_add(s, one, all->items[at++]);
        if (i >= more && a[2].kind != TARE_JINJA_ABSENT && a[2].kind != TARE_JINJA_NONE)
            tare_jinja_list_add(s, one, a[2]);
        tare_jinja_list_add(s, slices, tare_jinja_listed(TARE_JINJA_LIST, one));
    }
    return tare_jinja_listed(TARE_JINJA_STREAM, slices);
}

const struct tare_jinja_builtin tare_jinja_sequence_filters[] = {
    {"default", fallback, "?default_value ?boolean"},
    {"d", fallback, "?default_value ?boolean"},
    {"string", string, ""},
    {"length", length, ""},
    {"count", length, ""},
    {"attr", attribute, "name"},
    {"pprint", pprint, ""},
    {"tojson", tare_jinja_json, "?ensure_ascii ?indent ?separators ?sort_keys"},
    {"int", to_int, "?default ?base"},
    {"float", to_float, "?default"},
    {"abs", absolute, ""},
    {"round", round_, "?precision ?method"},
    {"filesizeformat", filesize, "?binary"},
    {"first", first, ""},
    {"last", last, ""},
    {"random", first, ""},
    {"list", list, ""},
    {"reverse", reverse, ""},
    {"items", items, ""},
    {"batch", batch, "linecount ?fill_with"},
    {"slice", slice, "slices ?fill_with"},
    {NULL, NULL, NULL}};
