/* SPDX-License-Identifier: MIT
 * jinja_walk.c - walking, measuring, indexing, slicing, and what an attribute is. */
#include <string.h>

#include "template/jinja.h"
#include "text/unicode.h"

bool j_walk_init(struct j_state *s, struct j_walk *walk, struct j_value value)
{
    *walk = (struct j_walk){.value = value};
    if (s->failed)
        return false;
    switch (value.kind) {
    case J_UNDEFINED:
        if (value.unsafe)
            return j_binary(s, T_ADD, value, value), false;
        return true;
    case J_TEXT:
    case J_BYTES:
        walk->n = value.size;
        return true;
    case J_STREAM:
        walk->n = value.as.list->spent ? 0 : value.as.list->n;
        value.as.list->spent = true;
        return true;
    case J_LIST:
    case J_TUPLE:
    case J_VIEW:
        walk->n = value.as.list->n;
        return true;
    case J_DICT:
        walk->n = value.as.dict->n;
        return true;
    case J_RANGE:
        walk->n = (size_t)value.as.range->n;
        return true;
    default:
        j_fail(s, "'%s' object is not iterable", j_type(value));
        return false;
    }
}

bool j_walk_next(struct j_state *s, struct j_walk *walk, struct j_value *item)
{
    const struct j_value *v = &walk->value;
    if (walk->at >= walk->n || !j_spend(s, 1))
        return false;
    const size_t at = walk->at++;
    switch (v->kind) {
    case J_TEXT: {
        const size_t n = tare_utf8_size(v->as.text[at]);
        *item = j_text(v->as.text + at, n);
        walk->at = at + n;
        return true;
    }
    case J_BYTES:
        *item = j_whole((unsigned char)v->as.text[at]);
        return true;
    case J_DICT:
        *item = v->as.dict->pairs[at].key;
        return true;
    case J_RANGE:
        *item = j_whole(v->as.range->start + (int64_t)at * v->as.range->step);
        return true;
    default:
        *item = v->as.list->items[at];
        return true;
    }
}

struct j_list *j_collect(struct j_state *s, struct j_value value)
{
    struct j_walk walk;
    struct j_value item;
    if (!j_walk_init(s, &walk, value))
        return NULL;
    struct j_list *list = j_list_new(s, walk.n < 1024 || value.kind != J_TEXT ? walk.n : 1024);
    while (list && j_walk_next(s, &walk, &item))
        j_list_add(s, list, item);
    return s->failed ? NULL : list;
}

size_t j_characters(const char *text, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < size; i++)
        n += ((unsigned char)text[i] & 0xc0) != 0x80;
    return n;
}

size_t j_offset(const char *text, size_t size, size_t characters)
{
    size_t at = 0;
    while (at < size && characters--)
        at += tare_utf8_size(text[at]);
    return at;
}

int64_t j_length(struct j_state *s, struct j_value value)
{
    switch (value.kind) {
    case J_UNDEFINED:
        if (value.unsafe)
            j_binary(s, T_ADD, value, value);
        return 0;
    case J_TEXT:
        return j_spend(s, value.size / 64) ? (int64_t)j_characters(value.as.text, value.size) : 0;
    case J_BYTES:
        return (int64_t)value.size;
    case J_LIST:
    case J_TUPLE:
    case J_VIEW:
        return (int64_t)value.as.list->n;
    case J_DICT:
        return (int64_t)value.as.dict->n;
    case J_RANGE:
        return value.as.range->n;
    case J_LOOP:
        return value.as.loop->length;
    default:
        j_fail(s, "object of type '%s' has no len()", j_type(value));
        return 0;
    }
}

static struct j_value missing(struct j_value object, struct j_value key)
{
    struct j_value none = {.kind = J_UNDEFINED, .owner = object.kind};
    if (key.kind == J_TEXT) {
        none.as.text = key.as.text;
        none.size = key.size;
    } else {
        none.as.text = NULL;
        none.size = key.kind == J_INT ? (size_t)key.as.whole : 0;
    }
    return none;
}

static struct j_value item_at(struct j_state *s, struct j_value object, int64_t i)
{
    const int64_t n = j_length(s, object);
    if (i < 0)
        i += n;
    if (i < 0 || i >= n || s->failed)
        return j_make(J_ABSENT);
    if (object.kind == J_TEXT) {
        const size_t from = j_offset(object.as.text, object.size, (size_t)i);
        return j_text(object.as.text + from, tare_utf8_size(object.as.text[from]));
    }
    if (object.kind == J_BYTES)
        return j_whole((unsigned char)object.as.text[i]);
    if (object.kind == J_RANGE)
        return j_whole(object.as.range->start + i * object.as.range->step);
    return object.as.list->items[i];
}

const struct j_builtin *j_method_find(struct j_value object, struct j_value name)
{
    const struct j_builtin *table = NULL;
    switch (object.kind) {
    case J_TEXT:
        table = j_text_methods;
        break;
    case J_LIST:
        table = j_list_methods;
        break;
    case J_TUPLE:
    case J_RANGE:
        table = j_tuple_methods;
        break;
    case J_DICT:
        table = j_dict_methods;
        break;
    case J_INT:
    case J_BOOL:
    case J_FLOAT:
        table = j_number_methods;
        break;
    case J_CYCLER:
        table = j_cycler_methods;
        break;
    case J_LOOP:
        table = j_loop_methods;
        break;
    case J_FUNCTION:
        table = !strcmp(object.as.builtin->name, "dict") ? j_dict_methods : NULL;
        break;
    default:
        break;
    }
    return table ? j_builtin_find(table, name) : NULL;
}

/* What an object has under a name without being a container; J_ABSENT: nothing. */
static struct j_value own(struct j_state *s, struct j_value object, struct j_value name)
{
    const struct j_builtin *method = j_method_find(object, name);
    if (method && method->parameters) {
        struct j_method *bound = j_alloc(s, 1, sizeof *bound);
        if (!bound)
            return j_make(J_UNDEFINED);
        *bound = (struct j_method){object, method};
        return (struct j_value){.kind = J_METHOD, .as.method = bound};
    }
    if (method || (name.size > 4 && !memcmp(name.as.text, "__", 2) && !memcmp(name.as.text + name.size - 2, "__", 2))) {
        struct j_value unsafe = missing(object, name);
        unsafe.unsafe = true;
        return unsafe;
    }
    if (object.kind == J_LOOP)
        return j_loop_attribute(s, object.as.loop, name);
    if (object.kind == J_MACRO)
        return j_macro_attribute(s, object.as.macro, name);
    if (object.kind == J_CYCLER && j_is(name, "current"))
        return object.as.list->items[object.as.list->at];
    if (object.kind == J_TUPLE && object.as.list->type && j_is(name, "grouper"))
        return object.as.list->items[0];
    if (object.kind == J_TUPLE && object.as.list->type && j_is(name, "list"))
        return object.as.list->items[1];
    if ((object.kind == J_INT || object.kind == J_FLOAT) && j_is(name, "real"))
        return object;
    return j_make(J_ABSENT);
}

/* What a container has under a key; J_ABSENT: nothing. */
static struct j_value contained(struct j_state *s, struct j_value object, struct j_value key)
{
    int64_t i;
    switch (object.kind) {
    case J_DICT: {
        if (key.kind == J_LIST || key.kind == J_DICT)
            return j_make(J_ABSENT);
        const struct j_value *value = j_dict_get(s, object.as.dict, key);
        return value ? *value : j_make(J_ABSENT);
    }
    case J_TEXT:
    case J_BYTES:
    case J_LIST:
    case J_TUPLE:
    case J_RANGE:
        return j_as_whole(key, &i) ? item_at(s, object, i) : j_make(J_ABSENT);
    default:
        return j_make(J_ABSENT);
    }
}

static struct j_value space_item(struct j_state *s, struct j_value space, struct j_value name)
{
    const struct j_value *value = name.kind == J_TEXT ? j_dict_get(s, space.as.dict, name) : NULL;
    if (value)
        return *value;
    struct j_value none = missing(space, name);
    none.unsafe = name.kind == J_TEXT && name.size > 4 && !memcmp(name.as.text, "__", 2);
    return none;
}

struct j_value j_attribute(struct j_state *s, struct j_value object, struct j_value name)
{
    if (object.kind == J_UNDEFINED)
        return j_binary(s, T_ADD, object, object);
    if (object.kind == J_SPACE)
        return space_item(s, object, name);
    struct j_value value = own(s, object, name);
    if (value.kind == J_ABSENT && !s->failed)
        value = contained(s, object, name);
    return value.kind == J_ABSENT ? missing(object, name) : value;
}

struct j_value j_item(struct j_state *s, struct j_value object, struct j_value key)
{
    if (object.kind == J_UNDEFINED)
        return j_binary(s, T_ADD, object, object);
    if (object.kind == J_SPACE)
        return space_item(s, object, key);
    struct j_value value = contained(s, object, key);
    if (value.kind == J_ABSENT && !s->failed && key.kind == J_TEXT)
        value = own(s, object, key);
    return value.kind == J_ABSENT ? missing(object, key) : value;
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

static bool slice_init(struct j_state *s, struct slice *slice, const struct j_value bounds[3], int64_t length)
{
    for (int i = 0; i < 3; i++)
        if (bounds[i].kind != J_NONE && bounds[i].kind != J_INT && bounds[i].kind != J_BOOL)
            return j_fail(s, "slice indices must be integers or None, not %s", j_type(bounds[i])), false;
    int64_t start = 0, stop = 0;
    slice->step = 1;
    j_as_whole(bounds[2], &slice->step);
    if (!slice->step)
        return j_fail(s, "slice step cannot be zero"), false;
    if (slice->step < -INT32_MAX)
        slice->step = -INT32_MAX;
    if (slice->step > INT32_MAX)
        slice->step = INT32_MAX;
    const bool down = slice->step < 0;
    slice->start = j_as_whole(bounds[0], &start) ? clamp(start, length, down) : down ? length - 1 : 0;
    slice->stop = j_as_whole(bounds[1], &stop) ? clamp(stop, length, down) : down ? -1 : length;
    const int64_t span = down ? slice->start - slice->stop : slice->stop - slice->start;
    const int64_t size = down ? -slice->step : slice->step;
    slice->n = span > 0 ? (span + size - 1) / size : 0;
    return true;
}

static struct j_value slice_text(struct j_state *s, struct j_value text, const struct slice *slice)
{
    struct tare_text out = {0};
    if (!slice->n)
        return j_text("", 0);
    if (slice->step == 1) {
        const size_t from = j_offset(text.as.text, text.size, (size_t)slice->start);
        return j_text(text.as.text + from, j_offset(text.as.text + from, text.size - from, (size_t)slice->n));
    }
    struct j_list *characters = j_collect(s, text);
    int64_t at = slice->start;
    for (int64_t i = 0; i < slice->n && !s->failed; i++, at += slice->step)
        j_add_value(s, &out, characters->items[at]);
    return j_take(s, &out);
}

struct j_value j_slice(struct j_state *s, struct j_value object, const struct j_value bounds[3])
{
    struct slice slice;
    if (object.kind == J_UNDEFINED)
        return j_binary(s, T_ADD, object, object);
    if (object.kind != J_TEXT && object.kind != J_LIST && object.kind != J_TUPLE && object.kind != J_RANGE)
        return missing(object, j_word("slice"));
    if (!slice_init(s, &slice, bounds, j_length(s, object)))
        return object;
    if (object.kind == J_TEXT)
        return slice_text(s, object, &slice);
    struct j_list *list = j_list_new(s, (size_t)slice.n);
    int64_t at = slice.start;
    for (int64_t i = 0; i < slice.n && !s->failed; i++, at += slice.step)
        j_list_add(s, list, item_at(s, object, at));
    return j_listed(object.kind == J_TUPLE ? J_TUPLE : J_LIST, list);
}
