/* SPDX-License-Identifier: MIT
 * args.c - config.json -> a model's args. Types are strict (docs/bad-input.md, P3): what Python would take and trip
 * over later is refused here. */
#include "config/args.h"

#include <string.h>

#define INTEGER_MOST 2147483647 /* so that a product of two fits int64_t */

static const char *type_word(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "a list";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a fraction";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    default:
        return "null";
    }
}

static enum tare_code wrong_type(const struct tare_arg *arg, const json_t *value, const char *place, const char *wanted,
                                 struct tare_error *err)
{
    const char *text = json_string_value(value);
    if (text &&
        (!strcmp(text, "Infinity") || !strcmp(text, "-Infinity") || !strcmp(text, "NaN"))) /* bare words: see json.h */
        return tare_fail(err, TARE_E_CONFIG, place, "%s is %s; expected %s", arg->name, text, wanted);
    return tare_fail(err, TARE_E_CONFIG, place, "%s is %s%s%s%s; expected %s", arg->name, type_word(value),
                     json_is_string(value) ? " (\"" : "", json_is_string(value) ? json_string_value(value) : "",
                     json_is_string(value) ? "\")" : "", wanted);
}

static enum tare_code read_integer(const struct tare_arg *arg, const json_t *value, const char *place, int64_t *into,
                                   struct tare_error *err)
{
    if (!json_is_integer(value))
        return wrong_type(arg, value, place, "an integer", err);
    const json_int_t n = json_integer_value(value);
    const json_int_t least = strcmp(arg->value, "REQUIRED") ? 0 : 1;
    if (n < least || n > INTEGER_MOST)
        return tare_fail(err, TARE_E_CONFIG, place, "%s is %lld; expected %lld to %d", arg->name, (long long)n,
                         (long long)least, INTEGER_MOST);
    *into = n;
    return TARE_OK;
}

static enum tare_code read_value(const struct tare_arg *arg, const json_t *value, const char *place, void *into,
                                 struct tare_error *err)
{
    switch (arg->kind) {
    case TARE_ARG_INT:
        return read_integer(arg, value, place, into, err);
    case TARE_ARG_REAL:
        if (!json_is_number(value))
            return wrong_type(arg, value, place, "a finite number", err);
        *(double *)into = json_number_value(value);
        return TARE_OK;
    case TARE_ARG_FLAG:
        if (!json_is_boolean(value))
            return wrong_type(arg, value, place, "true or false", err);
        *(bool *)into = json_is_true(value);
        return TARE_OK;
    case TARE_ARG_TEXT:
        if (!json_is_string(value))
            return wrong_type(arg, value, place, "a string", err);
        *(const char **)into = json_string_value(value);
        return TARE_OK;
    case TARE_ARG_JSON:
        *(const json_t **)into = value;
        return TARE_OK;
    }
    return TARE_E_INTERNAL;
}

/* The default, as the model file spells it. */
static enum tare_code read_default(const struct tare_arg *arg, void *into, struct tare_error *err)
{
    if (arg->kind == TARE_ARG_JSON ||
        (!strcmp(arg->value, "ABSENT") && arg->kind != TARE_ARG_INT && arg->kind != TARE_ARG_REAL))
        return TARE_OK; /* NULL or false: the struct is zeroed */
    if (!strcmp(arg->value, "ABSENT")) {
        if (arg->kind == TARE_ARG_INT)
            *(int64_t *)into = -1;
        else
            *(double *)into = (double)NAN;
        return TARE_OK;
    }
    if (arg->kind == TARE_ARG_TEXT) {
        *(const char **)into = arg->value;
        return TARE_OK;
    }
    json_error_t why;
    json_t *value = json_loads(arg->value, JSON_DECODE_ANY, &why);
    if (!value)
        return json_error_code(&why) == json_error_out_of_memory
                   ? tare_fail_memory(err)
                   : tare_fail(err, TARE_E_INTERNAL, arg->name, "the default %s cannot be read", arg->value);
    const enum tare_code code = read_value(arg, value, "default", into, err);
    json_decref(value);
    return code;
}

enum tare_code tare_args_read(const struct tare_args_info *info, const json_t *config, const char *place, void *args,
                              struct tare_error *err)
{
    if (!json_is_object(config))
        return tare_fail(err, TARE_E_CONFIG, place, "expected an object of keys and values");
    for (size_t i = 0; i < info->n; i++) {
        const struct tare_arg *arg = &info->list[i];
        void *into = (char *)args + arg->offset;
        const json_t *value = json_object_get(config, arg->name);
        const bool null = value && json_is_null(value);
        enum tare_code code = TARE_OK;
        if (value && !null)
            code = read_value(arg, value, place, into, err);
        else if (!strcmp(arg->value, "REQUIRED") && !(null && arg->kind == TARE_ARG_FLAG))
            code = tare_fail(err, TARE_E_CONFIG, place, "%s is %s; a model of this type needs it", arg->name,
                             null ? "null" : "missing");
        else if (!null || arg->kind != TARE_ARG_FLAG) /* a null flag is no answer: false, as in mlx-lm */
            code = read_default(arg, into, err);
        if (code)
            return code;
    }
    return TARE_OK;
}

const struct tare_arg *tare_args_find(const struct tare_args_info *info, const char *name)
{
    for (size_t i = 0; info && i < info->n; i++)
        if (!strcmp(info->list[i].name, name))
            return &info->list[i];
    return NULL;
}

int64_t tare_json_integer(const json_t *object, const char *key, int64_t fallback)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? (int64_t)json_integer_value(value) : fallback;
}

double tare_json_real(const json_t *object, const char *key, double fallback)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : fallback;
}

const char *tare_json_text(const json_t *object, const char *key, const char *fallback)
{
    const json_t *value = json_object_get(object, key);
    return json_is_string(value) ? json_string_value(value) : fallback;
}
