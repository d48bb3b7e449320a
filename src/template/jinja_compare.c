/* SPDX-License-Identifier: MIT
 * jinja_compare.c - truth, equality, order, membership and hashes, as Python has them. */
#define _GNU_SOURCE /* memmem */
#include <math.h>
#include <string.h>

#include "template/jinja.h"

bool j_truth(struct j_value value)
{
    switch (value.kind) {
    case J_ABSENT:
    case J_UNDEFINED:
    case J_NONE:
        return false;
    case J_BOOL:
        return value.as.truth;
    case J_INT:
        return value.as.whole != 0;
    case J_FLOAT:
        return value.as.real != 0;
    case J_TEXT:
    case J_BYTES:
        return value.size > 0;
    case J_LIST:
    case J_TUPLE:
    case J_VIEW:
        return value.as.list->n > 0;
    case J_DICT:
        return value.as.dict->n > 0;
    case J_RANGE:
        return value.as.range->n > 0;
    default:
        return true;
    }
}

static bool lists_equal(struct j_state *s, const struct j_list *a, const struct j_list *b)
{
    if (a->n != b->n || ++s->depth > J_DEPTH_MOST)
        return a->n != b->n ? false : (j_fail_limit(s, "lists are nested too deeply to be compared"), false);
    bool equal = true;
    for (size_t i = 0; i < a->n && equal; i++)
        equal = j_spend(s, 1) && j_equal(s, a->items[i], b->items[i]);
    s->depth--;
    return equal;
}

static bool dicts_equal(struct j_state *s, const struct j_dict *a, const struct j_dict *b)
{
    if (a->n != b->n || ++s->depth > J_DEPTH_MOST)
        return a->n != b->n ? false : (j_fail_limit(s, "dictionaries are nested too deeply to be compared"), false);
    bool equal = true;
    for (size_t i = 0; i < a->n && equal; i++) {
        const struct j_value *other = j_dict_get(s, b, a->pairs[i].key);
        equal = other && j_equal(s, a->pairs[i].value, *other);
    }
    s->depth--;
    return equal;
}

static int numbers_order(struct j_value a, struct j_value b)
{
    int64_t x, y;
    if (j_as_whole(a, &x) && j_as_whole(b, &y))
        return (x > y) - (x < y);
    const double p = j_as_real(a), q = j_as_real(b);
    return (p > q) - (p < q);
}

bool j_equal(struct j_state *s, struct j_value a, struct j_value b)
{
    if (j_is_number(a) && j_is_number(b))
        return !(a.kind == J_FLOAT && isnan(a.as.real)) && !(b.kind == J_FLOAT && isnan(b.as.real)) &&
               !numbers_order(a, b);
    if (a.kind != b.kind)
        return false;
    switch (a.kind) {
    case J_UNDEFINED:
    case J_NONE:
        return true;
    case J_TEXT:
    case J_BYTES:
        return j_spend(s, a.size / 64) && a.size == b.size && !memcmp(a.as.text, b.as.text, a.size);
    case J_LIST:
    case J_TUPLE:
        return lists_equal(s, a.as.list, b.as.list);
    case J_DICT:
        return dicts_equal(s, a.as.dict, b.as.dict);
    case J_RANGE:
        return a.as.range->n == b.as.range->n && (!a.as.range->n || a.as.range->start == b.as.range->start) &&
               (a.as.range->n < 2 || a.as.range->step == b.as.range->step);
    case J_METHOD:
        return a.as.method->builtin == b.as.method->builtin && j_equal(s, a.as.method->self, b.as.method->self);
    default:
        return a.as.list == b.as.list; /* the same thing */
    }
}

static int texts_order(struct j_value a, struct j_value b)
{
    const size_t least = a.size < b.size ? a.size : b.size;
    const int order = least ? memcmp(a.as.text, b.as.text, least) : 0; /* UTF-8 sorts as its code points do */
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

static int lists_order(struct j_state *s, const struct j_list *a, const struct j_list *b, const char *op)
{
    if (++s->depth > J_DEPTH_MOST) {
        j_fail_limit(s, "lists are nested too deeply to be compared");
        return 0;
    }
    int order = 0;
    size_t i = 0;
    for (; i < a->n && i < b->n && !s->failed; i++)
        if (!j_equal(s, a->items[i], b->items[i])) {
            order = j_order(s, a->items[i], b->items[i], op);
            s->depth--;
            return order;
        }
    s->depth--;
    return (a->n > b->n) - (a->n < b->n);
}

/* The error of using what is undefined. */
static void undefined(struct j_state *s, struct j_value a)
{
    j_binary(s, T_ADD, a, a);
}

int j_order(struct j_state *s, struct j_value a, struct j_value b, const char *op)
{
    if (!j_spend(s, 1))
        return 0;
    if (j_is_number(a) && j_is_number(b))
        return numbers_order(a, b);
    if (a.kind == J_TEXT && b.kind == J_TEXT)
        return j_spend(s, a.size / 64) ? texts_order(a, b) : 0;
    if (a.kind == b.kind && (a.kind == J_LIST || a.kind == J_TUPLE))
        return lists_order(s, a.as.list, b.as.list, op);
    if (a.kind == J_UNDEFINED || b.kind == J_UNDEFINED)
        undefined(s, a.kind == J_UNDEFINED ? a : b);
    else
        j_fail(s, "'%s' not supported between instances of '%s' and '%s'", op, j_type(a), j_type(b));
    return 0;
}

static bool text_in(struct j_state *s, struct j_value item, struct j_value text)
{
    if (!j_spend(s, text.size / 64))
        return false;
    if (!item.size)
        return true;
    return text.size >= item.size && memmem(text.as.text, text.size, item.as.text, item.size) != NULL;
}

bool j_in(struct j_state *s, struct j_value item, struct j_value container)
{
    struct j_walk walk;
    struct j_value other;
    if (container.kind == J_TEXT) {
        if (item.kind == J_TEXT)
            return text_in(s, item, container);
        j_fail(s, "'in <string>' requires string as left operand, not %s", j_type(item));
        return false;
    }
    if (container.kind == J_DICT)
        return j_dict_get(s, container.as.dict, item) != NULL;
    if (container.kind == J_SPACE || (container.kind != J_UNDEFINED && !j_walk_init(s, &walk, container))) {
        if (s->failed || container.kind == J_SPACE) {
            if (!s->failed)
                j_fail(s, "argument of type '%s' is not iterable", j_type(container));
            return false;
        }
    }
    if (container.kind == J_UNDEFINED && !j_walk_init(s, &walk, container))
        return false;
    while (j_walk_next(s, &walk, &other))
        if (j_equal(s, item, other))
            return true;
    return false;
}

static uint32_t bytes_hash(const char *text, size_t size)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)text[i]) * 16777619u;
    return hash;
}

uint32_t j_hash(struct j_state *s, struct j_value value)
{
    int64_t whole;
    uint32_t hash = value.kind;
    switch (value.kind) {
    case J_BOOL:
    case J_INT:
        j_as_whole(value, &whole);
        return (uint32_t)whole * 2654435761u;
    case J_FLOAT:
        if (value.as.real == floor(value.as.real) && fabs(value.as.real) < 0x1p62)
            return (uint32_t)(int64_t)value.as.real * 2654435761u;
        return bytes_hash((const char *)&value.as.real, sizeof value.as.real);
    case J_TEXT:
    case J_BYTES:
        return j_spend(s, value.size / 64) ? bytes_hash(value.as.text, value.size) : 0;
    case J_TUPLE:
        if (++s->depth > J_DEPTH_MOST)
            j_fail_limit(s, "tuples are nested too deeply");
        for (size_t i = 0; i < value.as.list->n && j_spend(s, 1); i++)
            hash = hash * 31 + j_hash(s, value.as.list->items[i]);
        s->depth--;
        return hash;
    case J_LIST:
    case J_DICT:
        j_fail(s, "unhashable type: '%s'", j_type(value));
        return 0;
    default:
        return hash;
    }
}

/* Merge sort of places, so that keys and items move alike. */
struct sorting {
    struct j_state *s;
    const struct j_value *keys;
    size_t *places, *spare;
    bool reverse;
};

static void merge(struct sorting *sort, size_t from, size_t middle, size_t to)
{
    size_t a = from, b = middle, n = from;
    while (a < middle && b < to && !sort->s->failed) {
        const struct j_value x = sort->keys[sort->places[a]], y = sort->keys[sort->places[b]];
        const int order = sort->reverse ? j_order(sort->s, x, y, "<") : j_order(sort->s, y, x, "<");
        const bool second = order < 0;
        sort->spare[n++] = sort->places[second ? b++ : a++];
    }
    while (a < middle)
        sort->spare[n++] = sort->places[a++];
    while (b < to)
        sort->spare[n++] = sort->places[b++];
    memcpy(sort->places + from, sort->spare + from, (to - from) * sizeof *sort->places);
}

static void permute(struct j_value *values, const size_t *places, struct j_value *spare, size_t n)
{
    for (size_t i = 0; i < n; i++)
        spare[i] = values[places[i]];
    memcpy(values, spare, n * sizeof *values);
}

void j_sort(struct j_state *s, struct j_value *keys, struct j_value *items, size_t n, bool reverse)
{
    struct sorting sort = {s, keys, NULL, NULL, reverse};
    struct j_value *spare = j_alloc(s, n, sizeof *spare);
    sort.places = j_alloc(s, n, sizeof *sort.places);
    sort.spare = j_alloc(s, n, sizeof *sort.spare);
    if (s->failed || !n)
        return;
    for (size_t i = 0; i < n; i++)
        sort.places[i] = i;
    for (size_t width = 1; width < n && !s->failed; width *= 2)
        for (size_t at = 0; at + width < n; at += 2 * width)
            merge(&sort, at, at + width, at + 2 * width < n ? at + 2 * width : n);
    permute(items, sort.places, spare, n);
    if (keys != items)
        permute(keys, sort.places, spare, n);
}
