/* SPDX-License-Identifier: MIT
 * jinja_methods.c - methods of what is no text, and the functions that every template has. Those that would change a
 * list or dictionary are listed to be refused. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "template/jinja_builtin.h"

const struct tare_jinja_builtin *tare_jinja_builtin_find(const struct tare_jinja_builtin *table,
                                                         struct tare_jinja_value name)
{
    for (; table->name; table++)
        if (table->name[0] == (name.size ? *name.as.text : '\0') && tare_jinja_is(name, table->name))
            return table;
    return NULL;
}

/* ---- dictionaries ------------------------------------------------------------------------------------------------ */

static bool need_dict(struct tare_jinja_state *s, struct tare_jinja_value v)
{
    if (v.kind != TARE_JINJA_DICT)
        tare_jinja_fail(s, "this method needs a dictionary");
    return v.kind == TARE_JINJA_DICT;
}

BUILTIN(dict_get)
{
    UNUSED;
    const struct tare_jinja_value *value = need_dict(s, a[0]) ? tare_jinja_dict_get(s, a[0].as.dict, a[1]) : NULL;
    return value ? *value : a[2].kind == TARE_JINJA_ABSENT ? tare_jinja_make(TARE_JINJA_NONE) : a[2];
}

static struct tare_jinja_value view(struct tare_jinja_state *s, struct tare_jinja_value dict, const char *type)
{
    struct tare_jinja_list *list = need_dict(s, dict) ? tare_jinja_list_new(s, dict.as.dict->n) : NULL;
    if (list)
        list->type = type;
    for (size_t i = 0; list && i < dict.as.dict->n && !s->failed; i++) {
        const struct tare_jinja_pair *pair = &dict.as.dict->pairs[i];
        tare_jinja_list_add(s, list,
                            type[5] == 'k'   ? pair->key
                            : type[5] == 'v' ? pair->value
                                             : tare_jinja_pair(s, pair->key, pair->value));
    }
    return tare_jinja_listed(TARE_JINJA_VIEW, list);
}

BUILTIN_IS(dict_items, view(s, a[0], "dict_items"));
BUILTIN_IS(dict_keys, view(s, a[0], "dict_keys"));
BUILTIN_IS(dict_values, view(s, a[0], "dict_values"));

BUILTIN(dict_copy)
{
    UNUSED;
    struct tare_jinja_dict *copy = need_dict(s, a[0]) ? tare_jinja_dict_new(s, a[0].as.dict->n) : NULL;
    for (size_t i = 0; copy && i < a[0].as.dict->n; i++)
        tare_jinja_dict_append(s, copy, a[0].as.dict->pairs[i].key, a[0].as.dict->pairs[i].value);
    return tare_jinja_dicted(copy);
}

BUILTIN(dict_fromkeys)
{
    struct tare_jinja_dict *dict = tare_jinja_dict_new(s, 4);
    struct tare_jinja_walk walk;
    struct tare_jinja_value key;
    UNUSED;
    for (tare_jinja_walk_init(s, &walk, a[1]); tare_jinja_walk_next(s, &walk, &key);)
        tare_jinja_dict_set(s, dict, key, a[2].kind == TARE_JINJA_ABSENT ? tare_jinja_make(TARE_JINJA_NONE) : a[2]);
    return tare_jinja_dicted(dict);
}

const struct tare_jinja_builtin tare_jinja_dict_methods[] = {{"get", dict_get, "key ?default"},
                                                             {"items", dict_items, ""},
                                                             {"keys", dict_keys, ""},
                                                             {"values", dict_values, ""},
                                                             {"copy", dict_copy, ""},
                                                             {"fromkeys", dict_fromkeys, "iterable ?value"},
                                                             {"pop", NULL, NULL},
                                                             {"popitem", NULL, NULL},
                                                             {"clear", NULL, NULL},
                                                             {"setdefault", NULL, NULL},
                                                             {"update", NULL, NULL},
                                                             {NULL, NULL, NULL}};

/* ---- lists, tuples, ranges, numbers ------------------------------------------------------------------------------ */

BUILTIN(list_index)
{
    struct tare_jinja_walk walk;
    struct tare_jinja_value item;
    int64_t i = 0;
    UNUSED;
    for (tare_jinja_walk_init(s, &walk, a[0]); tare_jinja_walk_next(s, &walk, &item); i++)
        if (tare_jinja_equal(s, item, a[1]))
            return tare_jinja_whole(i);
    return tare_jinja_fail(s, "the item is not in the list");
}

BUILTIN(list_count)
{
    struct tare_jinja_walk walk;
    struct tare_jinja_value item;
    int64_t n = 0;
    UNUSED;
    for (tare_jinja_walk_init(s, &walk, a[0]); tare_jinja_walk_next(s, &walk, &item);)
        n += tare_jinja_equal(s, item, a[1]);
    return tare_jinja_whole(n);
}

BUILTIN_IS(list_copy, tare_jinja_listed(TARE_JINJA_LIST, tare_jinja_collect(s, a[0])));
BUILTIN_IS(is_integer, tare_jinja_bool(a[0].kind != TARE_JINJA_FLOAT || a[0].as.real == (double)(int64_t)a[0].as.real));

const struct tare_jinja_builtin tare_jinja_list_methods[] = {
    {"index", list_index, "value"}, {"count", list_count, "value"}, {"copy", list_copy, ""}, {"append", NULL, NULL},
    {"clear", NULL, NULL},          {"extend", NULL, NULL},         {"insert", NULL, NULL},  {"pop", NULL, NULL},
    {"remove", NULL, NULL},         {"reverse", NULL, NULL},        {"sort", NULL, NULL},    {NULL, NULL, NULL}};
const struct tare_jinja_builtin tare_jinja_tuple_methods[] = {
    {"index", list_index, "value"}, {"count", list_count, "value"}, {NULL, NULL, NULL}};
const struct tare_jinja_builtin tare_jinja_number_methods[] = {{"is_integer", is_integer, ""}, {NULL, NULL, NULL}};

/* ---- loop and cycler --------------------------------------------------------------------------------------------- */

BUILTIN(loop_cycle)
{
    UNUSED;
    if (!args->n)
        return tare_jinja_fail(s, "no items for cycling given");
    return args->items[(size_t)a[0].as.loop->index % args->n];
}

BUILTIN(loop_changed)
{
    struct tare_jinja_loop *loop = a[0].as.loop;
    struct tare_jinja_list *now = tare_jinja_list_new(s, args->n);
    UNUSED;
    for (size_t i = 0; i < args->n; i++)
        tare_jinja_list_add(s, now, args->items[i]);
    const struct tare_jinja_value value = tare_jinja_listed(TARE_JINJA_TUPLE, now);
    const bool changed =
        s->failed || loop->changed.kind == TARE_JINJA_ABSENT || !tare_jinja_equal(s, loop->changed, value);
    loop->changed = value;
    return tare_jinja_bool(changed);
}

BUILTIN(cycler_next)
{
    struct tare_jinja_list *list = a[0].as.list;
    UNUSED;
    const struct tare_jinja_value item = list->items[list->at];
    list->at = (list->at + 1) % list->n;
    return item;
}

BUILTIN(cycler_reset)
{
    UNUSED;
    a[0].as.list->at = 0;
    return tare_jinja_make(TARE_JINJA_NONE);
}

const struct tare_jinja_builtin tare_jinja_loop_methods[] = {
    {"cycle", loop_cycle, "*"}, {"changed", loop_changed, "*"}, {NULL, NULL, NULL}};
const struct tare_jinja_builtin tare_jinja_cycler_methods[] = {
    {"next", cycler_next, ""}, {"reset", cycler_reset, ""}, {NULL, NULL, NULL}};

/* ---- functions --------------------------------------------------------------------------------------------------- */

BUILTIN(make_range)
{
    int64_t start = tare_jinja_need_whole(s, a[1], 0), stop = tare_jinja_need_whole(s, a[2], 0),
            step = tare_jinja_need_whole(s, a[3], 1);
    struct tare_jinja_range *range = tare_jinja_alloc(s, 1, sizeof *range);
    UNUSED;
    if (!range)
        return tare_jinja_make(TARE_JINJA_UNDEFINED);
    if (a[2].kind == TARE_JINJA_ABSENT) {
        stop = start;
        start = 0;
    }
    if (!step)
        return tare_jinja_fail(s, "range() arg 3 must not be zero");
    const bool some = step > 0 ? start < stop : start > stop;
    const uint64_t span = step > 0 ? (uint64_t)stop - (uint64_t)start : (uint64_t)start - (uint64_t)stop;
    const uint64_t size = step > 0 ? (uint64_t)step : 0 - (uint64_t)step;
    const uint64_t n = some ? (span - 1) / size + 1 : 0;
    if (n > TARE_JINJA_RANGE_MOST)
        return tare_jinja_fail_limit(s, "range too big: at most %d elements", TARE_JINJA_RANGE_MOST);
    *range = (struct tare_jinja_range){start, stop, step, (int64_t)n};
    return (struct tare_jinja_value){.kind = TARE_JINJA_RANGE, .as.range = range};
}

static void add_all(struct tare_jinja_state *s, struct tare_jinja_dict *dict, struct tare_jinja_value from)
{
    struct tare_jinja_walk walk;
    struct tare_jinja_value item;
    if (from.kind == TARE_JINJA_DICT) {
        for (size_t i = 0; i < from.as.dict->n && !s->failed; i++)
            tare_jinja_dict_set(s, dict, from.as.dict->pairs[i].key, from.as.dict->pairs[i].value);
        return;
    }
    for (tare_jinja_walk_init(s, &walk, from); tare_jinja_walk_next(s, &walk, &item);) {
        const struct tare_jinja_list *pair = tare_jinja_collect(s, item);
        if (pair && pair->n == 2)
            tare_jinja_dict_set(s, dict, pair->items[0], pair->items[1]);
        else if (pair)
            tare_jinja_fail(s, "dictionary update sequence element has length %zu; 2 is required", pair->n);
    }
}

BUILTIN(make_dict)
{
    struct tare_jinja_dict *dict = tare_jinja_dict_new(s, args->n_named);
    UNUSED;
    if (args->n > 1)
        return tare_jinja_fail(s, "expected at most 1 argument, got %zu", args->n);
    if (args->n)
        add_all(s, dict, args->items[0]);
    for (size_t i = 0; i < args->n_named && !s->failed; i++)
        tare_jinja_dict_set(s, dict, args->named[i].key, args->named[i].value);
    return tare_jinja_dicted(dict);
}

BUILTIN(make_namespace)
{
    struct tare_jinja_value space = make_dict(s, a, args);
    if (space.kind == TARE_JINJA_DICT)
        space.kind = TARE_JINJA_SPACE;
    return space;
}

BUILTIN(make_cycler)
{
    struct tare_jinja_list *list = tare_jinja_list_new(s, args->n);
    UNUSED;
    if (!args->n)
        return tare_jinja_fail(s, "at least one item has to be provided");
    for (size_t i = 0; i < args->n; i++)
        tare_jinja_list_add(s, list, args->items[i]);
    struct tare_jinja_value value = tare_jinja_listed(TARE_JINJA_LIST, list);
    if (!s->failed)
        value.kind = TARE_JINJA_CYCLER;
    return value;
}

BUILTIN(make_joiner)
{
    struct tare_jinja_list *list = tare_jinja_list_new(s, 1);
    UNUSED;
    tare_jinja_list_add(s, list, a[1].kind == TARE_JINJA_ABSENT ? tare_jinja_text(", ", 2) : a[1]);
    struct tare_jinja_value value = tare_jinja_listed(TARE_JINJA_LIST, list);
    if (!s->failed)
        value.kind = TARE_JINJA_JOINER;
    return value;
}

BUILTIN(raise_exception)
{
    const struct tare_jinja_value text = tare_jinja_string(s, a[1]);
    UNUSED;
    return s->failed ? text : tare_jinja_fail(s, "%.*s", text.size > 500 ? 500 : (int)text.size, text.as.text);
}

BUILTIN_IS(lipsum, tare_jinja_fail(s, "lipsum() is not supported"));

/* Reads the character `before` (0: none) and then a number of at most `digits` digits. */
static bool read_part(const char **at, char before, int digits, int *number)
{
    if (before && **at != before)
        return false;
    const char *digit = *at + (before != 0);
    if (*digit < '0' || *digit > '9')
        return false;
    *number = 0;
    for (; digits > 0 && *digit >= '0' && *digit <= '9'; digits--)
        *number = *number * 10 + (*digit++ - '0');
    *at = digit;
    return true;
}

/* Reads a time like "2025-01-31T12:30:00"; the end may be missing, but not the date. */
static bool read_clock(const char *clock, struct tm *tm)
{
    int year, month, day, hour = 0, minute = 0, second = 0;
    if (!read_part(&clock, 0, 4, &year) || !read_part(&clock, '-', 2, &month) || !read_part(&clock, '-', 2, &day))
        return false;
    if (read_part(&clock, 'T', 2, &hour) && read_part(&clock, ':', 2, &minute))
        read_part(&clock, ':', 2, &second);
    if (year < 1 || month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 || hour > 23 || minute < 0 ||
        minute > 59 || second < 0 || second > 60)
        return false;
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    const bool leap = (year % 4 == 0 && year % 100) || year % 400 == 0;
    const int past = year - 1;
    *tm = (struct tm){.tm_year = year - 1900,
                      .tm_mon = month - 1,
                      .tm_mday = day,
                      .tm_hour = hour,
                      .tm_min = minute,
                      .tm_sec = second,
                      .tm_isdst = -1};
    tm->tm_yday = before[month - 1] + (leap && month > 2) + day - 1;
    tm->tm_wday = (past * 365 + past / 4 - past / 100 + past / 400 + tm->tm_yday + 1) % 7;
    return true;
}

BUILTIN(strftime_now)
{
    char format[300], text[2000];
    struct tm tm;
    UNUSED;
    if (!s->clock || !read_clock(s->clock, &tm))
        return tare_jinja_fail(s, "strftime_now: no clock was given");
    if (a[1].kind != TARE_JINJA_TEXT || a[1].size > sizeof format - 2)
        return tare_jinja_fail(s, "strftime_now takes a short text");
    snprintf(format, sizeof format, "%.*s ", (int)a[1].size, a[1].as.text);
#pragma GCC diagnostic push
/* The format is the template's own, and the room is bounded. */
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    const size_t n = strftime(text, sizeof text, format, &tm);
#pragma GCC diagnostic pop
    return n ? tare_jinja_copy(s, text, n - 1) : tare_jinja_fail(s, "strftime_now: the result is too long");
}

BUILTIN_IS(self_, tare_jinja_fail(s, "self is not supported"));

const struct tare_jinja_builtin *tare_jinja_global_find(struct tare_jinja_value name)
{
    static const struct tare_jinja_builtin globals[] = {{"range", make_range, "start ?stop ?step"},
                                                        {"namespace", make_namespace, "*"},
                                                        {"dict", make_dict, "*"},
                                                        {"raise_exception", raise_exception, "message"},
                                                        {"strftime_now", strftime_now, "format"},
                                                        {"cycler", make_cycler, "*"},
                                                        {"joiner", make_joiner, "?sep"},
                                                        {"lipsum", lipsum, "*"},
                                                        {"self", self_, "*"},
                                                        {NULL, NULL, NULL}};
    return tare_jinja_builtin_find(globals, name);
}
