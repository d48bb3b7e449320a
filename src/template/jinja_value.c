/* SPDX-License-Identifier: MIT
 * jinja_value.c - makes values and enforces the limits on steps and memory. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/locale.h"
#include "template/jinja.h"

static struct tare_jinja_value fail(struct tare_jinja_state *s, enum tare_code code, const char *format, va_list args)
{
    char text[400], where[200];
    if (s->failed)
        return tare_jinja_make(TARE_JINJA_UNDEFINED);
    s->failed = true;
    tare_vformat(text, sizeof text, format, args);
    snprintf(where, sizeof where, "%s:%d", s->where, s->line);
    s->code = tare_fail(s->err, code, where, "%s", text);
    return tare_jinja_make(TARE_JINJA_UNDEFINED);
}

struct tare_jinja_value tare_jinja_fail(struct tare_jinja_state *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const struct tare_jinja_value none = fail(s, TARE_E_FORMAT, format, args);
    va_end(args);
    return none;
}

struct tare_jinja_value tare_jinja_fail_limit(struct tare_jinja_state *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const struct tare_jinja_value none = fail(s, TARE_E_FORMAT, format, args);
    va_end(args);
    return none;
}

bool tare_jinja_spend(struct tare_jinja_state *s, size_t steps)
{
    if (s->failed)
        return false;
    if (steps > (size_t)TARE_JINJA_FUEL || (s->fuel -= (int64_t)steps) < 0) {
        tare_jinja_fail_limit(s, "the template takes more than %lld steps", (long long)TARE_JINJA_FUEL);
        return false;
    }
    return true;
}

static size_t made_most(const struct tare_jinja_state *s)
{
    return TARE_JINJA_MADE_MOST + s->given * TARE_JINJA_MADE_GIVEN;
}

void *tare_jinja_alloc(struct tare_jinja_state *s, size_t n, size_t item)
{
    if (s->failed)
        return NULL;
    const size_t most = made_most(s);
    if ((item && n > most / item) || s->arena.total + n * item > most) {
        tare_jinja_fail_limit(s, "the template needs more than %zu MiB of memory", most >> 20);
        return NULL;
    }
    void *memory = tare_arena_alloc(&s->arena, n * item);
    if (!memory) {
        s->failed = true;
        s->code = tare_fail_memory(s->err);
    }
    return memory;
}

struct tare_jinja_value tare_jinja_make(enum tare_jinja_kind kind)
{
    return (struct tare_jinja_value){.kind = (uint8_t)kind};
}

struct tare_jinja_value tare_jinja_bool(bool truth)
{
    return (struct tare_jinja_value){.kind = TARE_JINJA_BOOL, .as.truth = truth};
}

struct tare_jinja_value tare_jinja_whole(int64_t whole)
{
    return (struct tare_jinja_value){.kind = TARE_JINJA_INT, .as.whole = whole};
}

struct tare_jinja_value tare_jinja_real(double real)
{
    return (struct tare_jinja_value){.kind = TARE_JINJA_FLOAT, .as.real = real};
}

struct tare_jinja_value tare_jinja_text(const char *text, size_t size)
{
    return (struct tare_jinja_value){.kind = TARE_JINJA_TEXT, .as.text = text, .size = size};
}

struct tare_jinja_value tare_jinja_word(const char *text)
{
    return tare_jinja_text(text, strlen(text));
}

/* Takes `size` bytes from a tail, or starts a new tail in its place, with room to grow. */
static char *tail_take(struct tare_jinja_state *s, struct tare_jinja_tail *tail, size_t size)
{
    if (size > tail->room) {
        /* If that is too much, the text gets no room to grow. */
        const bool fits = s->arena.total + size * 2 <= made_most(s);
        const size_t room = size <= 2048 ? 4096 : fits ? size * 2 : size;
        char *more = tare_jinja_alloc(s, room, 1);
        if (!more)
            return NULL;
        *tail = (struct tare_jinja_tail){more, room};
    }
    char *at = tail->at;
    tail->at += size;
    tail->room -= size;
    return at;
}

/* Takes `size` bytes after the text made last; free ones may follow, so that the text can grow. */
static char *text_room(struct tare_jinja_state *s, size_t size)
{
    static char none[1];
    if (!size)
        return none;
    if (size > TARE_JINJA_TEXT_MOST) {
        tare_jinja_fail_limit(s, "the template makes a text of more than %zu MiB", TARE_JINJA_TEXT_MOST >> 20);
        return NULL;
    }
    if (!tare_jinja_spend(s, size / 64))
        return NULL;
    return tail_take(s, &s->tails[0], size);
}

struct tare_jinja_value tare_jinja_copy(struct tare_jinja_state *s, const char *text, size_t size)
{
    char *at = text_room(s, size);
    if (!at)
        return tare_jinja_make(TARE_JINJA_UNDEFINED);
    if (size)
        memcpy(at, text, size);
    return tare_jinja_text(at, size);
}

/* Returns the tail at which a text ends, or NULL. */
static struct tare_jinja_tail *tail_of(struct tare_jinja_state *s, struct tare_jinja_value text)
{
    for (size_t i = 0; i < sizeof s->tails / sizeof *s->tails; i++)
        if (s->tails[i].at && text.as.text + text.size == s->tails[i].at)
            return &s->tails[i];
    return NULL;
}

struct tare_jinja_value tare_jinja_join(struct tare_jinja_state *s, struct tare_jinja_value a,
                                        struct tare_jinja_value b)
{
    if (!b.size || !a.size)
        return b.size ? b : a;
    if (a.size + b.size > TARE_JINJA_TEXT_MOST)
        return tare_jinja_fail_limit(s, "the template makes a text of more than %zu MiB", TARE_JINJA_TEXT_MOST >> 20);
    struct tare_jinja_tail *tail = tail_of(s, a);
    /* The first text is not changed by this: the new one begins with the same bytes and continues past them. */
    if (tail && b.size <= tail->room) {
        if (!tare_jinja_spend(s, b.size / 64))
            return tare_jinja_make(TARE_JINJA_UNDEFINED);
        memmove(tail_take(s, tail, b.size), b.as.text, b.size);
        return tare_jinja_text(a.as.text, a.size + b.size);
    }
    /* A long joint gets a tail of its own, so that it can still grow after other texts were made. */
    if (!tail)
        tail = a.size + b.size > 2048 ? &s->tails[1 + s->next_tail++ % 3] : &s->tails[0];
    char *at = tare_jinja_spend(s, (a.size + b.size) / 64) ? tail_take(s, tail, a.size + b.size) : NULL;
    if (!at)
        return tare_jinja_make(TARE_JINJA_UNDEFINED);
    memcpy(at, a.as.text, a.size);
    memcpy(at + a.size, b.as.text, b.size);
    return tare_jinja_text(at, a.size + b.size);
}

struct tare_jinja_value tare_jinja_take(struct tare_jinja_state *s, struct tare_text *text)
{
    struct tare_jinja_value value = tare_jinja_make(TARE_JINJA_UNDEFINED);
    if (!s->failed)
        value = tare_jinja_copy(s, text->data ? text->data : "", text->size);
    tare_text_release(text);
    return value;
}

void tare_jinja_add(struct tare_jinja_state *s, struct tare_text *text, const char *bytes, size_t n)
{
    if (n > TARE_JINJA_TEXT_MOST || text->size + n > TARE_JINJA_TEXT_MOST) {
        tare_jinja_fail_limit(s, "the template makes a text of more than %zu MiB", TARE_JINJA_TEXT_MOST >> 20);
        return;
    }
    if (!tare_jinja_spend(s, n / 64))
        return;
    tare_text_add(text, bytes, n);
    if (text->failed && !s->failed) {
        s->failed = true;
        s->code = tare_fail_memory(s->err);
    }
}

void tare_jinja_add_value(struct tare_jinja_state *s, struct tare_text *text, struct tare_jinja_value value)
{
    if (!s->failed)
        tare_jinja_add(s, text, value.as.text, value.size);
}

void tare_jinja_puts(struct tare_jinja_state *s, struct tare_text *text, const char *word)
{
    tare_jinja_add(s, text, word, strlen(word));
}

struct tare_jinja_value tare_jinja_listed(enum tare_jinja_kind kind, struct tare_jinja_list *list)
{
    if (!list)
        return tare_jinja_make(TARE_JINJA_UNDEFINED);
    if (kind == TARE_JINJA_STREAM && !list->type)
        list->type = "generator";
    return (struct tare_jinja_value){.kind = (uint8_t)kind, .as.list = list};
}

struct tare_jinja_list *tare_jinja_list_new(struct tare_jinja_state *s, size_t room)
{
    struct tare_jinja_list *list = tare_jinja_alloc(s, 1, sizeof *list);
    if (!list)
        return NULL;
    list->items = tare_jinja_alloc(s, room, sizeof *list->items);
    list->room = room;
    return list->items ? list : NULL;
}

void tare_jinja_list_add(struct tare_jinja_state *s, struct tare_jinja_list *list, struct tare_jinja_value value)
{
    if (!list || !tare_jinja_spend(s, 1))
        return;
    if (list->n == list->room) {
        const size_t room = list->room ? list->room * 2 : 4;
        struct tare_jinja_value *items = tare_jinja_alloc(s, room, sizeof *items);
        if (!items)
            return;
        if (list->n)
            memcpy(items, list->items, list->n * sizeof *items);
        list->items = items;
        list->room = room;
    }
    list->items[list->n++] = value;
}

struct tare_jinja_value tare_jinja_pair(struct tare_jinja_state *s, struct tare_jinja_value a,
                                        struct tare_jinja_value b)
{
    struct tare_jinja_list *list = tare_jinja_list_new(s, 2);
    tare_jinja_list_add(s, list, a);
    tare_jinja_list_add(s, list, b);
    return tare_jinja_listed(TARE_JINJA_TUPLE, list);
}

struct tare_jinja_dict *tare_jinja_dict_new(struct tare_jinja_state *s, size_t room)
{
    struct tare_jinja_dict *dict = tare_jinja_alloc(s, 1, sizeof *dict);
    if (!dict)
        return NULL;
    dict->pairs = tare_jinja_alloc(s, room, sizeof *dict->pairs);
    dict->room = room;
    return dict->pairs ? dict : NULL;
}

struct tare_jinja_value tare_jinja_dicted(struct tare_jinja_dict *dict)
{
    return dict ? (struct tare_jinja_value){.kind = TARE_JINJA_DICT, .as.dict = dict}
                : tare_jinja_make(TARE_JINJA_UNDEFINED);
}

static struct tare_jinja_pair *find(struct tare_jinja_state *s, const struct tare_jinja_dict *dict,
                                    struct tare_jinja_value key, uint32_t hash)
{
    if (!tare_jinja_spend(s, dict->n / 16))
        return NULL;
    for (size_t i = 0; i < dict->n; i++)
        if (dict->pairs[i].hash == hash && tare_jinja_equal(s, dict->pairs[i].key, key))
            return &dict->pairs[i];
    return NULL;
}

const struct tare_jinja_value *tare_jinja_dict_get(struct tare_jinja_state *s, const struct tare_jinja_dict *dict,
                                                   struct tare_jinja_value key)
{
    const uint32_t hash = tare_jinja_hash(s, key);
    const struct tare_jinja_pair *pair = s->failed ? NULL : find(s, dict, key, hash);
    return pair ? &pair->value : NULL;
}

static void append(struct tare_jinja_state *s, struct tare_jinja_dict *dict, uint32_t hash, struct tare_jinja_value key,
                   struct tare_jinja_value value)
{
    if (!tare_jinja_spend(s, 1))
        return;
    if (dict->n == dict->room) {
        const size_t room = dict->room ? dict->room * 2 : 4;
        struct tare_jinja_pair *pairs = tare_jinja_alloc(s, room, sizeof *pairs);
        if (!pairs)
            return;
        if (dict->n)
            memcpy(pairs, dict->pairs, dict->n * sizeof *pairs);
        dict->pairs = pairs;
        dict->room = room;
    }
    dict->pairs[dict->n++] = (struct tare_jinja_pair){hash, key, value};
}

void tare_jinja_dict_append(struct tare_jinja_state *s, struct tare_jinja_dict *dict, struct tare_jinja_value key,
                            struct tare_jinja_value value)
{
    if (dict && !s->failed)
        append(s, dict, tare_jinja_hash(s, key), key, value);
}

void tare_jinja_dict_set(struct tare_jinja_state *s, struct tare_jinja_dict *dict, struct tare_jinja_value key,
                         struct tare_jinja_value value)
{
    if (!dict || s->failed)
        return;
    const uint32_t hash = tare_jinja_hash(s, key);
    struct tare_jinja_pair *pair = s->failed ? NULL : find(s, dict, key, hash);
    if (pair)
        pair->value = value;
    else if (!s->failed)
        append(s, dict, hash, key, value);
}

static struct tare_jinja_value from_object(struct tare_jinja_state *s, const json_t *json, int depth)
{
    struct tare_jinja_dict *dict = tare_jinja_dict_new(s, json_object_size(json));
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)json, key, value)
    {
        tare_jinja_dict_append(s, dict, tare_jinja_copy(s, key, strlen(key)),
                               tare_jinja_from_json(s, value, depth + 1));
    }
    return tare_jinja_dicted(dict);
}

struct tare_jinja_value tare_jinja_from_json(struct tare_jinja_state *s, const json_t *json, int depth)
{
    if (depth > TARE_JINJA_NEST_MOST)
        return tare_jinja_fail_limit(s, "the variables are nested more than %d deep", TARE_JINJA_NEST_MOST);
    /* About the memory that it takes. */
    s->given += sizeof(struct tare_jinja_value) + json_string_length(json);
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        return from_object(s, json, depth);
    case JSON_ARRAY: {
        struct tare_jinja_list *list = tare_jinja_list_new(s, json_array_size(json));
        for (size_t i = 0; i < json_array_size(json) && !s->failed; i++)
            tare_jinja_list_add(s, list, tare_jinja_from_json(s, json_array_get(json, i), depth + 1));
        return tare_jinja_listed(TARE_JINJA_LIST, list);
    }
    case JSON_STRING:
        return tare_jinja_copy(s, json_string_value(json), json_string_length(json));
    case JSON_INTEGER:
        return tare_jinja_whole(json_integer_value(json));
    case JSON_REAL:
        return tare_jinja_real(json_real_value(json));
    case JSON_TRUE:
    case JSON_FALSE:
        return tare_jinja_bool(json_is_true(json));
    case JSON_NULL:
        break;
    }
    return tare_jinja_make(TARE_JINJA_NONE);
}

bool tare_jinja_is(struct tare_jinja_value value, const char *word)
{
    return value.kind == TARE_JINJA_TEXT && strlen(word) == value.size && !memcmp(value.as.text, word, value.size);
}

bool tare_jinja_is_number(struct tare_jinja_value value)
{
    return value.kind == TARE_JINJA_BOOL || value.kind == TARE_JINJA_INT || value.kind == TARE_JINJA_FLOAT;
}

const char *tare_jinja_type(struct tare_jinja_value value)
{
    static const char *const names[] = {[TARE_JINJA_ABSENT] = "Undefined",
                                        [TARE_JINJA_UNDEFINED] = "Undefined",
                                        [TARE_JINJA_NONE] = "NoneType",
                                        [TARE_JINJA_BOOL] = "bool",
                                        [TARE_JINJA_INT] = "int",
                                        [TARE_JINJA_FLOAT] = "float",
                                        [TARE_JINJA_TEXT] = "str",
                                        [TARE_JINJA_BYTES] = "bytes",
                                        [TARE_JINJA_LIST] = "list",
                                        [TARE_JINJA_TUPLE] = "tuple",
                                        [TARE_JINJA_DICT] = "dict",
                                        [TARE_JINJA_RANGE] = "range",
                                        [TARE_JINJA_SPACE] = "TemplateNamespace",
                                        [TARE_JINJA_LOOP] = "LoopContext",
                                        [TARE_JINJA_MACRO] = "Macro",
                                        [TARE_JINJA_FUNCTION] = "function",
                                        [TARE_JINJA_METHOD] = "builtin_function_or_method",
                                        [TARE_JINJA_CYCLER] = "Cycler",
                                        [TARE_JINJA_JOINER] = "Joiner"};
    if (value.kind == TARE_JINJA_STREAM || value.kind == TARE_JINJA_VIEW)
        return value.as.list->type;
    return names[value.kind];
}

const char *tare_jinja_object(enum tare_jinja_kind kind)
{
    static const char *const names[] = {[TARE_JINJA_ABSENT] = "Undefined",
                                        [TARE_JINJA_UNDEFINED] = "Undefined",
                                        [TARE_JINJA_NONE] = "None",
                                        [TARE_JINJA_BOOL] = "bool object",
                                        [TARE_JINJA_INT] = "int object",
                                        [TARE_JINJA_FLOAT] = "float object",
                                        [TARE_JINJA_TEXT] = "str object",
                                        [TARE_JINJA_BYTES] = "bytes object",
                                        [TARE_JINJA_LIST] = "list object",
                                        [TARE_JINJA_TUPLE] = "tuple object",
                                        [TARE_JINJA_STREAM] = "generator object",
                                        [TARE_JINJA_VIEW] = "view object",
                                        [TARE_JINJA_DICT] = "dict object",
                                        [TARE_JINJA_RANGE] = "range object",
                                        [TARE_JINJA_SPACE] = "namespace object",
                                        [TARE_JINJA_LOOP] = "loop object",
                                        [TARE_JINJA_MACRO] = "macro object",
                                        [TARE_JINJA_FUNCTION] = "function object",
                                        [TARE_JINJA_METHOD] = "method object",
                                        [TARE_JINJA_CYCLER] = "cycler object",
                                        [TARE_JINJA_JOINER] = "joiner object"};
    return names[kind];
}
