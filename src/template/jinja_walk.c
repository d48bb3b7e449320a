/* SPDX-License-Identifier: MIT
 * jinja_walk.c - walks over values, measures, indexes and slices them, and finds attributes. */
#include <string.h>

#include "template/jinja.h"
#include "text/unicode.h"

bool tare_jinja_walk_init(struct tare_jinja_state *s, struct tare_jinja_walk *walk, struct tare_jinja_value value)
{
    *walk = (struct tare_jinja_walk){.value = value};
    if (s->failed)
        return false;
    switch (value.kind) {
    case TARE_JINJA_UNDEFINED:
        if (value.unsafe)
            return tare_jinja_binary(s, T_ADD, value, value), false;
        return true;
    case TARE_JINJA_TEXT:
    case TARE_JINJA_BYTES:
        walk->n = value.size;
        return true;
    case TARE_JINJA_STREAM:
        walk->n = value.as.list->spent ? 0 : value.as.list->n;
        value.as.list->spent = true;
        return true;
    case TARE_JINJA_LIST:
    case TARE_JINJA_TUPLE:
    case TARE_JINJA_VIEW:
        walk->n = value.as.list->n;
        return true;
    case TARE_JINJA_DICT:
        walk->n = value.as.dict->n;
        return true;
    case TARE_JINJA_RANGE:
        walk->n = (size_t)value.as.range->n;
        return true;
    default:
        tare_jinja_fail(s, "'%s' object is not iterable", tare_jinja_type(value));
        return false;
    }
}

bool tare_jinja_walk_next(struct tare_jinja_state *s, struct tare_jinja_walk *walk, struct tare_jinja_value *item)
{
    const struct tare_jinja_value *v = &walk->value;
    if (walk->at >= walk->n || !tare_jinja_spend(s, 1))
        return false;
    const size_t at = walk->at++;
    switch (v->kind) {
    case TARE_JINJA_TEXT: {
        const size_t n = tare_utf8_size(v->as.text[at]);
        *item = tare_jinja_text(v->as.text + at, n);
        walk->at = at + n;
        return true;
    }
    case TARE_JINJA_BYTES:
        *item = tare_jinja_whole((unsigned char)v->as.text[at]);
        return true;
    case TARE_JINJA_DICT:
        *item = v->as.dict->pairs[at].key;
        return true;
    case TARE_JINJA_RANGE:
        *item = tare_jinja_whole(v->as.range->start + (int64_t)at * v->as.range->step);
        return true;
    default:
        *item = v->as.list->items[at];
        return true;
    }
}

struct tare_jinja_list *tare_jinja_collect(struct tare_jinja_state *s, struct tare_jinja_value value)
{
    struct tare_jinja_walk walk;
    struct tare_jinja_value item;
    if (!tare_jinja_walk_init(s, &walk, value))
        return NULL;
    struct tare_jinja_list *list =
        tare_jinja_list_new(s, walk.n < 1024 || value.kind != TARE_JINJA_TEXT ? walk.n : 1024);
    while (list && tare_jinja_walk_next(s, &walk, &item))
        tare_jinja_list_add(s, list, item);
    return s->failed ? NULL : list;
}

size_t tare_jinja_characters(const char *text, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < size; i++)
        n += ((unsigned char)text[i] & 0xc0) != 0x80;
    return n;
}

size_t tare_jinja_offset(const char *text, size_t size, size_t characters)
{
    size_t at = 0;
    while (at < size && characters--)
        at += tare_utf8_size(text[at]);
    return at;
}

int64_t tare_jinja_length(struct tare_jinja_state *s, struct tare_jinja_value value)
{
    switch (value.kind) {
    case TARE_JINJA_UNDEFINED:
        if (value.unsafe)
            tare_jinja_binary(s, T_ADD, value, value);
        return 0;
    case TARE_JINJA_TEXT:
        return tare_jinja_spend(s, value.size / 64) ? (int64_t)tare_jinja_characters(value.as.text, value.size) : 0;
    case TARE_JINJA_BYTES:
        return (int64_t)value.size;
    case TARE_JINJA_LIST:
    case TARE_JINJA_TUPLE:
    case TARE_JINJA_VIEW:
        return (int64_t)value.as.list->n;
    case TARE_JINJA_DICT:
        return (int64_t)value.as.dict->n;
    case TARE_JINJA_RANGE:
        return value.as.range->n;
    case TARE_JINJA_LOOP:
        return value.as.loop->length;
    default:
        tare_jinja_fail(s, "object of type '%s' has no len()", tare_jinja_type(value));
        return 0;
    }
}

static struct tare_jinja_value missing(struct tare_jinja_value object, struct tare_jinja_value key)
{
    struct tare_jinja_value none = {.kind = TARE_JINJA_UNDEFINED, .owner = object.kind};
    if (key.kind == TARE_JINJA_TEXT) {
        none.as.text = key.as.text;
        none.size = key.size;
    } else {
        none.as.text = NULL;
        none.size = key.kind == TARE_JINJA_INT ? (size_t)key.as.whole : 0;
    }
    return none;
}

static struct tare_jinja_value item_at(struct tare_jinja_state *s, struct tare_jinja_value object, int64_t i)
{
    const int64_t n = tare_jinja_length(s, object);
    if (i < 0)
        i += n;
    if (i < 0 || i >= n || s->failed)
        return tare_jinja_make(TARE_JINJA_ABSENT);
    if (object.kind == TARE_JINJA_TEXT) {
        const size_t from = tare_jinja_offset(object.as.text, object.size, (size_t)i);
        return tare_jinja_text(object.as.text + from, tare_utf8_size(object.as.text[from]));
    }
    if (object.kind == TARE_JINJA_BYTES)
        return tare_jinja_whole((unsigned char)object.as.text[i]);
    if (object.kind == TARE_JINJA_RANGE)
        return tare_jinja_whole(object.as.range->start + i * object.as.range->step);
    return object.as.list->items[i];
}

const struct tare_jinja_builtin *tare_jinja_method_find(struct tare_jinja_value object, struct tare_jinja_value name)
{
    const struct tare_jinja_builtin *table = NULL;
    switch (object.kind) {
    case TARE_JINJA_TEXT:
        table = tare_jinja_text_methods;
        break;
    case TARE_JINJA_LIST:
        table = tare_jinja_list_methods;
        break;
    case TARE_JINJA_TUPLE:
    case TARE_JINJA_RANGE:
        table = tare_jinja_tuple_methods;
        break;
    case TARE_JINJA_DICT:
        table = tare_jinja_dict_methods;
        break;
    case TARE_JINJA_INT:
    case TARE_JINJA_BOOL:
    case TARE_JINJA_FLOAT:
        table = tare_jinja_number_methods;
        break;
    case TARE_JINJA_CYCLER:
        table = tare_jinja_cycler_methods;
        break;
    case TARE_JINJA_LOOP:
        table = tare_jinja_loop_methods;
        break;
    case TARE_JINJA_FUNCTION:
        table = !strcmp(object.as.builtin->name, "dict") ? tare_jinja_dict_methods : NULL;
        break;
    default:
        break;
    }
    return table ? tare_jinja_builtin_find(table, name) : NULL;
}

struct tare_jinja_value tare_jinja_own(struct tare_jinja_state *s, struct tare_jinja_value object,
                                       struct tare_jinja_value name)
{
    const struct tare_jinja_builtin *method = tare_jinja_method_find(object, name);
    if (method && method->parameters) {
        struct tare_jinja_method *bound = tare_jinja_alloc(s, 1, sizeof *bound);
        if (!bound)
            return tare_jinja_make(TARE_JINJA_UNDEFINED);
        *bound = (struct tare_jinja_method){object, method};
        return (struct tare_jinja_value){.kind = TARE_JINJA_METHOD, .as.method = bound};
    }
    if (method || (name.size > 4 && !memcmp(name.as.text, "__", 2) && !memcmp(name.as.text + name.size - 2, "__", 2))) {
        struct tare_jinja_value unsafe = missing(object, name);
        unsafe.unsafe = true;
        return unsafe;
    }
    if (object.kind == TARE_JINJA_LOOP)
        return tare_jinja_loop_attribute(s, object.as.loop, name);
    if (object.kind == TARE_JINJA_MACRO)
        return tare_jinja_macro_attribute(s, object.as.macro, name);
    if (object.kind == TARE_JINJA_CYCLER && tare_jinja_is(name, "current"))
        return object.as.list->items[object.as.list->at];
    if (object.kind == TARE_JINJA_TUPLE && object.as.list->type && tare_jinja_is(name, "grouper"))
        return object.as.list->items[0];
    if (object.kind == TARE_JINJA_TUPLE && object.as.list->type && tare_jinja_is(name, "list"))
        return object.as.list->items[1];
    if ((object.kind == TARE_JINJA_INT || object.kind == TARE_JINJA_FLOAT) && tare_jinja_is(name, "real"))
        return object;
    return tare_jinja_make(TARE_JINJA_ABSENT);
}

/* Returns what a container has under a key, or TARE_JINJA_ABSENT. */
static struct tare_jinja_value contained(struct tare_jinja_state *s, struct tare_jinja_value object,
                                         struct tare_jinja_value key)
{
    int64_t i;
    switch (object.kind) {
    case TARE_JINJA_DICT: {
        if (key.kind == TARE_JINJA_LIST || key.kind == TARE_JINJA_DICT)
            return tare_jinja_make(TARE_JINJA_ABSENT);
        const struct tare_jinja_value *value = tare_jinja_dict_get(s, object.as.dict, key);
        return value ? *value : tare_jinja_make(TARE_JINJA_ABSENT);
    }
    case TARE_JINJA_TEXT:
    case TARE_JINJA_BYTES:
    case TARE_JINJA_LIST:
    case TARE_JINJA_TUPLE:
    case TARE_JINJA_RANGE:
        return tare_jinja_as_whole(key, &i) ? item_at(s, object, i) : tare_jinja_make(TARE_JINJA_ABSENT);
    default:
        return tare_jinja_make(TARE_JINJA_ABSENT);
    }
}

static struct tare_jinja_value space_item(struct tare_jinja_state *s, struct tare_jinja_value space,
                                          struct tare_jinja_value name)
{
    const struct tare_jinja_value *value =
        name.kind == TARE_JINJA_TEXT ? tare_jinja_dict_get(s, space.as.dict, name) : NULL;
    if (value)
        return *value;
    struct tare_jinja_value none = missing(space, name);
    none.unsafe = name.kind == TARE_JINJA_TEXT && name.size > 4 && !memcmp(name.as.text, "__", 2);
    return none;
}

struct tare_jinja_value tare_jinja_attribute(struct tare_jinja_state *s, struct tare_jinja_value object,
                                             struct tare_jinja_value name)
{
    if (object.kind == TARE_JINJA_UNDEFINED)
        return tare_jinja_binary(s, T_ADD, object, object);
    if (object.kind == TARE_JINJA_SPACE)
        return space_item(s, object, name);
    struct tare_jinja_value value = tare_jinja_own(s, object, name);
    if (value.kind == TARE_JINJA_ABSENT && !s->failed)
        value = contained(s, object, name);
    return value.kind == TARE_JINJA_ABSENT ? missing(object, name) : value;
}

struct tare_jinja_value tare_jinja_item(struct tare_jinja_state *s, struct tare_jinja_value object,
                                        struct tare_jinja_value key)
{
    if (object.kind == TARE_JINJA_UNDEFINED)
        return tare_jinja_binary(s, T_ADD, object, object);
    if (object.kind == TARE_JINJA_SPACE)
        return space_item(s, object, key);
    struct tare_jinja_value value = contained(s, object, key);
    if (value.kind == TARE_JINJA_ABSENT && !s->failed && key.kind == TARE_JINJA_TEXT)
        value = tare_jinja_own(s, object, key);
    return value.kind == TARE_JINJA_ABSENT ? missing(object, key) : value;
}

/* ---- slices ------------------------------------------------------------------------------------------------------ */

struct slice {
    int64_t start, stop, step, n;
};

static int64_t clamp(int64_t i, int64_t length, bool down)
{
    if (i < 0)
        i = i < -length ? -1 : i + length;
    else if (i > length)
        i = length;
    if (i < 0)
        return down ? -1 : 0;
    return i >= length && down ? length - 1 : i;
}

static bool slice_init(struct tare_jinja_state *s, struct slice *slice, const struct tare_jinja_value bounds[3],
                       int64_t length)
{
    for (int i = 0; i < 3; i++)
        if (bounds[i].kind != TARE_JINJA_NONE && bounds[i].kind != TARE_JINJA_INT && bounds[i].kind != TARE_JINJA_BOOL)
            return tare_jinja_fail(s, "slice indices must be integers or None, not %s", tare_jinja_type(bounds[i])),
                   false;
    int64_t start = 0, stop = 0;
    slice->step = 1;
    tare_jinja_as_whole(bounds[2], &slice->step);
    if (!slice->step)
        return tare_jinja_fail(s, "slice step cannot be zero"), false;
    if (slice->step < -INT32_MAX)
        slice->step = -INT32_MAX;
    if (slice->step > INT32_MAX)
        slice->step = INT32_MAX;
    const bool down = slice->step < 0;
    slice->start = tare_jinja_as_whole(bounds[0], &start) ? clamp(start, length, down) : down ? length - 1 : 0;
    slice->stop = tare_jinja_as_whole(bounds[1], &stop) ? clamp(stop, length, down) : down ? -1 : length;
    const int64_t span = down ? slice->start - slice->stop : slice->stop - slice->start;
    const int64_t size = down ? -slice->step : slice->step;
    slice->n = span > 0 ? (span + size - 1) / size : 0;
    return true;
}

static struct tare_jinja_value slice_text(struct tare_jinja_state *s, struct tare_jinja_value text,
                                          const struct slice *slice)
{
    struct tare_text out = {0};
    if (!slice->n)
        return tare_jinja_text("", 0);
    if (slice->step == 1) {
        const size_t from = tare_jinja_offset(text.as.text, text.size, (size_t)slice->start);
        return tare_jinja_text(text.as.text + from,
                               tare_jinja_offset(text.as.text + from, text.size - from, (size_t)slice->n));
    }
    struct tare_jinja_list *characters = tare_jinja_collect(s, text);
    int64_t at = slice->start;
    for (int64_t i = 0; i < slice->n && !s->failed; i++, at += slice->step)
        tare_jinja_add_value(s, &out, characters->items[at]);
    return tare_jinja_take(s, &out);
}

static struct tare_jinja_value slice_range(struct tare_jinja_state *s, const struct tare_jinja_range *range,
                                           const struct slice *slice)
{
    struct tare_jinja_range *part = tare_jinja_alloc(s, 1, sizeof *part);
    if (!part)
        return tare_jinja_make(TARE_JINJA_UNDEFINED);
    const uint64_t start = (uint64_t)range->start,
                   step = (uint64_t)range->step; /* unsigned: what overflows is no item */
    *part = (struct tare_jinja_range){(int64_t)(start + (uint64_t)slice->start * step),
                                      (int64_t)(start + (uint64_t)slice->stop * step),
                                      (int64_t)(step * (uint64_t)slice->step), slice->n};
    return (struct tare_jinja_value){.kind = TARE_JINJA_RANGE, .as.range = part};
}

struct tare_jinja_value tare_jinja_slice(struct tare_jinja_state *s, struct tare_jinja_value object,
                                         const struct tare_jinja_value bounds[3])
{
    struct slice slice;
    if (object.kind == TARE_JINJA_UNDEFINED)
        return tare_jinja_binary(s, T_ADD, object, object);
    if (object.kind != TARE_JINJA_TEXT && object.kind != TARE_JINJA_LIST && object.kind != TARE_JINJA_TUPLE &&
        object.kind != TARE_JINJA_RANGE)
        return missing(object, tare_jinja_word("slice"));
    if (!slice_init(s, &slice, bounds, tare_jinja_length(s, object)))
        return object;
    if (object.kind == TARE_JINJA_TEXT)
        return slice_text(s, object, &slice);
    if (object.kind == TARE_JINJA_RANGE)
        return slice_range(s, object.as.range, &slice);
    struct tare_jinja_list *list = tare_jinja_list_new(s, (size_t)slice.n);
    int64_t at = slice.start;
    for (int64_t i = 0; i < slice.n && !s->failed; i++, at += slice.step)
        tare_jinja_list_add(s, list, item_at(s, object, at));
    return tare_jinja_listed(object.kind == TARE_JINJA_TUPLE ? TARE_JINJA_TUPLE : TARE_JINJA_LIST, list);
}
