/* SPDX-License-Identifier: MIT
 * schema_object.c - objects, arrays, and two schemas joined into one. */
#include "grammar/schema_object.h"

#include <string.h>

#include "config/json.h"

/* ---- objects ----------------------------------------------------------------------------------------------------- */

static enum tare_code put_key(struct tare_schema *s, const char *key, struct tare_text *to)
{
    json_t *name = json_string(key);
    char *text = name ? json_dumps(name, JSON_ENCODE_ANY) : NULL;
    json_decref(name);
    if (!text)
        return tare_fail_memory(s->err);
    tare_schema_literal(to, text, strlen(text));
    tare_text_puts(to, " \":\" ws ");
    free(text);
    return TARE_OK;
}

/* Writes a key that is none of the properties. A tree over the properties' bytes allows a key to leave it at each
 * place: by another character, or by ending where no property ends. Escapes are left out, so that a key cannot be
 * spelled in another way. */
static void put_other_key(const json_t *properties, const char *prefix, size_t size, struct tare_text *to)
{
    char next[256] = {0};
    size_t n = 0;
    bool whole = false;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)properties, key, value)
    {
        if (strncmp(key, prefix, size) != 0)
            continue;
        const char c = key[size];
        whole = whole || !c;
        if (c && !memchr(next, c, n))
            next[n++] = c;
    }
    tare_text_puts(to, "(");
    tare_text_puts(to, whole ? "" : "\"\" | ");
    tare_text_puts(to, "[^\"\\\\\\x00-\\x1F\\x7F");
    for (size_t i = 0; i < n; i++)
        tare_text_format(to, "\\x%02X", (unsigned)(unsigned char)next[i]);
    tare_text_puts(to, "] plain*");
    for (size_t i = 0; i < n; i++) {
        char longer[256];
        memcpy(longer, prefix, size);
        longer[size] = next[i];
        tare_text_puts(to, " | ");
        tare_schema_literal(to, next + i, 1);
        tare_text_puts(to, " ");
        put_other_key(properties, longer, size + 1, to);
    }
    tare_text_puts(to, ")");
}

static enum tare_code put_additional(struct tare_schema *s, const json_t *schema, size_t number)
{
    const json_t *more = json_object_get(schema, "additionalProperties"),
                 *properties = json_object_get(schema, "properties");
    struct tare_text value = {0}, name = {0};
    const char *key;
    json_t *one;
    size_t total = 0;
    enum tare_code code = TARE_OK;
    json_object_foreach((json_t *)(uintptr_t)properties, key, one)
    {
        total += strlen(key);
        for (const char *c = key; *c; c++)
            if ((unsigned char)*c >= 0x7f || *c < 0x20 || *c == '"' || *c == '\\')
                code = tare_schema_refuse(s, "additionalProperties", "beside keys that are not plain ASCII");
        if (!code && strlen(key) > 60)
            code = tare_schema_refuse(s, "additionalProperties", "beside keys of more than 60 characters");
    }
    if (!code && total > 4096)
        code = tare_schema_refuse(s, "additionalProperties", "beside so many keys");
    if (!code)
        code = more ? tare_schema_put(s, more, &value) : TARE_OK;
    if (!code)
        put_other_key(properties, "", 0, &name);
    if (!code && (value.failed || name.failed))
        code = tare_fail_memory(s->err);
    if (!code) {
        if (!s->any)
            tare_text_puts(s->out, "plain ::= [^\"\\\\\\x00-\\x1F\\x7F]\n");
        s->any = true;
        tare_text_format(s->out, "more-%zu ::= \"\\\"\" %s \"\\\":\" ws %s\n", number, name.data,
                         value.size ? value.data : "any");
    }
    tare_text_release(&value);
    tare_text_release(&name);
    return code;
}

/* Writes the two rules of property i of object N. object-N-i continues an object without a member so far; rest-N-i
 * one that has members, so it begins with a comma. An optional property may be left out. */
static enum tare_code put_member(struct tare_schema *s, size_t number, size_t i, const char *key, const json_t *schema,
                                 bool required)
{
    struct tare_text member = {0};
    enum tare_code code = put_key(s, key, &member);
    if (!code)
        code = tare_schema_put(s, schema, &member);
    if (!code && member.failed)
        code = tare_fail_memory(s->err);
    if (!code) {
        tare_text_format(s->out, "member-%zu-%zu ::= %s\n", number, i, member.data);
        tare_text_format(s->out, "object-%zu-%zu ::= member-%zu-%zu rest-%zu-%zu", number, i, number, i, number, i + 1);
        if (!required)
            tare_text_format(s->out, " | object-%zu-%zu", number, i + 1);
        tare_text_format(s->out, "\nrest-%zu-%zu ::= \",\" ws member-%zu-%zu rest-%zu-%zu", number, i, number, i,
                         number, i + 1);
        if (!required)
            tare_text_format(s->out, " | rest-%zu-%zu", number, i + 1);
        tare_text_puts(s->out, "\n");
    }
    tare_text_release(&member);
    return code;
}

/* Adds the required keys that are no properties; they become properties that may have any value that
 * additionalProperties allows. */
static enum tare_code complete(struct tare_schema *s, const json_t *schema, json_t **properties)
{
    const json_t *given = json_object_get(schema, "properties"), *required = json_object_get(schema, "required");
    if ((given && !json_is_object(given)) || (required && !json_is_array(required)))
        return tare_schema_refuse(s, given && !json_is_object(given) ? "properties" : "required",
                                  "is not an object of schemas, or list of keys");
    *properties = given ? json_copy((json_t *)(uintptr_t)given) : json_object();
    const json_t *more = json_object_get(schema, "additionalProperties");
    for (size_t i = 0; *properties && i < json_array_size(required); i++) {
        const char *key = json_string_value(json_array_get(required, i));
        if (!key)
            return tare_schema_refuse(s, "required", "is not a list of keys");
        if (!json_object_get(*properties, key) && json_is_false(more))
            return tare_schema_refuse(s, "required", "has a key that additionalProperties forbids");
        if (!json_object_get(*properties, key) &&
            json_object_set_new(*properties, key, more ? json_incref((json_t *)(uintptr_t)more) : json_true()))
            return tare_fail_memory(s->err);
    }
    return *properties ? TARE_OK : tare_fail_memory(s->err);
}

enum tare_code tare_schema_object(struct tare_schema *s, const json_t *schema, struct tare_text *to)
{
    const json_t *more = json_object_get(schema, "additionalProperties"),
                 *required = json_object_get(schema, "required");
    json_t *properties = NULL, *value, *full = NULL;
    const char *key;
    const size_t number = s->n_rules++;
    size_t i = 0;
    enum tare_code code = complete(s, schema, &properties);
    /* Where nothing at all is said about members, any may come. */
    const bool open = (more && !json_is_false(more)) || (!more && json_object_size(properties) == 0);
    json_object_foreach(properties, key, value)
    {
        if (code)
            break;
        code = put_member(s, number, i++, key, value, tare_json_lists(required, key));
    }
    if (!code && open) {
        full = json_copy((json_t *)(uintptr_t)schema);
        if (!full || json_object_set(full, "properties", properties))
            code = tare_fail_memory(s->err);
        else
            code = put_additional(s, full, number);
    }
    json_decref(full);
    json_decref(properties);
    if (code)
        return code;
    tare_text_format(s->out, open ? "object-%zu-%zu ::= (more-%zu rest-%zu-%zu)?\n" : "object-%zu-%zu ::= \"\"\n",
                     number, i, number, number, i);
    tare_text_format(s->out, open ? "rest-%zu-%zu ::= (\",\" ws more-%zu)*\n" : "rest-%zu-%zu ::= \"\"\n", number, i,
                     number);
    tare_text_format(to, "(\"{\" ws object-%zu-0 ws \"}\")", number);
    return TARE_OK;
}

/* ---- arrays ------------------------------------------------------------------------------------------------------ */

/* Writes `item` from least to most times, or without an end where most is -1. `first` says that no comma comes before
 * the first one. */
static void put_times(struct tare_text *to, const char *item, int64_t least, int64_t most, bool first)
{
    if (most == 0)
        return;
    if (!first) {
        tare_text_format(to, most < 0 ? " (\",\" ws %s){%lld,}" : " (\",\" ws %s){%lld,%lld}", item, (long long)least,
                         (long long)most);
        return;
    }
    tare_text_puts(to, "(");
    tare_text_format(to, "%s", item);
    put_times(to, item, least > 0 ? least - 1 : 0, most < 0 ? -1 : most - 1, false);
    tare_text_puts(to, least > 0 ? ")" : ")?");
}

static enum tare_code put_items(struct tare_schema *s, const json_t *schema, int64_t least, int64_t most,
                                struct tare_text *to)
{
    const json_t *prefix = json_object_get(schema, "prefixItems"), *items = json_object_get(schema, "items");
    const int64_t n = (int64_t)json_array_size(prefix), fixed = most >= 0 && most < n ? most : n;
    const bool closed = json_is_false(items) || (prefix && !items);
    struct tare_text item = {0}, rule = {0};
    enum tare_code code = TARE_OK;
    if (closed && least > fixed)
        return tare_schema_refuse(s, "minItems", "is over the number of prefixItems, and others are not asked for");
    for (int64_t i = 0; i < fixed && !code; i++) {
        tare_text_puts(to, i ? " \",\" ws " : "");
        code = tare_schema_put(s, json_array_get(prefix, (size_t)i), to);
    }
    if (!code && !closed && !(most >= 0 && most == fixed)) {
        code = items ? tare_schema_put(s, items, &item) : TARE_OK;
        const size_t number = s->n_rules++;
        /* The item gets a rule of its own, because it is written twice. */
        if (!code)
            tare_text_format(s->out, "item-%zu ::= %s\n", number, item.size ? item.data : "any");
        tare_text_format(&rule, "item-%zu", number);
        if (!code && (item.failed || rule.failed))
            code = tare_fail_memory(s->err);
        if (!code) {
            tare_text_puts(to, " ");
            put_times(to, rule.data, least > fixed ? least - fixed : 0, most < 0 ? -1 : most - fixed, fixed == 0);
        }
    }
    tare_text_release(&item);
    tare_text_release(&rule);
    return code;
}

enum tare_code tare_schema_array(struct tare_schema *s, const json_t *schema, struct tare_text *to)
{
    const json_t *prefix = json_object_get(schema, "prefixItems");
    int64_t least = 0, most = -1;
    enum tare_code code;
    if ((code = tare_schema_count(s, schema, "minItems", 0, &least)) ||
        (code = tare_schema_count(s, schema, "maxItems", -1, &most)))
        return code;
    if (prefix && !json_is_array(prefix))
        return tare_schema_refuse(s, "prefixItems", "is not a list of schemas");
    if (most >= 0 && least > most)
        return tare_schema_refuse(s, "minItems", "is over maxItems: there is no such list");
    tare_text_puts(to, "(\"[\" ws ");
    code = put_items(s, schema, least, most, to);
    tare_text_puts(to, " ws \"]\")");
    return code;
}

/* ---- two in one -------------------------------------------------------------------------------------------------- */

static enum tare_code merge_properties(struct tare_schema *s, json_t *into, const json_t *from)
{
    const char *key;
    json_t *value;
    if (!json_is_object(into) || !json_is_object(from))
        return tare_schema_refuse(s, "properties", "is not an object of schemas");
    json_object_foreach((json_t *)(uintptr_t)from, key, value)
    {
        const json_t *there = json_object_get(into, key);
        if (there && !json_equal(there, value))
            return tare_schema_refuse(s, key, "is described twice in different ways by schemas that all hold");
        if (json_object_set(into, key, value))
            return tare_fail_memory(s->err);
    }
    return TARE_OK;
}

/* Joins one keyword of b into `all`, which holds what a says. Only "required" and "properties" can be joined; any
 * other must be equal in both. */
static enum tare_code merge_key(struct tare_schema *s, json_t *all, const char *key, json_t *value)
{
    json_t *there = json_object_get(all, key), *copy;
    if (!there)
        return json_object_set(all, key, value) ? tare_fail_memory(s->err) : TARE_OK;
    if (tare_schema_is_note(key) || json_equal(there, value))
        return TARE_OK;
    const bool lists = json_is_array(there) && json_is_array(value);
    if (!(lists && !strcmp(key, "required")) && strcmp(key, "properties") != 0)
        return tare_schema_refuse(s, key, "stands in two schemas that both hold, with different values");
    if (!(copy = json_copy(there)))
        return tare_fail_memory(s->err);
    enum tare_code code = TARE_OK;
    if (lists && json_array_extend(copy, value))
        code = tare_fail_memory(s->err);
    else if (!lists)
        code = merge_properties(s, copy, value);
    if (!code && json_object_set(all, key, copy))
        code = tare_fail_memory(s->err);
    json_decref(copy);
    return code;
}

/* Does `closed` speak of additionalProperties, and has `other` a property that `closed` does not list? */
static bool forbids(const json_t *closed, const json_t *other)
{
    const json_t *own = json_object_get(closed, "properties"), *more = json_object_get(other, "properties");
    const char *key;
    json_t *value;
    if (!json_object_get(closed, "additionalProperties"))
        return false;
    json_object_foreach((json_t *)(uintptr_t)more, key, value) if (!json_object_get(own, key)) return true;
    return false;
}

enum tare_code tare_schema_merge(struct tare_schema *s, const json_t *a, const json_t *b, json_t **both)
{
    const char *key;
    json_t *value;
    *both = NULL;
    for (int hops = 0; json_object_get(b, "$ref") && json_object_size(a); hops++) {
        const json_t *to = tare_schema_find(s, json_object_get(b, "$ref"));
        if (!to || hops > 32 || json_object_size(b) > 1)
            return tare_schema_refuse(s, "$ref", "beside other keywords names nothing that can be joined with them");
        b = to;
    }
    if (json_is_true(b))
        b = a;
    if (!json_is_object(a) || !json_is_object(b))
        return tare_schema_refuse(s, "false", "a schema is an object, or true; nothing is valid by false");
    if (forbids(a, b) || forbids(b, a))
        return tare_schema_refuse(s, "additionalProperties",
                                  "of one schema speaks of properties of another one that holds, too");
    if (!(*both = json_copy((json_t *)(uintptr_t)a)))
        return tare_fail_memory(s->err);
    enum tare_code code = TARE_OK;
    json_object_foreach((json_t *)(uintptr_t)b, key, value)
    {
        if (!code)
            code = merge_key(s, *both, key, value);
    }
    return code;
}
