/* SPDX-License-Identifier: MIT
 * jinja_compare.c - truth, equality, order, membership and hashes, as Python has them. */
#define _GNU_SOURCE /* memmem */
#include <math.h>
#include <string.h>

#include "template/jinja.h"

bool tare_jinja_truth(struct tare_jinja_value value)
{
    switch (value.kind) {
    case TARE_JINJA_ABSENT:
    case TARE_JINJA_UNDEFINED:
    case TARE_JINJA_NONE:
        return false;
    case TARE_JINJA_BOOL:
        return value.as.truth;
    case TARE_JINJA_INT:
        return value.as.whole != 0;
    case TARE_JINJA_FLOAT:
        return value.as.real != 0;
    case TARE_JINJA_TEXT:
    case TARE_JINJA_BYTES:
        return value.size > 0;
    case TARE_JINJA_LIST:
    case TARE_JINJA_TUPLE:
    case TARE_JINJA_VIEW:
        return value.as.list->n > 0;
    case TARE_JINJA_DICT:
        return value.as.dict->n > 0;
    case TARE_JINJA_RANGE:
        return value.as.range->n > 0;
    default:
        return true;
    }
}

static bool lists_equal(struct tare_jinja_state *s, const struct tare_jinja_list *a, const struct tare_jinja_list *b)
{
    if (a->n != b->n || ++s->depth > TARE_JINJA_DEPTH_MOST)
        return a->n != b->n ? false : (tare_jinja_fail_limit(s, "lists are nested too deeply to be compared"), false);
    bool equal = true;
    for (size_t i = 0; i < a->n && equal; i++)
        equal = tare_jinja_spend(s, 1) && tare_jinja_equal(s, a->items[i], b->items[i]);
    s->depth--;
    return equal;
}

static bool dicts_equal(struct tare_jinja_state *s, const struct tare_jinja_dict *a, const struct tare_jinja_dict *b)
{
    if (a->n != b->n || ++s->depth > TARE_JINJA_DEPTH_MOST)
        return a->n != b->n ? false
                            : (tare_jinja_fail_limit(s, "dictionaries are nested too deeply to be compared"), false);
    bool equal = true;
    for (size_t i = 0; i < a->n && equal; i++) {
        const struct tare_jinja_value *other = tare_jinja_dict_get(s, b, a->pairs[i].key);
        equal = other && tare_jinja_equal(s, a->pairs[i].value, *other);
    }
    s->depth--;
    return equal;
}

/* Two whole numbers are compared as such; otherwise both become doubles. */
static int numbers_order(struct tare_jinja_value a, struct tare_jinja_value b)
{
    int64_t x, y;
    if (tare_jinja_as_whole(a, &x) && tare_jinja_as_whole(b, &y))
        return (x > y) - (x < y);
    const double p = tare_jinja_as_real(a), q = tare_jinja_as_real(b);
    return (p > q) - (p < q);
}

/* As in Python, True == 1 == 1.0, NaN equals nothing, and values of different types are never equal otherwise. */
bool tare_jinja_equal(struct tare_jinja_state *s, struct tare_jinja_value a, struct tare_jinja_value b)
{
    if (tare_jinja_is_number(a) && tare_jinja_is_number(b))
        return !(a.kind == TARE_JINJA_FLOAT && isnan(a.as.real)) && !(b.kind == TARE_JINJA_FLOAT && isnan(b.as.real)) &&
               !numbers_order(a, b);
    if (a.kind != b.kind)
        return false;
    switch (a.kind) {
    case TARE_JINJA_UNDEFINED:
    case TARE_JINJA_NONE:
        return true;
    case TARE_JINJA_TEXT:
    case TARE_JINJA_BYTES:
        return tare_jinja_spend(s, a.size / 64) && a.size == b.size && !memcmp(a.as.text, b.as.text, a.size);
    case TARE_JINJA_LIST:
    case TARE_JINJA_TUPLE:
        return lists_equal(s, a.as.list, b.as.list);
    case TARE_JINJA_DICT:
        return dicts_equal(s, a.as.dict, b.as.dict);
    case TARE_JINJA_RANGE:
        return a.as.range->n == b.as.range->n && (!a.as.range->n || a.as.range->start == b.as.range->start) &&
               (a.as.range->n < 2 || a.as.range->step == b.as.range->step);
    case TARE_JINJA_METHOD:
        return a.as.method->builtin == b.as.method->builtin &&
               tare_jinja_equal(s, a.as.method->self, b.as.method->self);
    default:
        /* Other objects are equal only to themselves. */
        return a.as.list == b.as.list;
    }
}

static int texts_order(struct tare_jinja_value a, struct tare_jinja_value b)
{
    const size_t least = a.size < b.size ? a.size : b.size;
    /* Bytes of UTF-8 sort as the code points do. */
    const int order = least ? memcmp(a.as.text, b.as.text, least) : 0;
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

/* The first items that differ decide; if there are none, the shorter list comes first. */
static int lists_order(struct tare_jinja_state *s, const struct tare_jinja_list *a, const struct tare_jinja_list *b,
                       const char *op)
{
    if (++s->depth > TARE_JINJA_DEPTH_MOST) {
        tare_jinja_fail_limit(s, "lists are nested too deeply to be compared");
        return 0;
    }
    int order = 0;
    size_t i = 0;
    for (; i < a->n && i < b->n && !s->failed; i++)
        if (!tare_jinja_equal(s, a->items[i], b->items[i])) {
            order = tare_jinja_order(s, a->items[i], b->items[i], op);
            s->depth--;
            return order;
        }
    s->depth--;
    return (a->n > b->n) - (a->n < b->n);
}

/* Fails with the error of using an undefined value, which adding two of them raises. */
static void undefined(struct tare_jinja_state *s, struct tare_jinja_value a)
{
    tare_jinja_binary(s, T_ADD, a, a);
}

int tare_jinja_order(struct tare_jinja_state *s, struct tare_jinja_value a, struct tare_jinja_value b, const char *op)
{
    if (!tare_jinja_spend(s, 1))
        return 0;
    if (tare_jinja_is_number(a) && tare_jinja_is_number(b))
        return numbers_order(a, b);
    if (a.kind == TARE_JINJA_TEXT && b.kind == TARE_JINJA_TEXT)
        return tare_jinja_spend(s, a.size / 64) ? texts_order(a, b) : 0;
    if (a.kind == b.kind && (a.kind == TARE_JINJA_LIST || a.kind == TARE_JINJA_TUPLE))
        return lists_order(s, a.as.list, b.as.list, op);
    if (a.kind == TARE_JINJA_UNDEFINED || b.kind == TARE_JINJA_UNDEFINED)
        undefined(s, a.kind == TARE_JINJA_UNDEFINED ? a : b);
    else
        tare_jinja_fail(s, "'%s' not supported between instances of '%s' and '%s'", op, tare_jinja_type(a),
                        tare_jinja_type(b));
    return 0;
}

static bool text_in(struct tare_jinja_state *s, struct tare_jinja_value item, struct tare_jinja_value text)
{
    if (!tare_jinja_spend(s, text.size / 64))
        return false;
    if (!item.size)
        return true;
    return text.size >= item.size && memmem(text.as.text, text.size, item.as.text, item.size) != NULL;
}

bool tare_jinja_in(struct tare_jinja_state *s, struct tare_jinja_value item, struct tare_jinja_value container)
{
    struct tare_jinja_walk walk;
    struct tare_jinja_value other;
    if (container.kind == TARE_JINJA_TEXT) {
        if (item.kind == TARE_JINJA_TEXT)
            return text_in(s, item, container);
        tare_jinja_fail(s, "'in <string>' requires string as left operand, not %s", tare_jinja_type(item));
        return false;
    }
    if (container.kind == TARE_JINJA_DICT)
        return tare_jinja_dict_get(s, container.as.dict, item) != NULL;
    if (container.kind == TARE_JINJA_SPACE ||
        (container.kind != TARE_JINJA_UNDEFINED && !tare_jinja_walk_init(s, &walk, container))) {
        if (s->failed || container.kind == TARE_JINJA_SPACE) {
            if (!s->failed)
                tare_jinja_fail(s, "argument of type '%s' is not iterable", tare_jinja_type(container));
            return false;
        }
    }
    if (container.kind == TARE_JINJA_UNDEFINED && !tare_jinja_walk_init(s, &walk, container))
        return false;
    while (tare_jinja_walk_next(s, &walk, &other))
        if (tare_jinja_equal(s, item, other))
            return true;
    return false;
}

/* FNV-1a. */
static uint32_t bytes_hash(const char *text, size_t size)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)text[i]) * 16777619u;
    return hash;
}

/* Equal values must have equal hashes, so a float that is a whole number is hashed as that number. */
uint32_t tare_jinja_hash(struct tare_jinja_state *s, struct tare_jinja_value value)
{
    int64_t whole;
    uint32_t hash = value.kind;
    switch (value.kind) {
    case TARE_JINJA_BOOL:
    case TARE_JINJA_INT:
        tare_jinja_as_whole(value, &whole);
        return (uint32_t)whole * 2654435761u;
    case TARE_JINJA_FLOAT:
        if (value.as.real == floor(value.as.real) && fabs(value.as.real) < 0x1p62)
            return (uint32_t)(int64_t)value.as.real * 2654435761u;
        return bytes_hash((const char *)&value.as.real, sizeof value.as.real);
    case TARE_JINJA_TEXT:
    case TARE_JINJA_BYTES:
        return tare_jinja_spend(s, value.size / 64) ? bytes_hash(value.as.text, value.size) : 0;
    case TARE_JINJA_TUPLE:
        if (++s->depth > TARE_JINJA_DEPTH_MOST)
            tare_jinja_fail_limit(s, "tuples are nested too deeply");
        for (size_t i = 0; i < value.as.list->n && tare_jinja_spend(s, 1); i++)
            hash = hash * 31 + tare_jinja_hash(s, value.as.list->items[i]);
        s->depth--;
        return hash;
    case TARE_JINJA_LIST:
    case TARE_JINJA_DICT:
        tare_jinja_fail(s, "unhashable type: '%s'", tare_jinja_type(value));
        return 0;
    default:
        return hash;
    }
}

/* A merge sort of places instead of values, so that keys and items can be reordered alike. */
struct sorting {
    struct tare_jinja_state *s;
    const struct tare_jinja_value *keys;
    size_t *places, *spare;
    bool reverse;
};

/* Merges two sorted runs. The second one's item goes first only if it is strictly less, which keeps the sort stable;
 * reversed, the comparison is turned around instead of the result, as in Python. */
static void merge(struct sorting *sort, size_t from, size_t middle, size_t to)
{
    size_t a = from, b = middle, n = from;
    while (a < middle && b < to && !sort->s->failed) {
        const struct tare_jinja_value x = sort->keys[sort->places[a]], y = sort->keys[sort->places[b]];
        const int order = sort->reverse ? tare_jinja_order(sort->s, x, y, "<") : tare_jinja_order(sort->s, y, x, "<");
        const bool second = order < 0;
        sort->spare[n++] = sort->places[second ? b++ : a++];
    }
    while (a < middle)
        sort->spare[n++] = sort->places[a++];
    while (b < to)
        sort->spare[n++] = sort->places[b++];
    memcpy(sort->places + from, sort->spare + from, (to - from) * sizeof *sort->places);
}

static void permute(struct tare_jinja_value *values, const size_t *places, struct tare_jinja_value *spare, size_t n)
{
    for (size_t i = 0; i < n; i++)
        spare[i] = values[places[i]];
    memcpy(values, spare, n * sizeof *values);
}

void tare_jinja_sort(struct tare_jinja_state *s, struct tare_jinja_value *keys, struct tare_jinja_value *items,
                     size_t n, bool reverse)
{
    struct sorting sort = {s, keys, NULL, NULL, reverse};
    struct tare_jinja_value *spare = tare_jinja_alloc(s, n, sizeof *spare);
    sort.places = tare_jinja_alloc(s, n, sizeof *sort.places);
    sort.spare = tare_jinja_alloc(s, n, sizeof *sort.spare);
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
