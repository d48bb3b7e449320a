/* SPDX-License-Identifier: MIT
 * fields.c - reads JSON strictly. */
#include "serve/fields.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The most lists and objects within each other. */
#define DEEPEST 200

/* Counts brackets outside of strings, so that the reader, which calls itself, never goes deep. */
static bool too_deep(const char *text, size_t size)
{
    size_t depth = 0;
    bool inside = false;
    for (size_t i = 0; i < size; i++) {
        const char c = text[i];
        if (inside && c == '\\')
            i++;
        else if (c == '"')
            inside = !inside;
        else if (!inside && (c == '[' || c == '{') && ++depth > DEEPEST)
            return true;
        else if (!inside && (c == ']' || c == '}') && depth)
            depth--;
    }
    return false;
}

json_t *fields_read(const char *text, size_t size, struct serve_failure *f)
{
    json_error_t error;
    if (size == 0) {
        serve_fail(f, 400, NULL, "The body is empty; it must be a JSON object.");
        return NULL;
    }
    if (too_deep(text, size)) {
        serve_fail(f, 400, NULL, "The body has lists and objects nested more than %d deep.", DEEPEST);
        return NULL;
    }
    json_t *body = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (!body)
        serve_fail(f, 400, NULL, "The body is not valid JSON: %s, in line %d.",
                   serve_quote(error.text, strlen(error.text)).text, error.line);
    if (body && !json_is_object(body)) {
        serve_fail(f, 400, NULL, "The body is no JSON object.");
        json_decref(body);
        body = NULL;
    }
    return body;
}

json_t *fields_get(const json_t *object, const char *name)
{
    json_t *value = json_object_get(object, name);
    return json_is_null(value) ? NULL : value;
}

bool fields_integer(const json_t *object, const char *name, int64_t least, int64_t most, int64_t *value,
                    struct serve_failure *f)
{
    const json_t *field = fields_get(object, name);
    if (!field)
        return true;
    if (!json_is_integer(field))
        return serve_fail(f, 400, name, "%s must be an integer.", name);
    if (json_integer_value(field) < least || json_integer_value(field) > most)
        return most == INT64_MAX
                   ? serve_fail(f, 400, name, "%s must be at least %" PRId64 ".", name, least)
                   : serve_fail(f, 400, name, "%s must be from %" PRId64 " to %" PRId64 ".", name, least, most);
    *value = json_integer_value(field);
    return true;
}

bool fields_real(const json_t *object, const char *name, double least, double most, double *value,
                 struct serve_failure *f)
{
    const json_t *field = fields_get(object, name);
    if (!field)
        return true;
    if (!json_is_number(field))
        return serve_fail(f, 400, name, "%s must be a number.", name);
    const double number = json_number_value(field);
    if (!(number >= least && number <= most))
        return serve_fail(f, 400, name, "%s must be from %g to %g.", name, least, most);
    *value = number;
    return true;
}

bool fields_flag(const json_t *object, const char *name, bool *value, struct serve_failure *f)
{
    const json_t *field = fields_get(object, name);
    if (!field)
        return true;
    if (!json_is_boolean(field))
        return serve_fail(f, 400, name, "%s must be true or false.", name);
    *value = json_is_true(field);
    return true;
}

bool fields_text(const json_t *object, const char *name, const char **value, struct serve_failure *f)
{
    const json_t *field = fields_get(object, name);
    if (!field)
        return true;
    if (!json_is_string(field))
        return serve_fail(f, 400, name, "%s must be a text.", name);
    if (strlen(json_string_value(field)) != json_string_length(field)) /* a name is never compared up to it only */
        return serve_fail(f, 400, name, "%s must not have U+0000 in it.", name);
    *value = json_string_value(field);
    return true;
}

bool fields_object(const json_t *object, const char *name, const json_t **value, struct serve_failure *f)
{
    const json_t *field = fields_get(object, name);
    if (field && !json_is_object(field))
        return serve_fail(f, 400, name, "%s must be an object.", name);
    *value = field ? field : *value;
    return true;
}

bool fields_list(const json_t *object, const char *name, const json_t **value, struct serve_failure *f)
{
    const json_t *field = fields_get(object, name);
    if (field && !json_is_array(field))
        return serve_fail(f, 400, name, "%s must be a list.", name);
    *value = field ? field : *value;
    return true;
}

bool fields_ids(const json_t *list, const char *name, int64_t vocabulary, bool some, int32_t **ids, size_t *n,
                struct serve_failure *f)
{
    const size_t size = json_array_size(list);
    if (!json_is_array(list) || (some && size == 0))
        return serve_fail(f, 400, name, "%s must be a list of token ids, at least one.", name);
    *ids = malloc((size + 1) * sizeof **ids);
    if (!*ids)
        return serve_fail(f, 503, NULL, "Out of memory.");
    for (size_t i = 0; i < size; i++) {
        const json_t *id = json_array_get(list, i);
        if (!json_is_integer(id))
            return serve_fail(f, 400, name, "%s[%zu] is no token id.", name, i);
        if (json_integer_value(id) < 0 || json_integer_value(id) >= vocabulary)
            return serve_fail(f, 400, name, "%s[%zu] is %lld, outside the vocabulary of %" PRId64 ".", name, i,
                              (long long)json_integer_value(id), vocabulary);
        (*ids)[i] = (int32_t)json_integer_value(id);
    }
    *n = size;
    return true;
}
