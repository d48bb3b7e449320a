/* SPDX-License-Identifier: MIT
 * jinja_value.c - values are made, and the limits are kept. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "template/jinja.h"

static struct j_value fail(struct j_state *s, enum tare_code code, const char *format, va_list args)
{
    char text[400], where[200];
    if (s->failed)
        return j_make(J_UNDEFINED);
    s->failed = true;
    vsnprintf(text, sizeof text, format, args);
    snprintf(where, sizeof where, "%s:%d", s->where, s->line);
    s->code = tare_fail(s->err, code, where, "%s", text);
    return j_make(J_UNDEFINED);
}

struct j_value j_fail(struct j_state *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const struct j_value none = fail(s, TARE_E_FORMAT, format, args);
    va_end(args);
    return none;
}

struct j_value j_fail_limit(struct j_state *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const struct j_value none = fail(s, TARE_E_FORMAT, format, args);
    va_end(args);
    return none;
}

bool j_spend(struct j_state *s, size_t steps)
{
    if (s->failed)
        return false;
    if (steps > (size_t)J_FUEL || (s->fuel -= (int64_t)steps) < 0) {
        j_fail_limit(s, "the template takes more than %lld steps", (long long)J_FUEL);
        return false;
    }
    return true;
}

void *j_alloc(struct j_state *s, size_t n, size_t item)
{
    if (s->failed)
        return NULL;
    if (item && n > J_MADE_MOST / item) {
        j_fail_limit(s, "the template needs more than %zu MiB of memory", J_MADE_MOST >> 20);
        return NULL;
    }
    if (s->arena.total + n * item > J_MADE_MOST) {
        j_fail_limit(s, "the template needs more than %zu MiB of memory", J_MADE_MOST >> 20);
        return NULL;
    }
    void *memory = tare_arena_alloc(&s->arena, n * item);
    if (!memory) {
        s->failed = true;
        s->code = tare_fail_memory(s->err);
    }
    return memory;
}

struct j_value j_make(enum j_kind kind)
{
    return (struct j_value){.kind = (uint8_t)kind};
}

struct j_value j_bool(bool truth)
{
    return (struct j_value){.kind = J_BOOL, .as.truth = truth};
}

struct j_value j_whole(int64_t whole)
{
    return (struct j_value){.kind = J_INT, .as.whole = whole};
}

struct j_value j_real(double real)
{
    return (struct j_value){.kind = J_FLOAT, .as.real = real};
}

struct j_value j_text(const char *text, size_t size)
{
    return (struct j_value){.kind = J_TEXT, .as.text = text, .size = size};
}

struct j_value j_word(const char *text)
{
    return j_text(text, strlen(text));
}

/* size bytes at the end of what texts were made; more follow with luck. */
static char *text_room(struct j_state *s, size_t size)
{
    if (size > J_TEXT_MOST) {
        j_fail_limit(s, "the template makes a text of more than %zu MiB", J_TEXT_MOST >> 20);
        return NULL;
    }
    if (!j_spend(s, size / 64))
        return NULL;
    if (size > s->tail_room) {
        const size_t room = size > 2048 ? size * 2 : 4096;
        char *more = j_alloc(s, room, 1);
        if (!more)
            return NULL;
        s->tail = more;
        s->tail_room = room;
    }
    char *at = s->tail;
    s->tail += size;
    s->tail_room -= size;
    return at;
}

struct j_value j_copy(struct j_state *s, const char *text, size_t size)
{
    char *at = text_room(s, size);
    if (!at)
        return j_make(J_UNDEFINED);
    if (size)
        memcpy(at, text, size);
    return j_text(at, size);
}

struct j_value j_join(struct j_state *s, struct j_value a, struct j_value b)
{
    if (!b.size || !a.size)
        return b.size ? b : a;
    if (a.size + b.size > J_TEXT_MOST)
        return j_fail_limit(s, "the template makes a text of more than %zu MiB", J_TEXT_MOST >> 20);
    if (s->tail && a.as.text + a.size == s->tail && b.size <= s->tail_room) { /* texts never change: this one grows */
        if (!j_spend(s, b.size / 64))
            return j_make(J_UNDEFINED);
        memmove(s->tail, b.as.text, b.size);
        s->tail += b.size;
        s->tail_room -= b.size;
        return j_text(a.as.text, a.size + b.size);
    }
    char *at = text_room(s, a.size + b.size);
    if (!at)
        return j_make(J_UNDEFINED);
    memcpy(at, a.as.text, a.size);
    memcpy(at + a.size, b.as.text, b.size);
    return j_text(at, a.size + b.size);
}

struct j_value j_take(struct j_state *s, struct tare_text *text)
{
    struct j_value value = j_make(J_UNDEFINED);
    if (!s->failed)
        value = j_copy(s, text->data ? text->data : "", text->size);
    tare_text_release(text);
    return value;
}

void j_add(struct j_state *s, struct tare_text *text, const char *bytes, size_t n)
{
    if (n > J_TEXT_MOST || text->size + n > J_TEXT_MOST) {
        j_fail_limit(s, "the template makes a text of more than %zu MiB", J_TEXT_MOST >> 20);
        return;
    }
    if (!j_spend(s, n / 64))
        return;
    tare_text_add(text, bytes, n);
    if (text->failed && !s->failed) {
        s->failed = true;
        s->code = tare_fail_memory(s->err);
    }
}

void j_add_value(struct j_state *s, struct tare_text *text, struct j_value value)
{
    if (!s->failed)
        j_add(s, text, value.as.text, value.size);
}

void j_puts(struct j_state *s, struct tare_text *text, const char *word)
{
    j_add(s, text, word, strlen(word));
}

struct j_value j_listed(enum j_kind kind, struct j_list *list)
{
    if (!list)
        return j_make(J_UNDEFINED);
    if (kind == J_STREAM && !list->type)
        list->type = "generator";
    return (struct j_value){.kind = (uint8_t)kind, .as.list = list};
}

struct j_list *j_list_new(struct j_state *s, size_t room)
{
    struct j_list *list = j_alloc(s, 1, sizeof *list);
    if (!list)
        return NULL;
    list->items = j_alloc(s, room, sizeof *list->items);
    list->room = room;
    return list->items ? list : NULL;
}

void j_list_add(struct j_state *s, struct j_list *list, struct j_value value)
{
    if (!list || !j_spend(s, 1))
        return;
    if (list->n == list->room) {
        const size_t room = list->room ? list->room * 2 : 4;
        struct j_value *items = j_alloc(s, room, sizeof *items);
        if (!items)
            return;
        if (list->n)
            memcpy(items, list->items, list->n * sizeof *items);
        list->items = items;
        list->room = room;
    }
    list->items[list->n++] = value;
}

struct j_value j_pair(struct j_state *s, struct j_value a, struct j_value b)
{
    struct j_list *list = j_list_new(s, 2);
    j_list_add(s, list, a);
    j_list_add(s, list, b);
    return j_listed(J_TUPLE, list);
}

struct j_dict *j_dict_new(struct j_state *s, size_t room)
{
    struct j_dict *dict = j_alloc(s, 1, sizeof *dict);
    if (!dict)
        return NULL;
    dict->pairs = j_alloc(s, room, sizeof *dict->pairs);
    dict->room = room;
    return dict->pairs ? dict : NULL;
}

struct j_value j_dicted(struct j_dict *dict)
{
    return dict ? (struct j_value){.kind = J_DICT, .as.dict = dict} : j_make(J_UNDEFINED);
}

static struct j_pair *find(struct j_state *s, const struct j_dict *dict, struct j_value key, uint32_t hash)
{
    if (!j_spend(s, dict->n / 16))
        return NULL;
    for (size_t i = 0; i < dict->n; i++)
        if (dict->pairs[i].hash == hash && j_equal(s, dict->pairs[i].key, key))
            return &dict->pairs[i];
    return NULL;
}

const struct j_value *j_dict_get(struct j_state *s, const struct j_dict *dict, struct j_value key)
{
    const uint32_t hash = j_hash(s, key);
    const struct j_pair *pair = s->failed ? NULL : find(s, dict, key, hash);
    return pair ? &pair->value : NULL;
}

static void append(struct j_state *s, struct j_dict *dict, uint32_t hash, struct j_value key, struct j_value value)
{
    if (!j_spend(s, 1))
        return;
    if (dict->n == dict->room) {
        const size_t room = dict->room ? dict->room * 2 : 4;
        struct j_pair *pairs = j_alloc(s, room, sizeof *pairs);
        if (!pairs)
            return;
        if (dict->n)
            memcpy(pairs, dict->pairs, dict->n * sizeof *pairs);
        dict->pairs = pairs;
        dict->room = room;
    }
    dict->pairs[dict->n++] = (struct j_pair){hash, key, value};
}

void j_dict_append(struct j_state *s, struct j_dict *dict, struct j_value key, struct j_value value)
{
    if (dict && !s->failed)
        append(s, dict, j_hash(s, key), key, value);
}

void j_dict_set(struct j_state *s, struct j_dict *dict, struct j_value key, struct j_value value)
{
    if (!dict || s->failed)
        return;
    const uint32_t hash = j_hash(s, key);
    struct j_pair *pair = s->failed ? NULL : find(s, dict, key, hash);
    if (pair)
        pair->value = value;
    else if (!s->failed)
        append(s, dict, hash, key, value);
}

static struct j_value from_object(struct j_state *s, const json_t *json, int depth)
{
    struct j_dict *dict = j_dict_new(s, json_object_size(json));
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)json, key, value)
        j_dict_append(s, dict, j_copy(s, key, strlen(key)), j_from_json(s, value, depth + 1));
    return j_dicted(dict);
}

struct j_value j_from_json(struct j_state *s, const json_t *json, int depth)
{
    if (depth > J_NEST_MOST)
        return j_fail_limit(s, "the variables are nested more than %d deep", J_NEST_MOST);
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        return from_object(s, json, depth);
    case JSON_ARRAY: {
        struct j_list *list = j_list_new(s, json_array_size(json));
        for (size_t i = 0; i < json_array_size(json) && !s->failed; i++)
            j_list_add(s, list, j_from_json(s, json_array_get(json, i), depth + 1));
        return j_listed(J_LIST, list);
    }
    case JSON_STRING:
        return j_copy(s, json_string_value(json), json_string_length(json));
    case JSON_INTEGER:
        return j_whole(json_integer_value(json));
    case JSON_REAL:
        return j_real(json_real_value(json));
    case JSON_TRUE:
    case JSON_FALSE:
        return j_bool(json_is_true(json));
    case JSON_NULL:
        break;
    }
    return j_make(J_NONE);
}

bool j_is(struct j_value value, const char *word)
{
    return value.kind == J_TEXT && strlen(word) == value.size && !memcmp(value.as.text, word, value.size);
}

bool j_is_number(struct j_value value)
{
    return value.kind == J_BOOL || value.kind == J_INT || value.kind == J_FLOAT;
}

const char *j_type(struct j_value value)
{
    static const char *const names[] = {
        [J_ABSENT] = "Undefined", [J_UNDEFINED] = "Undefined", [J_NONE] = "NoneType",    [J_BOOL] = "bool",
        [J_INT] = "int",          [J_FLOAT] = "float",         [J_TEXT] = "str",         [J_BYTES] = "bytes",
        [J_LIST] = "list",        [J_TUPLE] = "tuple",         [J_DICT] = "dict",        [J_RANGE] = "range",
        [J_SPACE] = "TemplateNamespace", [J_LOOP] = "LoopContext", [J_MACRO] = "Macro", [J_FUNCTION] = "function",
        [J_METHOD] = "builtin_function_or_method", [J_CYCLER] = "Cycler", [J_JOINER] = "Joiner"};
    if (value.kind == J_STREAM || value.kind == J_VIEW)
        return value.as.list->type;
    return names[value.kind];
}

const char *j_object(enum j_kind kind)
{
    static const char *const names[] = {
        [J_ABSENT] = "Undefined", [J_UNDEFINED] = "Undefined", [J_NONE] = "None", [J_BOOL] = "bool object",
        [J_INT] = "int object", [J_FLOAT] = "float object", [J_TEXT] = "str object", [J_BYTES] = "bytes object",
        [J_LIST] = "list object", [J_TUPLE] = "tuple object", [J_STREAM] = "generator object",
        [J_VIEW] = "view object", [J_DICT] = "dict object", [J_RANGE] = "range object",
        [J_SPACE] = "namespace object", [J_LOOP] = "loop object", [J_MACRO] = "macro object",
        [J_FUNCTION] = "function object", [J_METHOD] = "method object", [J_CYCLER] = "cycler object",
        [J_JOINER] = "joiner object"};
    return names[kind];
}
