/* SPDX-License-Identifier: MIT
 * schema.c - writes a JSON schema as GBNF. docs/grammar.md lists the keywords; others are refused by name.
 * Properties come in the order of the schema, and required ones always come. Members that are not listed come only
 * where additionalProperties asks for them. */
#include "grammar/schema.h"

#include <stdlib.h>
#include <string.h>

#include "config/json.h"
#include "grammar/schema_object.h"

static const char basics[] =
    "ws ::= \" \"?\n"
    "hex ::= [0-9a-fA-F]\n"
    "char ::= [^\"\\\\\\x00-\\x1F\\x7F] | \"\\\\\" ([\"\\\\bfnrt] | \"u\" ([0-9A-CEFa-cef] hex "
    "hex hex | [dD] [0-7] hex hex))\n"
    "any-string ::= \"\\\"\" char* \"\\\"\"\n"
    "any-number ::= \"-\"? (\"0\" | [1-9] [0-9]{0,15}) (\".\" [0-9]{1,16})? ([eE] [-+]? "
    "\"0\"? [0-9]{1,2})?\n"
    "any ::= any-object | any-array | any-string | any-number | \"true\" | \"false\" | "
    "\"null\"\n"
    "any-object ::= \"{\" ws (any-string \":\" ws any (\",\" ws any-string \":\" ws any)*)? "
    "ws \"}\"\n"
    "any-array ::= \"[\" ws (any (\",\" ws any)*)? ws \"]\"\n";

enum tare_code tare_schema_refuse(struct tare_schema *s, const char *key, const char *why)
{
    char where[100];
    snprintf(where, sizeof where, "schema: %.80s", key);
    return tare_fail(s->err, TARE_E_UNKNOWN, where, "%s", why);
}

/* Writes a text as a literal of GBNF. */
void tare_schema_literal(struct tare_text *to, const char *text, size_t size)
{
    tare_text_puts(to, "\"");
    for (size_t i = 0; i < size; i++) {
        const unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\')
            tare_text_format(to, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            tare_text_format(to, "\\x%02X", (unsigned)c);
        else
            tare_text_add(to, text + i, 1);
    }
    tare_text_puts(to, "\"");
}

enum tare_code tare_schema_count(struct tare_schema *s, const json_t *schema, const char *key, int64_t fallback,
                                 int64_t *number)
{
    const json_t *value = json_object_get(schema, key);
    *number = value ? json_integer_value(value) : fallback;
    return !value || (json_is_integer(value) && *number >= 0 && *number <= 100000)
               ? TARE_OK
               : tare_schema_refuse(s, key, "is not a whole number from 0 to 100000");
}

/* Writes a value as a literal: the text that JSON has for it, without spaces. */
static enum tare_code put_value(struct tare_schema *s, const json_t *value, struct tare_text *to)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    if (!text)
        return tare_fail_memory(s->err);
    tare_schema_literal(to, text, strlen(text));
    free(text);
    return TARE_OK;
}

static enum tare_code put_enum(struct tare_schema *s, const json_t *values, struct tare_text *to)
{
    enum tare_code code = TARE_OK;
    if (!json_is_array(values) || json_array_size(values) == 0)
        return tare_schema_refuse(s, "enum", "is not a list of values");
    tare_text_puts(to, "(");
    for (size_t i = 0; i < json_array_size(values) && !code; i++) {
        tare_text_puts(to, i ? " | " : "");
        code = put_value(s, json_array_get(values, i), to);
    }
    tare_text_puts(to, ")");
    return code;
}

/* ---- references -------------------------------------------------------------------------------------------------- */

static const json_t *find_pointer(const json_t *root, const char *pointer)
{
    const json_t *at = root;
    while (at && *pointer == '/') {
        char key[512];
        size_t n = 0;
        for (pointer++; *pointer && *pointer != '/' && n < sizeof key - 1; pointer++) {
            if (pointer[0] == '~' && (pointer[1] == '0' || pointer[1] == '1'))
                key[n++] = *++pointer == '0' ? '~' : '/';
            else
                key[n++] = *pointer;
        }
        key[n] = '\0';
        int64_t index = -1;
        if (json_is_array(at) && n && n < 9 && strspn(key, "0123456789") == n)
            index = strtoll(key, NULL, 10);
        at = json_is_array(at) ? (index < 0 ? NULL : json_array_get(at, (size_t)index)) : json_object_get(at, key);
    }
    return *pointer ? NULL : at;
}

const json_t *tare_schema_find(struct tare_schema *s, const json_t *ref)
{
    const char *text = json_string_value(ref);
    return text && text[0] == '#' ? find_pointer(s->root, text + 1) : NULL;
}

static enum tare_code put_ref(struct tare_schema *s, const json_t *ref, struct tare_text *to)
{
    const char *text = json_string_value(ref);
    if (!tare_schema_find(s, ref))
        return tare_fail(s->err, TARE_E_UNKNOWN, "schema: $ref", "\"%.80s\" is nothing in this schema",
                         text ? text : "");
    size_t i = 0;
    while (i < s->n_refs && strcmp(s->refs[i].pointer, text) != 0)
        i++;
    if (i == s->n_refs) { /* its rule is written later, from the top, so that no reference is inside another one */
        if (!tare_grow(&s->refs, &s->refs_room, i + 1, sizeof *s->refs) || !(s->refs[i].pointer = strdup(text)))
            return tare_fail_memory(s->err);
        s->n_refs++;
    }
    tare_text_format(to, "ref-%zu", i);
    return TARE_OK;
}

/* ---- schemas ----------------------------------------------------------------------------------------------------- */

static const char *const notes[] = {"title", "description", "default",  "examples",  "$schema",
                                    "$id",   "$comment",    "readOnly", "writeOnly", "deprecated",
                                    "$defs", "definitions", NULL};
static const char *const known[] = {"type",
                                    "properties",
                                    "required",
                                    "additionalProperties",
                                    "items",
                                    "prefixItems",
                                    "enum",
                                    "const",
                                    "anyOf",
                                    "oneOf",
                                    "allOf",
                                    "$ref",
                                    "minLength",
                                    "maxLength",
                                    "pattern",
                                    "format",
                                    "minimum",
                                    "maximum",
                                    "exclusiveMinimum",
                                    "minItems",
                                    "maxItems",
                                    "exclusiveMaximum",
                                    NULL};

static bool listed(const char *const *list, const char *key)
{
    for (; *list; list++)
        if (!strcmp(*list, key))
            return true;
    return false;
}

bool tare_schema_is_note(const char *key)
{
    return listed(notes, key);
}

static enum tare_code check_keys(struct tare_schema *s, const json_t *schema)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)schema, key,
                        value) if (!listed(notes, key) &&
                                   !listed(known, key)) return tare_schema_refuse(s, key,
                                                                                  "this keyword is not supported");
    return TARE_OK;
}

static enum tare_code put_type(struct tare_schema *s, const json_t *schema, const char *type, struct tare_text *to)
{
    if (!strcmp(type, "object"))
        return tare_schema_object(s, schema, to);
    if (!strcmp(type, "array"))
        return tare_schema_array(s, schema, to);
    if (!strcmp(type, "string"))
        return tare_schema_string(s, schema, to);
    if (!strcmp(type, "integer"))
        return tare_schema_integer(s, schema, to);
    if (!strcmp(type, "number"))
        return tare_schema_number(s, schema, to);
    if (strcmp(type, "boolean") != 0 && strcmp(type, "null") != 0)
        return tare_schema_refuse(s, "type", "is none of object, array, string, number, integer, boolean and null");
    tare_text_puts(to, type[0] == 'b' ? "(\"true\" | \"false\")" : "\"null\"");
    return TARE_OK;
}

static const char *type_of(const json_t *schema)
{
    static const char *const by[][2] = {{"properties", "object"},      {"additionalProperties", "object"},
                                        {"required", "object"},        {"items", "array"},
                                        {"prefixItems", "array"},      {"minItems", "array"},
                                        {"maxItems", "array"},         {"minLength", "string"},
                                        {"maxLength", "string"},       {"pattern", "string"},
                                        {"format", "string"},          {"minimum", "number"},
                                        {"maximum", "number"},         {"exclusiveMinimum", "number"},
                                        {"exclusiveMaximum", "number"}};
    for (size_t i = 0; i < sizeof by / sizeof *by; i++)
        if (json_object_get(schema, by[i][0]))
            return by[i][1];
    return NULL;
}

static enum tare_code put_types(struct tare_schema *s, const json_t *schema, struct tare_text *to)
{
    const json_t *type = json_object_get(schema, "type");
    enum tare_code code = TARE_OK;
    if (!type) {
        const char *only = type_of(schema);
        if (only)
            return put_type(s, schema, only, to);
        tare_text_puts(to, "any");
        return TARE_OK;
    }
    if (json_is_string(type))
        return put_type(s, schema, json_string_value(type), to);
    if (!json_is_array(type) || json_array_size(type) == 0)
        return tare_schema_refuse(s, "type", "is neither a name nor a list of names");
    tare_text_puts(to, "(");
    for (size_t i = 0; i < json_array_size(type) && !code; i++) {
        const char *one = json_string_value(json_array_get(type, i));
        tare_text_puts(to, i ? " | " : "");
        code = one ? put_type(s, schema, one, to) : tare_schema_refuse(s, "type", "is not a list of names");
    }
    tare_text_puts(to, ")");
    return code;
}

/* Writes the alternatives of anyOf or oneOf, each joined with the keywords beside it. */
static enum tare_code put_choice(struct tare_schema *s, const json_t *schema, const char *key, struct tare_text *to)
{
    const json_t *list = json_object_get(schema, key);
    json_t *beside = json_copy((json_t *)(uintptr_t)schema);
    enum tare_code code = beside ? TARE_OK : tare_fail_memory(s->err);
    if (!code && (!json_is_array(list) || json_array_size(list) == 0))
        code = tare_schema_refuse(s, key, "is not a list of schemas");
    if (beside)
        json_object_del(beside, key);
    tare_text_puts(to, "(");
    for (size_t i = 0; !code && i < json_array_size(list); i++) {
        json_t *both = NULL;
        tare_text_puts(to, i ? " | " : "");
        code = tare_schema_merge(s, beside, json_array_get(list, i), &both);
        if (!code)
            code = tare_schema_put(s, both, to);
        json_decref(both);
    }
    tare_text_puts(to, ")");
    json_decref(beside);
    return code;
}

/* Writes allOf: all schemas of the list and the keywords beside it, joined into one schema. */
static enum tare_code put_all(struct tare_schema *s, const json_t *schema, struct tare_text *to)
{
    const json_t *list = json_object_get(schema, "allOf");
    json_t *all = json_copy((json_t *)(uintptr_t)schema);
    enum tare_code code = all ? TARE_OK : tare_fail_memory(s->err);
    if (!code && !json_is_array(list))
        code = tare_schema_refuse(s, "allOf", "is not a list of schemas");
    if (all)
        json_object_del(all, "allOf");
    for (size_t i = 0; !code && i < json_array_size(list); i++) {
        json_t *both = NULL;
        code = tare_schema_merge(s, all, json_array_get(list, i), &both);
        json_decref(all);
        all = both;
    }
    if (!code)
        code = tare_schema_put(s, all, to);
    json_decref(all);
    return code;
}

/* Writes a $ref. Alone it calls the rule of the reference; with keywords beside it, both are joined into one
 * schema. */
static enum tare_code put_with_ref(struct tare_schema *s, const json_t *schema, struct tare_text *to)
{
    const json_t *ref = json_object_get(schema, "$ref");
    const char *key;
    json_t *value, *beside = NULL, *both = NULL, *it;
    bool alone = true;
    json_object_foreach((json_t *)(uintptr_t)schema, key, value) alone =
        alone && (!strcmp(key, "$ref") || listed(notes, key));
    if (alone)
        return put_ref(s, ref, to);
    it = json_pack("{s:O}", "$ref", ref);
    beside = json_copy((json_t *)(uintptr_t)schema);
    enum tare_code code = it && beside ? TARE_OK : tare_fail_memory(s->err);
    if (beside)
        json_object_del(beside, "$ref");
    if (!code)
        code = tare_schema_merge(s, beside, it, &both);
    if (!code)
        code = tare_schema_put(s, both, to);
    json_decref(it);
    json_decref(beside);
    json_decref(both);
    return code;
}

static enum tare_code put_schema(struct tare_schema *s, const json_t *schema, struct tare_text *to)
{
    enum tare_code code;
    if (json_is_true(schema)) {
        tare_text_puts(to, "any");
        return TARE_OK;
    }
    if (!json_is_object(schema))
        return tare_schema_refuse(s, "false", "a schema is an object, or true; nothing is valid by false");
    if ((code = check_keys(s, schema)))
        return code;
    if (json_object_get(schema, "$ref"))
        return put_with_ref(s, schema, to);
    if (json_object_get(schema, "allOf"))
        return put_all(s, schema, to);
    if (json_object_get(schema, "anyOf"))
        return put_choice(s, schema, "anyOf", to);
    if (json_object_get(schema, "oneOf"))
        return put_choice(s, schema, "oneOf", to);
    const json_t *constant = json_object_get(schema, "const"), *values = json_object_get(schema, "enum");
    if (!constant && !values)
        return put_types(s, schema, to);
    const char *key;
    json_t *value;
    json_object_foreach(
        (json_t *)(uintptr_t)schema, key,
        value) if (strcmp(key, "const") != 0 && strcmp(key, "enum") != 0 && strcmp(key, "type") != 0 &&
                   !listed(notes, key)) return tare_schema_refuse(s, key, "beside const or enum is not supported");
    if (constant && values)
        return tare_schema_refuse(s, "enum", "beside const is not supported");
    return constant ? put_value(s, constant, to) : put_enum(s, values, to);
}

enum tare_code tare_schema_put(struct tare_schema *s, const json_t *schema, struct tare_text *to)
{
    if (++s->depth > TARE_GRAMMAR_DEPTH / 4)
        return tare_schema_refuse(s, "depth", "schemas inside one another more than 64 times");
    if (to->size + s->out->size > TARE_GRAMMAR_TEXT)
        return tare_schema_refuse(s, "size", "the grammar of this schema is longer than 1 MiB");
    const enum tare_code code = put_schema(s, schema, to);
    s->depth--;
    return code;
}

static enum tare_code write_all(struct tare_schema *s)
{
    struct tare_text rule = {0};
    enum tare_code code = tare_schema_put(s, s->root, &rule);
    tare_text_puts(s->out, basics);
    tare_text_format(s->out, "root ::= %s\n", rule.data ? rule.data : "");
    /* The list grows meanwhile, because references contain others. */
    for (size_t i = 0; i < s->n_refs && !code; i++) {
        rule.size = 0;
        code = tare_schema_put(s, find_pointer(s->root, s->refs[i].pointer + 1), &rule);
        if (!code)
            tare_text_format(s->out, "ref-%zu ::= %s\n", i, rule.data ? rule.data : "");
    }
    if (!code && rule.failed)
        code = tare_fail_memory(s->err);
    tare_text_release(&rule);
    return code;
}

enum tare_code tare_schema_write(struct tare_text *gbnf, const char *text, size_t size, struct tare_error *err)
{
    json_t *root = NULL;
    struct tare_schema s = {.out = gbnf, .err = err};
    if (size > TARE_GRAMMAR_TEXT)
        return tare_fail(err, TARE_E_FORMAT, "schema", "more than 1 MiB of text");
    enum tare_code code = tare_json_parse_texts(&root, "schema", text, size, err);
    s.root = root;
    if (!code)
        code = write_all(&s);
    for (size_t i = 0; i < s.n_refs; i++)
        free(s.refs[i].pointer);
    free(s.refs);
    json_decref(root);
    return code;
}
