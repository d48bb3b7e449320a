/* SPDX-License-Identifier: MIT
 * steps.c - what normalizers, pre-tokenizers and decoders have in common: how they are read from tokenizer.json,
 * and the patterns of Split and Replace. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer.h"
#include "text/unicode.h"

/* The most Sequences within one another. */
#define NESTING_MOST 8

/* ---- fields ------------------------------------------------------------------------------------------------------ */

static enum tare_code wrong_field(const struct tare_step_source *source, const char *key, const char *expected)
{
    const json_t *value = json_object_get(source->json, key);
    return tare_fail(source->err, TARE_E_FORMAT, source->where, "%s is %s, expected %s", key,
                     value ? "of another kind" : "missing", expected);
}

static enum tare_code text_of(const struct tare_step_source *source, const json_t *value, struct tare_slice *text)
{
    const size_t size = json_string_length(value);
    if (size > UINT32_MAX / 2)
        return tare_fail(source->err, TARE_E_FORMAT, source->where, "a text of %zu bytes", size);
    const char *copy = tare_arena_copy(source->arena, json_string_value(value), size);
    *text = (struct tare_slice){copy, (uint32_t)size};
    return copy ? TARE_OK : tare_fail_memory(source->err);
}

enum tare_code tare_source_text(const struct tare_step_source *source, const char *key, struct tare_slice *text)
{
    const json_t *value = json_object_get(source->json, key);
    return json_is_string(value) ? text_of(source, value, text) : wrong_field(source, key, "a text");
}

enum tare_code tare_source_character(const struct tare_step_source *source, const char *key, uint32_t *c)
{
    struct tare_slice text = {0};
    const enum tare_code code = tare_source_text(source, key, &text);
    if (code)
        return code;
    size_t size = 0;
    if (text.size && tare_utf8_check(text.text, text.size) == text.size)
        *c = tare_utf8_get(text.text, &size);
    return size && size == text.size ? TARE_OK : wrong_field(source, key, "one character");
}

enum tare_code tare_source_flag(const struct tare_step_source *source, const char *key, const bool *fallback,
                                bool *flag)
{
    const json_t *value = json_object_get(source->json, key);
    if (!value && fallback)
        *flag = *fallback;
    else if (json_is_boolean(value))
        *flag = json_is_true(value);
    else
        return wrong_field(source, key, "true or false");
    return TARE_OK;
}

enum tare_code tare_source_number(const struct tare_step_source *source, const char *key, const size_t *fallback,
                                  size_t *number)
{
    const json_t *value = json_object_get(source->json, key);
    if (!value && fallback)
        *number = *fallback;
    else if (json_is_integer(value) && json_integer_value(value) >= 0 && json_integer_value(value) <= INT32_MAX)
        *number = (size_t)json_integer_value(value);
    else
        return wrong_field(source, key, "a number from 0 on");
    return TARE_OK;
}

enum tare_code tare_source_pattern(const struct tare_step_source *source, struct tare_text_step *step)
{
    const json_t *pattern = json_object_get(source->json, "pattern");
    const json_t *literal = json_object_get(pattern, "String"), *regex = json_object_get(pattern, "Regex");
    if (json_is_string(literal) && json_object_size(pattern) == 1) {
        const enum tare_code code = text_of(source, literal, &step->literal);
        if (code || step->literal.size)
            return code;
        /* An empty literal matches the empty text at every place, as the empty regular expression does. */
        return tare_regex_open(&step->regex, "", 0, source->where, source->err);
    }
    if (json_is_string(regex) && json_object_size(pattern) == 1)
        return tare_regex_open(&step->regex, json_string_value(regex), json_string_length(regex), source->where,
                               source->err);
    return wrong_field(source, "pattern", "{\"String\": ..} or {\"Regex\": ..}");
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* Reads one step: finds its type in the table and lets the type read its own fields. */
static enum tare_code read_one(struct tare_steps *steps, const struct tare_step_type *table,
                               const struct tare_step_source *source)
{
    const char *type = json_string_value(json_object_get(source->json, "type"));
    if (!type)
        return wrong_field(source, "type", "a name");
    if (steps->n >= TARE_STEPS_MOST)
        return tare_fail(source->err, TARE_E_FORMAT, source->where, "more than %d steps", TARE_STEPS_MOST);
    while (table->type && strcmp(table->type, type) != 0)
        table++;
    if (!table->type)
        return tare_fail(source->err, TARE_E_UNKNOWN, source->where,
                         "the type \"%.64s\" is not known to this version of tare", type);
    if (!tare_grow(&steps->items, &steps->room, steps->n + 1, sizeof *steps->items))
        return tare_fail_memory(source->err);
    struct tare_text_step *step = &steps->items[steps->n++];
    *step = (struct tare_text_step){.kind = table};
    return table->open ? table->open(step, source) : TARE_OK;
}

/* Reads a step, or each step of a Sequence in order. Sequences within one another become one flat list. */
static enum tare_code read_nested(struct tare_steps *steps, const struct tare_step_type *table, const char *list,
                                  const struct tare_step_source *source, int depth)
{
    const char *type = json_string_value(json_object_get(source->json, "type"));
    if (!type || strcmp(type, "Sequence") != 0)
        return read_one(steps, table, source);
    if (depth >= NESTING_MOST)
        return tare_fail(source->err, TARE_E_FORMAT, source->where, "Sequences nested more than %d deep", NESTING_MOST);
    const json_t *items = json_object_get(source->json, list);
    if (!json_is_array(items))
        return wrong_field(source, list, "a list");
    enum tare_code code = TARE_OK;
    for (size_t i = 0; i < json_array_size(items) && !code; i++) {
        struct tare_step_source inner = {.json = json_array_get(items, i), .arena = source->arena, .err = source->err};
        snprintf(inner.where, sizeof inner.where, "%.80s[%zu]", source->where, i % 1000000);
        code = read_nested(steps, table, list, &inner, depth + 1);
    }
    return code;
}

enum tare_code tare_steps_read(struct tare_steps *steps, const struct tare_step_type *table, const char *list,
                               const struct tare_step_source *source)
{
    return !source->json || json_is_null(source->json) ? TARE_OK : read_nested(steps, table, list, source, 0);
}

void tare_steps_release(struct tare_steps *steps)
{
    for (size_t i = 0; i < steps->n; i++)
        tare_regex_free(steps->items[i].regex);
    free(steps->items);
    *steps = (struct tare_steps){0};
}

/* ---- patterns ---------------------------------------------------------------------------------------------------- */

/* Chained replacements can grow a text exponentially, so every step checks what it made against TARE_TEXT_MOST. */
enum tare_code tare_text_limit(const struct tare_text *text, struct tare_error *err)
{
    if (text->failed)
        return tare_fail_memory(err);
    if (text->size > TARE_TEXT_MOST)
        return tare_fail(err, TARE_E_FORMAT, "tokenizer.json",
                         "its steps make more than %zu bytes of this text; look at Replace and ByteLevel",
                         TARE_TEXT_MOST);
    return TARE_OK;
}

enum tare_code tare_step_start(const struct tare_text_step *step, struct tare_matcher *matcher, const char *text,
                               size_t size, struct tare_error *err)
{
    if (step->regex)
        return tare_matcher_start(matcher, step->regex, text, size, err);
    matcher->text = text;
    matcher->size = size;
    matcher->from = 0;
    return TARE_OK;
}

/* Finds the next match. A pattern without a regular expression is a literal, whose first byte memchr() looks for. */
enum tare_code tare_step_next(const struct tare_text_step *step, struct tare_matcher *matcher, bool *found,
                              size_t *start, size_t *end, struct tare_error *err)
{
    if (step->regex)
        return tare_matcher_next(matcher, found, start, end, err);
    const struct tare_slice *literal = &step->literal;
    *found = false;
    while (matcher->size - matcher->from >= literal->size) {
        const char *from = matcher->text + matcher->from;
        const char *at = memchr(from, literal->text[0], matcher->size - matcher->from - literal->size + 1);
        if (!at)
            break;
        matcher->from = (size_t)(at - matcher->text);
        if (memcmp(at, literal->text, literal->size) != 0) {
            matcher->from++;
            continue;
        }
        *found = true;
        *start = matcher->from;
        *end = matcher->from += literal->size;
        break;
    }
    return TARE_OK;
}

enum tare_code tare_step_replace(const struct tare_text_step *step, struct tare_matcher *matcher, const char *text,
                                 size_t size, struct tare_text *out, struct tare_error *err)
{
    size_t from = 0, start, end;
    bool found = false;
    /* The reference looks for nothing in an empty text, not even for the empty pattern. */
    if (!size)
        return TARE_OK;
    enum tare_code code = tare_step_start(step, matcher, text, size, err);
    while (!code) {
        code = tare_step_next(step, matcher, &found, &start, &end, err);
        if (code || !found)
            break;
        tare_text_add(out, text + from, start - from);
        tare_text_add(out, step->content.text, step->content.size);
        from = end;
        code = tare_text_limit(out, err);
    }
    if (!code)
        tare_text_add(out, text + from, size - from);
    return code;
}
