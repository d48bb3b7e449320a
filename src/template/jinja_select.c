/* SPDX-License-Identifier: MIT
 * jinja_select.c - filters that take a filter or a test by name: map, select, reject; and those that look at an
 * attribute: sort, unique, min, max, groupby, sum, join. */
#include <string.h>

#include "template/jinja.h"

#define FILTER(name) static struct j_value name(struct j_state *s, const struct j_value *a, const struct j_args *args)
#define UNUSED (void)s, (void)args

/* The value under a dotted path: names and numbers. path J_ABSENT or none: the item itself. */
static struct j_value at_path(struct j_state *s, struct j_value item, struct j_value path)
{
    int64_t i;
    if (path.kind == J_INT)
        return j_item(s, item, path);
    if (path.kind != J_TEXT)
        return item;
    for (size_t from = 0, n; from <= path.size && !s->failed; from += n + 1) {
        const char *dot = memchr(path.as.text + from, '.', path.size - from);
        n = dot ? (size_t)(dot - path.as.text) - from : path.size - from;
        const struct j_value key = j_text(path.as.text + from, n);
        const bool digits = n && strspn(path.as.text + from, "0123456789") >= n && j_parse_whole(key, 10, &i);
        item = j_item(s, item, digits ? j_whole(i) : key);
    }
    return item;
}

static struct j_value folded(struct j_state *s, struct j_value key, bool case_sensitive)
{
    return key.kind == J_TEXT && !case_sensitive ? j_case(s, key, CASE_LOWER) : key;
}

static const struct j_value *named(const struct j_args *args, const char *name)
{
    for (size_t i = 0; i < args->n_named; i++)
        if (j_is(args->named[i].key, name))
            return &args->named[i].value;
    return NULL;
}

/* ---- map, select ------------------------------------------------------------------------------------------------- */

static struct j_value map_attribute(struct j_state *s, struct j_value items, struct j_value path,
                                    const struct j_value *fallback)
{
    struct j_list *list = j_list_new(s, 4);
    struct j_walk walk;
    struct j_value item;
    for (j_walk_init(s, &walk, items); j_walk_next(s, &walk, &item);) {
        item = at_path(s, item, path);
        j_list_add(s, list, item.kind == J_UNDEFINED && fallback ? *fallback : item);
    }
    return j_listed(J_STREAM, list);
}

FILTER(map)
{
    const struct j_value *path = named(args, "attribute");
    struct j_walk walk;
    struct j_value item;
    if (!args->n && path)
        return map_attribute(s, a[0], *path, named(args, "default"));
    if (!args->n || args->items[0].kind != J_TEXT)
        return j_fail(s, "map requires a filter argument");
    const struct j_builtin *filter = j_filter_find(args->items[0]);
    if (!filter)
        return j_fail(s, "no filter named '%.*s'", (int)args->items[0].size, args->items[0].as.text);
    const struct j_args rest = {args->items + 1, args->n - 1, args->named, args->n_named};
    struct j_list *list = j_list_new(s, 4);
    for (j_walk_init(s, &walk, a[0]); j_walk_next(s, &walk, &item);)
        j_list_add(s, list, j_call_builtin(s, filter, item, &rest));
    return j_listed(J_STREAM, list);
}

static struct j_value choose(struct j_state *s, struct j_value items, const struct j_args *args, bool attribute, bool want)
{
    const size_t skip = attribute;
    const struct j_builtin *test = NULL;
    struct j_walk walk;
    struct j_value item;
    if (args->n < skip)
        return j_fail(s, "missing parameter for attribute name");
    if (args->n > skip) {
        test = args->items[skip].kind == J_TEXT ? j_test_find(args->items[skip]) : NULL;
        if (!test)
            return j_fail(s, "no test named '%.*s'", (int)args->items[skip].size,
                          args->items[skip].kind == J_TEXT ? args->items[skip].as.text : "");
    }
    const struct j_args rest = {args->items + skip + 1, test ? args->n - skip - 1 : 0, args->named, args->n_named};
    struct j_list *list = j_list_new(s, 4);
    for (j_walk_init(s, &walk, items); j_walk_next(s, &walk, &item);) {
        const struct j_value key = attribute ? at_path(s, item, args->items[0]) : item;
        const bool holds = !s->failed && j_truth(test ? j_call_builtin(s, test, key, &rest) : key);
        if (!s->failed && holds == want)
            j_list_add(s, list, item);
    }
    return j_listed(J_STREAM, list);
}

FILTER(select_) { UNUSED; return choose(s, a[0], args, false, true); }
FILTER(reject) { UNUSED; return choose(s, a[0], args, false, false); }
FILTER(selectattr) { UNUSED; return choose(s, a[0], args, true, true); }
FILTER(rejectattr) { UNUSED; return choose(s, a[0], args, true, false); }

/* ---- order ------------------------------------------------------------------------------------------------------- */

/* The sort key of an item: of several attributes, separated by commas, a list. */
static struct j_value sort_key(struct j_state *s, struct j_value item, struct j_value path, bool case_sensitive)
{
    if (path.kind != J_TEXT || !memchr(path.as.text, ',', path.size))
        return folded(s, at_path(s, item, path), case_sensitive);
    struct j_list *keys = j_list_new(s, 2);
    for (size_t from = 0, n; from <= path.size && !s->failed; from += n + 1) {
        const char *comma = memchr(path.as.text + from, ',', path.size - from);
        n = comma ? (size_t)(comma - path.as.text) - from : path.size - from;
        j_list_add(s, keys, folded(s, at_path(s, item, j_text(path.as.text + from, n)), case_sensitive));
    }
    return j_listed(J_LIST, keys);
}

static struct j_value *keys_of(struct j_state *s, const struct j_list *list, struct j_value path, bool case_sensitive)
{
    struct j_value *keys = list ? j_alloc(s, list->n, sizeof *keys) : NULL;
    for (size_t i = 0; keys && i < list->n && !s->failed; i++)
        keys[i] = sort_key(s, list->items[i], path, case_sensitive);
    return s->failed ? NULL : keys;
}

/* reverse case_sensitive attribute */
FILTER(sort)
{
    struct j_list *list = j_collect(s, a[0]);
    struct j_value *keys = keys_of(s, list, a[3], j_truth(a[2]));
    UNUSED;
    if (keys)
        j_sort(s, keys, list->items, list->n, j_truth(a[1]));
    return j_listed(J_LIST, list);
}

/* case_sensitive by reverse */
FILTER(dictsort)
{
    UNUSED;
    if (a[0].kind == J_UNDEFINED)
        return j_binary(s, T_ADD, a[0], a[0]);
    if (a[0].kind != J_DICT)
        return j_fail(s, "'%s' object has no attribute 'items'", j_type(a[0]));
    const bool by_value = j_is(a[2], "value");
    if (a[2].kind != J_ABSENT && !by_value && !j_is(a[2], "key"))
        return j_fail(s, "you can only sort by either \"key\" or \"value\"");
    struct j_list *list = j_list_new(s, a[0].as.dict->n);
    for (size_t i = 0; list && i < a[0].as.dict->n; i++)
        j_list_add(s, list, j_pair(s, a[0].as.dict->pairs[i].key, a[0].as.dict->pairs[i].value));
    struct j_value *keys = s->failed ? NULL : keys_of(s, list, j_whole(by_value), j_truth(a[1]));
    if (keys)
        j_sort(s, keys, list->items, list->n, j_truth(a[3]));
    return j_listed(J_LIST, list);
}

/* case_sensitive attribute */
FILTER(unique)
{
    struct j_dict *seen = j_dict_new(s, 4);
    struct j_list *list = j_list_new(s, 4);
    struct j_walk walk;
    struct j_value item;
    UNUSED;
    for (j_walk_init(s, &walk, a[0]); j_walk_next(s, &walk, &item);) {
        const struct j_value key = folded(s, at_path(s, item, a[2]), j_truth(a[1]));
        if (s->failed || j_dict_get(s, seen, key))
            continue;
        j_dict_append(s, seen, key, j_make(J_NONE));
        j_list_add(s, list, item);
    }
    return j_listed(J_STREAM, list);
}

static struct j_value extreme(struct j_state *s, const struct j_value *a, int sign)
{
    struct j_walk walk;
    struct j_value item, best = {.kind = J_UNDEFINED, .owner = J_LOOP, .as.text = "no aggregated item, sequence was empty",
                                 .size = 38}, best_key = j_make(J_ABSENT);
    for (j_walk_init(s, &walk, a[0]); j_walk_next(s, &walk, &item);) {
        const struct j_value key = folded(s, at_path(s, item, a[2]), j_truth(a[1]));
        if (s->failed)
            break;
        if (best_key.kind == J_ABSENT || j_order(s, key, best_key, sign < 0 ? "<" : ">") * sign > 0) {
            best = item;
            best_key = key;
        }
    }
    return best;
}

FILTER(min) { UNUSED; return extreme(s, a, -1); }
FILTER(max) { UNUSED; return extreme(s, a, 1); }

/* attribute default case_sensitive */
FILTER(groupby)
{
    struct j_list *list = j_collect(s, a[0]), *groups = j_list_new(s, 4), *group = NULL;
    struct j_value *keys = list ? j_alloc(s, list->n, sizeof *keys) : NULL;
    UNUSED;
    for (size_t i = 0; keys && i < list->n && !s->failed; i++) {
        const struct j_value key = at_path(s, list->items[i], a[1]);
        keys[i] = folded(s, key.kind == J_UNDEFINED && a[2].kind != J_ABSENT ? a[2] : key, j_truth(a[3]));
    }
    if (s->failed || !keys)
        return a[0];
    j_sort(s, keys, list->items, list->n, false);
    for (size_t i = 0; i < list->n && !s->failed; i++) {
        if (!i || !j_equal(s, keys[i], keys[i - 1])) {
            group = j_list_new(s, 4);
            struct j_value first = at_path(s, list->items[i], a[1]);
            if (first.kind == J_UNDEFINED && a[2].kind != J_ABSENT)
                first = a[2];
            const struct j_value pair = j_pair(s, first, j_listed(J_LIST, group));
            if (!s->failed)
                pair.as.list->type = "group";
            j_list_add(s, groups, pair);
        }
        j_list_add(s, group, list->items[i]);
    }
    return j_listed(J_LIST, groups);
}

/* attribute start */
FILTER(sum)
{
    struct j_value total = a[2].kind == J_ABSENT ? j_whole(0) : a[2], item;
    struct j_walk walk;
    UNUSED;
    for (j_walk_init(s, &walk, a[0]); j_walk_next(s, &walk, &item);)
        total = j_binary(s, T_ADD, total, at_path(s, item, a[1]));
    return total;
}

/* d attribute */
FILTER(join)
{
    struct tare_text out = {0};
    struct j_walk walk;
    struct j_value item;
    const struct j_value between = a[1].kind == J_ABSENT ? j_text("", 0) : j_string(s, a[1]);
    bool any = false;
    UNUSED;
    for (j_walk_init(s, &walk, a[0]); j_walk_next(s, &walk, &item); any = true) {
        if (any)
            j_add_value(s, &out, between);
        const struct j_value value = at_path(s, item, a[2]);
        if (!s->failed)
            j_print(s, &out, value);
    }
    return j_take(s, &out);
}

const struct j_builtin j_select_filters[] = {
    {"map", map, "*"}, {"select", select_, "*"}, {"reject", reject, "*"}, {"selectattr", selectattr, "*"},
    {"rejectattr", rejectattr, "*"}, {"sort", sort, "?reverse ?case_sensitive ?attribute"},
    {"dictsort", dictsort, "?case_sensitive ?by ?reverse"}, {"unique", unique, "?case_sensitive ?attribute"},
    {"min", min, "?case_sensitive ?attribute"}, {"max", max, "?case_sensitive ?attribute"},
    {"groupby", groupby, "attribute ?default ?case_sensitive"}, {"sum", sum, "?attribute ?start"},
    {"join", join, "?d ?attribute"}, {NULL, NULL, NULL}};
