/* SPDX-License-Identifier: MIT
 * tool_calls.c - reads the calls of a text that is over, in the form of its family. Arguments are read by a JSON reader;
 * nothing is run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/fields.h"
#include "serve/toolset.h"

/* A tool that is offered; NULL: none has that name. */
static const json_t *offered(const struct toolset *t, const char *name)
{
    for (size_t i = 0; name && i < json_array_size(t->list); i++) {
        const json_t *function = json_object_get(json_array_get(t->list, i), "function");
        if (!strcmp(json_string_value(json_object_get(function, "name")), name))
            return function;
    }
    return NULL;
}

/* Reads the JSON value at the beginning of a text. Returns the bytes that it took; 0: there is none. */
static size_t read_json(const char *text, size_t size, json_t **value)
{
    json_error_t error;
    *value = json_loadb(text, size, JSON_DISABLE_EOF_CHECK | JSON_REJECT_DUPLICATES, &error);
    return *value ? (size_t)error.position : 0;
}

/* ---- names in JSON ----------------------------------------------------------------------------------------------- */

/* A call, or a list of them. */
static size_t tell_value(const struct toolset *t, const json_t *value, tool_found found, void *user)
{
    const size_t n = json_is_array(value) ? json_array_size(value) : 1;
    size_t good = 0;
    for (size_t i = 0; i < n; i++) {
        const json_t *call = json_is_array(value) ? json_array_get(value, i) : value;
        const json_t *arguments = json_object_get(call, "arguments");
        const char *name = json_string_value(json_object_get(call, "name"));
        if (!offered(t, name))
            continue;
        found(user, name, arguments ? arguments : json_object_get(call, "parameters"));
        good++;
    }
    return good;
}

static size_t read_inside(const struct toolset *t, const char *text, size_t size, tool_found found, void *user)
{
    size_t at = 0, good = 0;
    while (at < size) {
        json_t *value = NULL;
        while (at < size && text[at] != '{' && text[at] != '[')
            at++;
        const size_t taken = at < size ? read_json(text + at, size - at, &value) : 0;
        const size_t here = value ? tell_value(t, value, found, user) : 0;
        json_decref(value);
        good += here;
        at += here ? taken : 1;
    }
    return good;
}

/* ---- names beside a mark ----------------------------------------------------------------------------------------- */

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* The name that ends at `end`, a number after a colon left out (kimi). */
static void name_before(const char *text, const char *end, char *name, size_t room)
{
    const char *digits = end;
    while (digits > text && digits[-1] >= '0' && digits[-1] <= '9')
        digits--;
    if (digits > text && digits[-1] == ':')
        end = digits - 1;
    const char *from = end;
    while (from > text && is_letter(from[-1]))
        from--;
    snprintf(name, room, "%.*s", (int)(end - from), from);
}

static size_t read_beside(const struct toolset *t, const char *text, tool_found found, void *user)
{
    const char *point = t->family->point;
    size_t good = 0;
    for (const char *at = text; (at = strstr(at, point)) != NULL;) {
        const char *after = at + strlen(point);
        char name[80];
        size_t n = 0;
        if (t->family->style == TOOL_NAME_BEFORE) {
            name_before(text, at, name, sizeof name);
        } else {
            while (is_letter(after[n]))
                n++;
            snprintf(name, sizeof name, "%.*s", (int)n, after);
        }
        const char *open = strchr(after, '{');
        json_t *value = NULL;
        const size_t taken = open ? read_json(open, strlen(open), &value) : 0;
        if (value && offered(t, name)) {
            found(user, name, value);
            good++;
        }
        json_decref(value);
        at = taken ? open + taken : after;
    }
    return good;
}

/* ---- tags -------------------------------------------------------------------------------------------------------- */

/* The text from *at to `close`, which *at then is past; NULL: there is no close. Owned, free(). */
static char *until(const char **at, const char *close)
{
    const char *end = strstr(*at, close);
    char *text = end ? strndup(*at, (size_t)(end - *at)) : NULL;
    if (end)
        *at = end + strlen(close);
    return text;
}

/* A value, typed by the schema: a text as it stands, without the line ends around it, anything else as JSON. */
static json_t *typed(const json_t *function, const char *key, const char *text)
{
    const json_t *schema = json_object_get(
        json_object_get(json_object_get(json_object_get(function, "parameters"), "properties"), key), "type");
    const char *type = json_string_value(schema);
    json_t *value = NULL;
    size_t n = strlen(text);
    if (n && *text == '\n') {
        text++;
        n--;
    }
    if (n && text[n - 1] == '\n')
        n--;
    if (!type || strcmp(type, "string") != 0)
        value = json_loadb(text, n, JSON_DECODE_ANY, NULL);
    return value ? value : json_stringn(text, n);
}

/* The arguments of one call; *at then is past it. */
static json_t *read_arguments(const struct tool_tags *tags, const json_t *function, const char **at)
{
    json_t *arguments = json_object();
    for (;;) {
        const char *key_at = strstr(*at, tags->key_open), *end = strstr(*at, tags->end);
        if (!key_at || (end && end < key_at)) {
            *at = end ? end + strlen(tags->end) : *at + strlen(*at);
            return arguments;
        }
        *at = key_at + strlen(tags->key_open);
        char *key = until(at, tags->key_close);
        const char *value_at = strstr(*at, tags->value_open);
        if (value_at)
            *at = value_at + strlen(tags->value_open);
        char *value = value_at ? until(at, tags->value_close) : NULL;
        if (key && value)
            json_object_set_new(arguments, key, typed(function, key, value));
        const bool whole = key && value;
        free(key);
        free(value);
        if (!whole)
            return arguments;
    }
}

static size_t read_tags(const struct toolset *t, const char *text, tool_found found, void *user)
{
    const struct tool_tags *tags = t->family->tags;
    size_t good = 0;
    for (const char *at = text; (at = strstr(at, tags->name_open)) != NULL;) {
        at += strlen(tags->name_open);
        char name[80];
        size_t n = 0;
        while (is_letter(at[n]))
            n++;
        snprintf(name, sizeof name, "%.*s", (int)n, at);
        const json_t *function = offered(t, name);
        if (!function)
            continue;
        at += n;
        json_t *arguments = read_arguments(tags, function, &at);
        found(user, name, arguments);
        json_decref(arguments);
        good++;
    }
    return good;
}

size_t tool_calls_read(const struct toolset *t, const char *text, size_t size, tool_found found, void *user)
{
    if (t->only >= 0) { /* the arguments alone */
        json_t *value = NULL;
        const json_t *function = json_object_get(json_array_get(t->list, (size_t)t->only), "function");
        const size_t taken = read_json(text, size, &value);
        if (value)
            found(user, json_string_value(json_object_get(function, "name")), value);
        json_decref(value);
        return taken > 0;
    }
    switch (t->family->style) {
    case TOOL_NAME_BEFORE:
    case TOOL_NAME_AFTER:
        return read_beside(t, text, found, user);
    case TOOL_TAGS:
        return read_tags(t, text, found, user);
    default:
        return read_inside(t, text, size, found, user);
    }
}
