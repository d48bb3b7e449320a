/* SPDX-License-Identifier: MIT
 * jinja_filters.c - filters of any value, of numbers and of sequences. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "template/jinja.h"

#define FILTER(name) static struct j_value name(struct j_state *s, const struct j_value *a, const struct j_args *args)
#define UNUSED (void)s, (void)args

static bool usable(struct j_state *s, struct j_value v)
{
    if (v.kind == J_UNDEFINED)
        j_binary(s, T_ADD, v, v);
    return v.kind != J_UNDEFINED;
}

/* ---- any value --------------------------------------------------------------------------------------------------- */

/* default_value boolean */
FILTER(fallback)
{
    UNUSED;
    if (a[0].kind == J_UNDEFINED || (j_truth(a[2]) && !j_truth(a[0])))
        return a[1].kind == J_ABSENT ? j_text("", 0) : a[1];
    return a[0];
}

FILTER(string) { UNUSED; return j_string(s, a[0]); }
FILTER(length) { UNUSED; return j_whole(j_length(s, a[0])); }
FILTER(attribute) { UNUSED; return a[1].kind == J_TEXT ? j_attribute(s, a[0], a[1]) : j_make(J_UNDEFINED); }

FILTER(pprint)
{
    struct tare_text out = {0};
    UNUSED;
    j_repr(s, &out, a[0], 0);
    return j_take(s, &out);
}

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

/* default base */
FILTER(to_int)
{
    const struct j_value otherwise = a[1].kind == J_ABSENT ? j_whole(0) : a[1];
    int64_t whole = 0;
    double real = 0;
    UNUSED;
    if (!usable(s, a[0]))
        return a[0];
    if (j_as_whole(a[0], &whole))
        return j_whole(whole);
    if (a[0].kind == J_TEXT) {
        if (j_parse_whole(a[0], (int)j_need_whole(s, a[2], 10), &whole))
            return j_whole(whole);
        if (!j_parse_real(a[0], &real))
            return otherwise;
    } else if (a[0].kind == J_FLOAT) {
        real = a[0].as.real;
    } else {
        return otherwise;
    }
    if (isnan(real) || isinf(real))
        return otherwise;
    return fabs(real) < 0x1p63 ? j_whole((int64_t)real) : j_fail_limit(s, "an integer does not fit 64 bits");
}

FILTER(to_float)
{
    double real = 0;
    UNUSED;
    if (!usable(s, a[0]))
        return a[0];
    if (j_is_number(a[0]))
        return j_real(j_as_real(a[0]));
    if (a[0].kind == J_TEXT && j_parse_real(a[0], &real))
        return j_real(real);
    return a[1].kind == J_ABSENT ? j_real(0) : a[1];
}

FILTER(absolute)
{
    int64_t whole;
    UNUSED;
    if (!usable(s, a[0]))
        return a[0];
    if (a[0].kind == J_FLOAT)
        return j_real(fabs(a[0].as.real));
    if (j_as_whole(a[0], &whole))
        return whole < 0 ? j_negate(s, a[0], true) : j_whole(whole);
    return j_fail(s, "bad operand type for abs(): '%s'", j_type(a[0]));
}

/* precision method */
FILTER(round_)
{
    const int64_t precision = j_need_whole(s, a[1], 0);
    char word[400];
    UNUSED;
    if (!usable(s, a[0]))
        return a[0];
    if (!j_is_number(a[0]))
        return j_fail(s, "type %s doesn't define __round__ method", j_type(a[0]));
    const double value = j_as_real(a[0]);
    if (j_is(a[2], "ceil") || j_is(a[2], "floor")) {
        const double scale = pow(10, (double)precision);
        return j_real((j_is(a[2], "ceil") ? ceil(value * scale) : floor(value * scale)) / scale);
    }
    if (a[2].kind != J_ABSENT && !j_is(a[2], "common"))
        return j_fail(s, "method must be common, ceil or floor");
    if (isnan(value) || isinf(value) || precision > 60)
        return j_real(value);
    if (precision < 0) {
        const double scale = precision < -300 ? INFINITY : pow(10, (double)-precision);
        const double rounded = isinf(scale) ? 0 : nearbyint(value / scale) * scale;
        return a[0].kind == J_FLOAT ? j_real(rounded) : j_whole((int64_t)rounded);
    }
    if (a[0].kind != J_FLOAT)
        return j_whole(a[0].kind == J_BOOL ? a[0].as.truth : a[0].as.whole);
    snprintf(word, sizeof word, "%.*f", (int)precision, value);
    return j_real(strtod(word, NULL));
}

FILTER(filesize)
{
    static const char *const units[2][8] = {{"kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"},
                                            {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"}};
    const bool binary = j_truth(a[1]);
    const double base = binary ? 1024 : 1000;
    char word[64];
    UNUSED;
    const struct j_value number = to_float(s, a, args);
    if (s->failed)
        return number;
    const double size = number.kind == J_FLOAT ? number.as.real : 0;
    double unit = base;
    int i = 0;
    for (; i < 7 && size >= unit * base; i++)
        unit *= base;
    if (size == 1)
        snprintf(word, sizeof word, "1 Byte");
    else if (size < base)
        snprintf(word, sizeof word, "%.0f Bytes", trunc(size));
    else
        snprintf(word, sizeof word, "%.1f %s", size / unit, units[binary][i]);
    return j_copy(s, word, strlen(word));
}

/* ---- sequences --------------------------------------------------------------------------------------------------- */

static struct j_value none_there(const char *text)
{
    return (struct j_value){.kind = J_UNDEFINED, .owner = J_LOOP, .as.text = text, .size = strlen(text)};
}

FILTER(first)
{
    struct j_walk walk;
    struct j_value item;
    UNUSED;
    if (j_walk_init(s, &walk, a[0]) && j_walk_next(s, &walk, &item))
        return item;
    return none_there("no first item, sequence was empty");
}

FILTER(last)
{
    UNUSED;
    if (a[0].kind == J_STREAM)
        return j_fail(s, "'generator' object is not reversible");
    const struct j_list *list = j_collect(s, a[0]);
    return list && list->n ? list->items[list->n - 1] : none_there("no last item, sequence was empty");
}

FILTER(list) { UNUSED; return j_listed(J_LIST, j_collect(s, a[0])); }

FILTER(reverse)
{
    struct tare_text out = {0};
    UNUSED;
    const struct j_value value = a[0].kind == J_TEXT || usable(s, a[0]) ? a[0] : a[0];
    struct j_list *items = s->failed ? NULL : j_collect(s, value), *list = items ? j_list_new(s, items->n) : NULL;
    for (size_t i = items ? items->n : 0; list && i-- > 0 && !s->failed;) {
        if (a[0].kind == J_TEXT)
            j_add_value(s, &out, items->items[i]);
        else
            j_list_add(s, list, items->items[i]);
    }
    if (a[0].kind == J_TEXT)
        return j_take(s, &out);
    return j_listed(J_STREAM, list);
}

FILTER(items)
{
    struct j_list *list = j_list_new(s, 4);
    UNUSED;
    if (a[0].kind != J_UNDEFINED && a[0].kind != J_DICT)
        return j_fail(s, "can only get item pairs from a mapping");
    for (size_t i = 0; a[0].kind == J_DICT && i < a[0].as.dict->n && !s->failed; i++)
        j_list_add(s, list, j_pair(s, a[0].as.dict->pairs[i].key, a[0].as.dict->pairs[i].value));
    return j_listed(J_STREAM, list);
}

/* linecount fill_with */
FILTER(batch)
{
    const int64_t size = j_need_whole(s, a[1], 0);
    struct j_list *batches = j_list_new(s, 4), *batch_ = NULL;
    struct j_walk walk;
    struct j_value item;
    UNUSED;
    for (j_walk_init(s, &walk, a[0]); j_walk_next(s, &walk, &item); j_list_add(s, batch_, item))
        if (!batch_ || (int64_t)batch_->n == size) {
            batch_ = j_list_new(s, 4);
            j_list_add(s, batches, j_listed(J_LIST, batch_));
        }
    while (batch_ && (int64_t)batch_->n < size && a[2].kind != J_ABSENT && a[2].kind != J_NONE && !s->failed)
        j_list_add(s, batch_, a[2]);
    return j_listed(J_STREAM, batches);
}

/* slices fill_with */
FILTER(slice)
{
    const int64_t n = j_need_whole(s, a[1], 0);
    const struct j_list *all = j_collect(s, a[0]);
    struct j_list *slices = j_list_new(s, 4);
    UNUSED;
    if (s->failed || n <= 0)
        return n <= 0 ? j_fail(s, "slice needs a positive number of slices") : a[0];
    const size_t each = all->n / (size_t)n, more = all->n % (size_t)n;
    size_t at = 0;
    for (size_t i = 0; i < (size_t)n && !s->failed; i++) {
        struct j_list *one = j_list_new(s, each + 1);
        for (size_t k = 0; k < each + (i < more) && !s->failed; k++)
            j_list_add(s, one, all->items[at++]);
        if (i >= more && a[2].kind != J_ABSENT && a[2].kind != J_NONE)
            j_list_add(s, one, a[2]);
        j_list_add(s, slices, j_listed(J_LIST, one));
    }
    return j_listed(J_STREAM, slices);
}

const struct j_builtin j_sequence_filters[] = {
    {"default", fallback, "?default_value ?boolean"}, {"d", fallback, "?default_value ?boolean"}, {"string", string, ""},
    {"length", length, ""}, {"count", length, ""}, {"attr", attribute, "name"}, {"pprint", pprint, ""},
    {"tojson", j_json, "?ensure_ascii ?indent ?separators ?sort_keys"}, {"int", to_int, "?default ?base"},
    {"float", to_float, "?default"}, {"abs", absolute, ""}, {"round", round_, "?precision ?method"},
    {"filesizeformat", filesize, "?binary"}, {"first", first, ""}, {"last", last, ""}, {"random", first, ""},
    {"list", list, ""}, {"reverse", reverse, ""}, {"items", items, ""}, {"batch", batch, "linecount ?fill_with"},
    {"slice", slice, "slices ?fill_with"}, {NULL, NULL, NULL}};
