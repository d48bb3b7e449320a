/* SPDX-License-Identifier: MIT
 * jinja_methods.c - methods of what is no text, and the functions that every template has. Those that would change a
 * list or dictionary are listed to be refused. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "template/jinja.h"

#define METHOD(name) static struct j_value name(struct j_state *s, const struct j_value *a, const struct j_args *args)
#define UNUSED (void)s, (void)args, (void)a

const struct j_builtin *j_builtin_find(const struct j_builtin *table, struct j_value name)
{
    for (; table->name; table++)
        if (table->name[0] == (name.size ? *name.as.text : '\0') && j_is(name, table->name))
            return table;
    return NULL;
}

/* ---- dictionaries ------------------------------------------------------------------------------------------------ */

static bool need_dict(struct j_state *s, struct j_value v)
{
    if (v.kind != J_DICT)
        j_fail(s, "this method needs a dictionary");
    return v.kind == J_DICT;
}

METHOD(dict_get)
{
    UNUSED;
    const struct j_value *value = need_dict(s, a[0]) ? j_dict_get(s, a[0].as.dict, a[1]) : NULL;
    return value ? *value : a[2].kind == J_ABSENT ? j_make(J_NONE) : a[2];
}

static struct j_value view(struct j_state *s, struct j_value dict, const char *type)
{
    struct j_list *list = need_dict(s, dict) ? j_list_new(s, dict.as.dict->n) : NULL;
    if (list)
        list->type = type;
    for (size_t i = 0; list && i < dict.as.dict->n && !s->failed; i++) {
        const struct j_pair *pair = &dict.as.dict->pairs[i];
        j_list_add(s, list,
                   type[5] == 'k' ? pair->key : type[5] == 'v' ? pair->value : j_pair(s, pair->key, pair->value));
    }
    return j_listed(J_VIEW, list);
}

METHOD(dict_items) { UNUSED; return view(s, a[0], "dict_items"); }
METHOD(dict_keys) { UNUSED; return view(s, a[0], "dict_keys"); }
METHOD(dict_values) { UNUSED; return view(s, a[0], "dict_values"); }

METHOD(dict_copy)
{
    UNUSED;
    struct j_dict *copy = need_dict(s, a[0]) ? j_dict_new(s, a[0].as.dict->n) : NULL;
    for (size_t i = 0; copy && i < a[0].as.dict->n; i++)
        j_dict_append(s, copy, a[0].as.dict->pairs[i].key, a[0].as.dict->pairs[i].value);
    return j_dicted(copy);
}

METHOD(dict_fromkeys)
{
    struct j_dict *dict = j_dict_new(s, 4);
    struct j_walk walk;
    struct j_value key;
    UNUSED;
    for (j_walk_init(s, &walk, a[1]); j_walk_next(s, &walk, &key);)
        j_dict_set(s, dict, key, a[2].kind == J_ABSENT ? j_make(J_NONE) : a[2]);
    return j_dicted(dict);
}

const struct j_builtin j_dict_methods[] = {
    {"get", dict_get, "key ?default"}, {"items", dict_items, ""}, {"keys", dict_keys, ""}, {"values", dict_values, ""},
    {"copy", dict_copy, ""}, {"fromkeys", dict_fromkeys, "iterable ?value"}, {"pop", NULL, NULL}, {"popitem", NULL, NULL},
    {"clear", NULL, NULL}, {"setdefault", NULL, NULL}, {"update", NULL, NULL}, {NULL, NULL, NULL}};

/* ---- lists, tuples, ranges, numbers ------------------------------------------------------------------------------ */

METHOD(list_index)
{
    struct j_walk walk;
    struct j_value item;
    int64_t i = 0;
    UNUSED;
    for (j_walk_init(s, &walk, a[0]); j_walk_next(s, &walk, &item); i++)
        if (j_equal(s, item, a[1]))
            return j_whole(i);
    return j_fail(s, "the item is not in the list");
}

METHOD(list_count)
{
    struct j_walk walk;
    struct j_value item;
    int64_t n = 0;
    UNUSED;
    for (j_walk_init(s, &walk, a[0]); j_walk_next(s, &walk, &item);)
        n += j_equal(s, item, a[1]);
    return j_whole(n);
}

METHOD(list_copy) { UNUSED; return j_listed(J_LIST, j_collect(s, a[0])); }
METHOD(is_integer) { UNUSED; return j_bool(a[0].kind != J_FLOAT || a[0].as.real == (double)(int64_t)a[0].as.real); }

const struct j_builtin j_list_methods[] = {
    {"index", list_index, "value"}, {"count", list_count, "value"}, {"copy", list_copy, ""}, {"append", NULL, NULL},
    {"clear", NULL, NULL}, {"extend", NULL, NULL}, {"insert", NULL, NULL}, {"pop", NULL, NULL}, {"remove", NULL, NULL},
    {"reverse", NULL, NULL}, {"sort", NULL, NULL}, {NULL, NULL, NULL}};
const struct j_builtin j_tuple_methods[] = {
    {"index", list_index, "value"}, {"count", list_count, "value"}, {NULL, NULL, NULL}};
const struct j_builtin j_number_methods[] = {{"is_integer", is_integer, ""}, {NULL, NULL, NULL}};

/* ---- loop and cycler --------------------------------------------------------------------------------------------- */

METHOD(loop_cycle)
{
    UNUSED;
    if (!args->n)
        return j_fail(s, "no items for cycling given");
    return args->items[(size_t)a[0].as.loop->index % args->n];
}

METHOD(loop_changed)
{
    struct j_loop *loop = a[0].as.loop;
    struct j_list *now = j_list_new(s, args->n);
    UNUSED;
    for (size_t i = 0; i < args->n; i++)
        j_list_add(s, now, args->items[i]);
    const struct j_value value = j_listed(J_TUPLE, now);
    const bool changed = s->failed || loop->changed.kind == J_ABSENT || !j_equal(s, loop->changed, value);
    loop->changed = value;
    return j_bool(changed);
}

METHOD(cycler_next)
{
    struct j_list *list = a[0].as.list;
    UNUSED;
    const struct j_value item = list->items[list->at];
    list->at = (list->at + 1) % list->n;
    return item;
}

METHOD(cycler_reset)
{
    UNUSED;
    a[0].as.list->at = 0;
    return j_make(J_NONE);
}

const struct j_builtin j_loop_methods[] = {{"cycle", loop_cycle, "*"}, {"changed", loop_changed, "*"}, {NULL, NULL, NULL}};
const struct j_builtin j_cycler_methods[] = {{"next", cycler_next, ""}, {"reset", cycler_reset, ""}, {NULL, NULL, NULL}};

/* ---- functions --------------------------------------------------------------------------------------------------- */

METHOD(make_range)
{
    int64_t start = j_need_whole(s, a[1], 0), stop = j_need_whole(s, a[2], 0), step = j_need_whole(s, a[3], 1);
    struct j_range *range = j_alloc(s, 1, sizeof *range);
    UNUSED;
    if (!range)
        return j_make(J_UNDEFINED);
    if (a[2].kind == J_ABSENT) {
        stop = start;
        start = 0;
    }
    if (!step)
        return j_fail(s, "range() arg 3 must not be zero");
    const bool some = step > 0 ? start < stop : start > stop;
    const uint64_t span = step > 0 ? (uint64_t)stop - (uint64_t)start : (uint64_t)start - (uint64_t)stop;
    const uint64_t size = step > 0 ? (uint64_t)step : 0 - (uint64_t)step;
    const uint64_t n = some ? (span - 1) / size + 1 : 0;
    if (n > J_RANGE_MOST)
        return j_fail_limit(s, "range too big: at most %d elements", J_RANGE_MOST);
    *range = (struct j_range){start, stop, step, (int64_t)n};
    return (struct j_value){.kind = J_RANGE, .as.range = range};
}

static void add_all(struct j_state *s, struct j_dict *dict, struct j_value from)
{
    struct j_walk walk;
    struct j_value item;
    if (from.kind == J_DICT) {
        for (size_t i = 0; i < from.as.dict->n && !s->failed; i++)
            j_dict_set(s, dict, from.as.dict->pairs[i].key, from.as.dict->pairs[i].value);
        return;
    }
    for (j_walk_init(s, &walk, from); j_walk_next(s, &walk, &item);) {
        const struct j_list *pair = j_collect(s, item);
        if (pair && pair->n == 2)
            j_dict_set(s, dict, pair->items[0], pair->items[1]);
        else if (pair)
            j_fail(s, "dictionary update sequence element has length %zu; 2 is required", pair->n);
    }
}

METHOD(make_dict)
{
    struct j_dict *dict = j_dict_new(s, args->n_named);
    UNUSED;
    if (args->n > 1)
        return j_fail(s, "expected at most 1 argument, got %zu", args->n);
    if (args->n)
        add_all(s, dict, args->items[0]);
    for (size_t i = 0; i < args->n_named && !s->failed; i++)
        j_dict_set(s, dict, args->named[i].key, args->named[i].value);
    return j_dicted(dict);
}

METHOD(make_namespace)
{
    struct j_value space = make_dict(s, a, args);
    if (space.kind == J_DICT)
        space.kind = J_SPACE;
    return space;
}

METHOD(make_cycler)
{
    struct j_list *list = j_list_new(s, args->n);
    UNUSED;
    if (!args->n)
        return j_fail(s, "at least one item has to be provided");
    for (size_t i = 0; i < args->n; i++)
        j_list_add(s, list, args->items[i]);
    struct j_value value = j_listed(J_LIST, list);
    if (!s->failed)
        value.kind = J_CYCLER;
    return value;
}

METHOD(make_joiner)
{
    struct j_list *list = j_list_new(s, 1);
    UNUSED;
    j_list_add(s, list, a[1].kind == J_ABSENT ? j_text(", ", 2) : a[1]);
    struct j_value value = j_listed(J_LIST, list);
    if (!s->failed)
        value.kind = J_JOINER;
    return value;
}

METHOD(raise_exception)
{
    const struct j_value text = j_string(s, a[1]);
    UNUSED;
    return s->failed ? text : j_fail(s, "%.*s", text.size > 500 ? 500 : (int)text.size, text.as.text);
}

METHOD(lipsum) { UNUSED; return j_fail(s, "lipsum() is not supported"); }

static bool read_clock(const char *clock, struct tm *tm)
{
    int year, month, day, hour = 0, minute = 0, second = 0;
    if (sscanf(clock, "%4d-%2d-%2dT%2d:%2d:%2d", &year, &month, &day, &hour, &minute, &second) < 3)
        return false;
    if (year < 1 || month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 || hour > 23 || minute < 0 ||
        minute > 59 || second < 0 || second > 60)
        return false;
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    const bool leap = (year % 4 == 0 && year % 100) || year % 400 == 0;
    const int past = year - 1;
    *tm = (struct tm){.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day, .tm_hour = hour, .tm_min = minute,
                      .tm_sec = second, .tm_isdst = -1};
    tm->tm_yday = before[month - 1] + (leap && month > 2) + day - 1;
    tm->tm_wday = (past * 365 + past / 4 - past / 100 + past / 400 + tm->tm_yday + 1) % 7;
    return true;
}

METHOD(strftime_now)
{
    char format[300], text[2000];
    struct tm tm;
    UNUSED;
    if (!s->clock || !read_clock(s->clock, &tm))
        return j_fail(s, "strftime_now: no clock was given");
    if (a[1].kind != J_TEXT || a[1].size > sizeof format - 2)
        return j_fail(s, "strftime_now takes a short text");
    snprintf(format, sizeof format, "%.*s ", (int)a[1].size, a[1].as.text);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* the template's own; the room is bounded */
    const size_t n = strftime(text, sizeof text, format, &tm);
#pragma GCC diagnostic pop
    return n ? j_copy(s, text, n - 1) : j_fail(s, "strftime_now: the result is too long");
}

METHOD(self_) { UNUSED; return j_fail(s, "self is not supported"); }

const struct j_builtin *j_global_find(struct j_value name)
{
    static const struct j_builtin globals[] = {
        {"range", make_range, "start ?stop ?step"}, {"namespace", make_namespace, "*"}, {"dict", make_dict, "*"},
        {"raise_exception", raise_exception, "message"}, {"strftime_now", strftime_now, "format"},
        {"cycler", make_cycler, "*"}, {"joiner", make_joiner, "?sep"}, {"lipsum", lipsum, "*"}, {"self", self_, "*"},
        {NULL, NULL, NULL}};
    return j_builtin_find(globals, name);
}
