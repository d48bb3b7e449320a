/* SPDX-License-Identifier: MIT
 * jinja_select.c - filters that take a filter or a test by name: map, select, reject; and those that look at an
 * attribute: sort, unique, min, max, groupby, sum, join. */
#include <string.h>

#include "template/jinja_builtin.h"

/* Returns the value under a dotted path of names and numbers, or the item itself when there is no path. */
static struct tare_jinja_value at_path(struct tare_jinja_state *s, struct tare_jinja_value item,
                                       struct tare_jinja_value path)
{
    int64_t i;
    if (path.kind == TARE_JINJA_INT)
        return tare_jinja_item(s, item, path);
    if (path.kind != TARE_JINJA_TEXT)
        return item;
    for (size_t from = 0, n; from <= path.size && !s->failed; from += n + 1) {
        const char *dot = memchr(path.as.text + from, '.', path.size - from);
        n = dot ? (size_t)(dot - path.as.text) - from : path.size - from;
        const struct tare_jinja_value key = tare_jinja_text(path.as.text + from, n);
        const bool digits = n && strspn(path.as.text + from, "0123456789") >= n && tare_jinja_parse_whole(key, 10, &i);
        item = tare_jinja_item(s, item, digits ? tare_jinja_whole(i) : key);
    }
    return item;
}

static struct tare_jinja_value folded(struct tare_jinja_state *s, struct tare_jinja_value key, bool case_sensitive)
{
    return key.kind == TARE_JINJA_TEXT && !case_sensitive ? tare_jinja_case(s, key, CASE_LOWER) : key;
}

static const struct tare_jinja_value *named(const struct tare_jinja_args *args, const char *name)
{
    for (size_t i = 0; i < args->n_named; i++)
        if (tare_jinja_is(args->named[i].key, name))
            return &args->named[i].value;
    return NULL;
}

/* ---- map, select ------------------------------------------------------------------------------------------------- */

static struct tare_jinja_value map_attribute(struct tare_jinja_state *s, struct tare_jinja_value items,
                                             struct tare_jinja_value path, const struct tare_jinja_value *fallback)
{
    struct tare_jinja_list *list = tare_jinja_list_new(s, 4);
    struct tare_jinja_walk walk;
    struct tare_jinja_value item;
    for (tare_jinja_walk_init(s, &walk, items); tare_jinja_walk_next(s, &walk, &item);) {
        item = at_path(s, item, path);
        tare_jinja_list_add(s, list, item.kind == TARE_JINJA_UNDEFINED && fallback ? *fallback : item);
    }
    return tare_jinja_listed(TARE_JINJA_STREAM, list);
}

BUILTIN(map)
{
    const struct tare_jinja_value *path = named(args, "attribute");
    struct tare_jinja_walk walk;
    struct tare_jinja_value item;
    if (!args->n && path)
        return map_attribute(s, a[0], *path, named(args, "default"));
    if (!args->n || args->items[0].kind != TARE_JINJA_TEXT)
        return tare_jinja_fail(s, "map requires a filter argument");
    const struct tare_jinja_builtin *filter = tare_jinja_filter_find(args->items[0]);
    if (!filter)
        return tare_jinja_fail(s, "no filter named '%.*s'", (int)args->items[0].size, args->items[0].as.text);
    const struct tare_jinja_args rest = {args->items + 1, args->n - 1, args->named, args->n_named};
    struct tare_jinja_list *list = tare_jinja_list_new(s, 4);
    for (tare_jinja_walk_init(s, &walk, a[0]); tare_jinja_walk_next(s, &walk, &item);)
        tare_jinja_list_add(s, list, tare_jinja_call_builtin(s, filter, item, &rest));
    return tare_jinja_listed(TARE_JINJA_STREAM, list);
}

static struct tare_jinja_value choose(struct tare_jinja_state *s, struct tare_jinja_value items,
                                      const struct tare_jinja_args *args, bool attribute, bool want)
{
    const size_t skip = attribute;
    const struct tare_jinja_builtin *test = NULL;
    struct tare_jinja_walk walk;
    struct tare_jinja_value item;
    if (args->n < skip)
        return tare_jinja_fail(s, "missing parameter for attribute name");
    if (args->n > skip) {
        test = args->items[skip].kind == TARE_JINJA_TEXT ? tare_jinja_test_find(args->items[skip]) : NULL;
        if (!test)
            return tare_jinja_fail(s, "no test named '%.*s'", (int)args->items[skip].size,
                                   args->items[skip].kind == TARE_JINJA_TEXT ? args->items[skip].as.text : "");
    }
    const struct tare_jinja_args rest = {test ? args->items + skip + 1 : NULL, test ? args->n - skip - 1 : 0,
                                         args->named, args->n_named};
    struct tare_jinja_list *list = tare_jinja_list_new(s, 4);
    for (tare_jinja_walk_init(s, &walk, items); tare_jinja_walk_next(s, &walk, &item);) {
        const struct tare_jinja_value key = attribute ? at_path(s, item, args->items[0]) : item;
        const bool holds = !s->failed && tare_jinja_truth(test ? tare_jinja_call_builtin(s, test, key, &rest) : key);
        if (!s->failed && holds == want)
            tare_jinja_list_add(s, list, item);
    }
    return tare_jinja_listed(TARE_JINJA_STREAM, list);
}

BUILTIN_IS(select_, choose(s, a[0], args, false, true));
BUILTIN_IS(reject, choose(s, a[0], args, false, false));
BUILTIN_IS(selectattr, choose(s, a[0], args, true, true));
BUILTIN_IS(rejectattr, choose(s, a[0], args, true, false));

/* ---- order ------------------------------------------------------------------------------------------------------- */

/* Returns the sort key of an item; for several attributes, separated by commas, it is a list. */
static struct tare_jinja_value sort_key(struct tare_jinja_state *s, struct tare_jinja_value item,
                                        struct tare_jinja_value path, bool case_sensitive)
{
    if (path.kind != TARE_JINJA_TEXT || !memchr(path.as.text, ',', path.size))
        return folded(s, at_path(s, item, path), case_sensitive);
    struct tare_jinja_list *keys = tare_jinja_list_new(s, 2);
    for (size_t from = 0, n; from <= path.size && !s->failed; from += n + 1) {
        const char *comma = memchr(path.as.text + from, ',', path.size - from);
        n = comma ? (size_t)(comma - path.as.text) - from : path.size - from;
        tare_jinja_list_add(s, keys,
                            folded(s, at_path(s, item, tare_jinja_text(path.as.text + from, n)), case_sensitive));
    }
    return tare_jinja_listed(TARE_JINJA_LIST, keys);
}

static struct tare_jinja_value *keys_of(struct tare_jinja_state *s, const struct tare_jinja_list *list,
                                        struct tare_jinja_value path, bool case_sensitive)
{
    struct tare_jinja_value *keys = list ? tare_jinja_alloc(s, list->n, sizeof *keys) : NULL;
    for (size_t i = 0; keys && i < list->n && !s->failed; i++)
        keys[i] = sort_key(s, list->items[i], path, case_sensitive);
    return s->failed ? NULL : keys;
}

/* reverse case_sensitive attribute */
BUILTIN(sort)
{
    struct tare_jinja_list *list = tare_jinja_collect(s, a[0]);
    struct tare_jinja_value *keys = keys_of(s, list, a[3], tare_jinja_truth(a[2]));
    UNUSED;
    if (keys)
        tare_jinja_sort(s, keys, list->items, list->n, tare_jinja_truth(a[1]));
    return tare_jinja_listed(TARE_JINJA_LIST, list);
}

/* case_sensitive by reverse */
BUILTIN(dictsort)
{
    UNUSED;
    if (a[0].kind == TARE_JINJA_UNDEFINED)
        return tare_jinja_binary(s, T_ADD, a[0], a[0]);
    if (a[0].kind != TARE_JINJA_DICT)
        return tare_jinja_fail(s, "'%s' object has no attribute 'items'", tare_jinja_type(a[0]));
    const bool by_value = tare_jinja_is(a[2], "value");
    if (a[2].kind != TARE_JINJA_ABSENT && !by_value && !tare_jinja_is(a[2], "key"))
        return tare_jinja_fail(s, "you can only sort by either \"key\" or \"value\"");
    struct tare_jinja_list *list = tare_jinja_list_new(s, a[0].as.dict->n);
    for (size_t i = 0; list && i < a[0].as.dict->n; i++)
        tare_jinja_list_add(s, list, tare_jinja_pair(s, a[0].as.dict->pairs[i].key, a[0].as.dict->pairs[i].value));
    struct tare_jinja_value *keys =
        s->failed ? NULL : keys_of(s, list, tare_jinja_whole(by_value), tare_jinja_truth(a[1]));
    if (keys)
        tare_jinja_sort(s, keys, list->items, list->n, tare_jinja_truth(a[3]));
    return tare_jinja_listed(TARE_JINJA_LIST, list);
}

/* case_sensitive attribute */
BUILTIN(unique)
{
    struct tare_jinja_dict *seen = tare_jinja_dict_new(s, 4);
    struct tare_jinja_list *list = tare_jinja_list_new(s, 4);
    struct tare_jinja_walk walk;
    struct tare_jinja_value item;
    UNUSED;
    for (tare_jinja_walk_init(s, &walk, a[0]); tare_jinja_walk_next(s, &walk, &item);) {
        const struct tare_jinja_value key = folded(s, at_path(s, item, a[2]), tare_jinja_truth(a[1]));
        if (s->failed || tare_jinja_dict_get(s, seen, key))
            continue;
        tare_jinja_dict_append(s, seen, key, tare_jinja_make(TARE_JINJA_NONE));
        tare_jinja_list_add(s, list, item);
    }
    return tare_jinja_listed(TARE_JINJA_STREAM, list);
}

static struct tare_jinja_value extreme(struct tare_jinja_state *s, const struct tare_jinja_value *a, int sign)
{
    struct tare_jinja_walk walk;
    struct tare_jinja_value item,
        best = {.kind = TARE_JINJA_UNDEFINED,
                .owner = TARE_JINJA_LOOP,
                .as.text = "no aggregated item, sequence was empty",
                .size = 38},
        best_key = tare_jinja_make(TARE_JINJA_ABSENT);
    for (tare_jinja_walk_init(s, &walk, a[0]); tare_jinja_walk_next(s, &walk, &item);) {
        const struct tare_jinja_value key = folded(s, at_path(s, item, a[2]), tare_jinja_truth(a[1]));
        if (s->failed)
            break;
        if (best_key.kind == TARE_JINJA_ABSENT || tare_jinja_order(s, key, best_key, sign < 0 ? "<" : ">") * sign > 0) {
            best = item;
            best_key = key;
        }
    }
    return best;
}

BUILTIN_IS(min, extreme(s, a, -1));
BUILTIN_IS(max, extreme(s, a, 1));

/* attribute default case_sensitive */
BUILTIN(groupby)
{
    struct tare_jinja_list *list = tare_jinja_collect(s, a[0]), *groups = tare_jinja_list_new(s, 4), *group = NULL;
    struct tare_jinja_value *keys = list ? tare_jinja_alloc(s, list->n, sizeof *keys) : NULL;
    UNUSED;
    for (size_t i = 0; keys && i < list->n && !s->failed; i++) {
        const struct tare_jinja_value key = at_path(s, list->items[i], a[1]);
        keys[i] = folded(s, key.kind == TARE_JINJA_UNDEFINED && a[2].kind != TARE_JINJA_ABSENT ? a[2] : key,
                         tare_jinja_truth(a[3]));
    }
    if (s->failed || !keys)
        return a[0];
    tare_jinja_sort(s, keys, list->items, list->n, false);
    for (size_t i = 0; i < list->n && !s->failed; i++) {
        if (!i || !tare_jinja_equal(s, keys[i], keys[i - 1])) {
            group = tare_jinja_list_new(s, 4);
            struct tare_jinja_value first = at_path(s, list->items[i], a[1]);
            if (first.kind == TARE_JINJA_UNDEFINED && a[2].kind != TARE_JINJA_ABSENT)
                first = a[2];
            const struct tare_jinja_value pair = tare_jinja_pair(s, first, tare_jinja_listed(TARE_JINJA_LIST, group));
            if (!s->failed)
                pair.as.list->type = "group";
            tare_jinja_list_add(s, groups, pair);
        }
        tare_jinja_list_add(s, group, list->items[i]);
    }
    return tare_jinja_listed(TARE_JINJA_LIST, groups);
}

/* attribute start */
BUILTIN(sum)
{
    struct tare_jinja_value total = a[2].kind == TARE_JINJA_ABSENT ? tare_jinja_whole(0) : a[2], item;
    struct tare_jinja_walk walk;
    UNUSED;
    for (tare_jinja_walk_init(s, &walk, a[0]); tare_jinja_walk_next(s, &walk, &item);)
        total = tare_jinja_binary(s, T_ADD, total, at_path(s, item, a[1]));
    return total;
}

/* d attribute */
BUILTIN(join)
{
    struct tare_text out = {0};
    struct tare_jinja_walk walk;
    struct tare_jinja_value item;
    const struct tare_jinja_value between =
        a[1].kind == TARE_JINJA_ABSENT ? tare_jinja_text("", 0) : tare_jinja_string(s, a[1]);
    bool any = false;
    UNUSED;
    for (tare_jinja_walk_init(s, &walk, a[0]); tare_jinja_walk_next(s, &walk, &item); any = true) {
        if (any)
            tare_jinja_add_value(s, &out, between);
        const struct tare_jinja_value value = at_path(s, item, a[2]);
        if (!s->failed)
            tare_jinja_print(s, &out, value);
    }
    return tare_jinja_take(s, &out);
}

const struct tare_jinja_builtin tare_jinja_select_filters[] = {
    {"map", map, "*"},
    {"select", select_, "*"},
    {"reject", reject, "*"},
    {"selectattr", selectattr, "*"},
    {"rejectattr", rejectattr, "*"},
    {"sort", sort, "?reverse ?case_sensitive ?attribute"},
    {"dictsort", dictsort, "?case_sensitive ?by ?reverse"},
    {"unique", unique, "?case_sensitive ?attribute"},
    {"min", min, "?case_sensitive ?attribute"},
    {"max", max, "?case_sensitive ?attribute"},
    {"groupby", groupby, "attribute ?default ?case_sensitive"},
    {"sum", sum, "?attribute ?start"},
    {"join", join, "?d ?attribute"},
    {NULL, NULL, NULL}};
