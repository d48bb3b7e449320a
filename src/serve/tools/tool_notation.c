/* SPDX-License-Identifier: MIT
 * tool_notation.c - arguments as grammars, by the tool's schema: in JSON, as Python's arguments, in tags, and in the notation with
 * bare keys. What a notation cannot say of a schema makes it one that is not understood. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/fields.h"
#include "serve/tools/family.h"

#define PROPERTIES_MOST 256
#define DEPTH_MOST 16

bool tool_notation_json(struct tool_writer *w, const char *name, const json_t *schema, const struct tool_form *form)
{
    (void)form;
    if (!schema) {
        evbuffer_add_printf(w->out, "%s ::= \"{}\"\n", name);
        return true;
    }
    evbuffer_add_printf(w->out, "%s ::= %s-root\n", name, name);
    return tool_write_schema(w, name, schema);
}

/* ---- objects ----------------------------------------------------------------------------------------------------- */

static bool refuse(struct tool_writer *w, const char *why)
{
    snprintf(w->reason, sizeof w->reason, "%s", why);
    return false;
}

/* Does a schema say nothing beside what the list, which ends with NULL, and annotations say? */
static bool says_only(const json_t *schema, const char *const *list)
{
    static const char *const notes[] = {"title",    "description", "default", "examples",   "$schema", "$id",
                                        "$comment", "readOnly",    "$defs",   "deprecated", "strict",  NULL};
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(size_t)schema, key, value)
    {
        bool known = false;
        for (size_t i = 0; list[i]; i++)
            known |= !strcmp(key, list[i]);
        for (size_t i = 0; notes[i]; i++)
            known |= !strcmp(key, notes[i]);
        if (!known)
            return false;
    }
    return true;
}

/* How a notation writes the members of an object. */
struct members {
    const struct tool_form *form;
    const char *between;
    /* The rule of a member; NULL for key and schema: any member. */
    bool (*member)(struct tool_writer *w, const char *name, const char *key, const json_t *schema,
                   const struct members *members);
    /* Where definitions of the whole schema are. */
    const json_t *whole;
    int depth;
};

static bool is_required(const json_t *schema, const char *key)
{
    const json_t *list = json_object_get(schema, "required");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *word = json_string_value(json_array_get(list, i));
        if (word && !strcmp(word, key))
            return true;
    }
    return false;
}

/* Rules for the members in order, optional ones left out or not. NAME-fI: those from I on where none came before; NAME-rI:
 * where one did. */
static bool write_members(struct tool_writer *w, const char *name, const json_t *schema, const struct members *m)
{
    json_t *properties = json_object_get(schema, "properties"), *value;
    const char *key;
    size_t i = 0;
    json_object_foreach(properties, key, value)
    {
        char member[96];
        const bool needed = is_required(schema, key);
        if (i == PROPERTIES_MOST)
            return refuse(w, "an object has more than 256 properties");
        evbuffer_add_printf(w->out, "%s-f%zu ::= %s-m%zu %s-r%zu", name, i, name, i, name, i + 1);
        if (!needed)
            evbuffer_add_printf(w->out, " | %s-f%zu", name, i + 1);
        evbuffer_add_printf(w->out, "\n%s-r%zu ::= \"%s\" %s-m%zu %s-r%zu", name, i, m->between, name, i, name, i + 1);
        if (!needed)
            evbuffer_add_printf(w->out, " | %s-r%zu", name, i + 1);
        serve_put(w->out, "\n");
        snprintf(member, sizeof member, "%s-m%zu", name, i++);
        if (!m->member(w, member, key, value, m))
            return false;
    }
    evbuffer_add_printf(w->out, "%s-f%zu ::= \"\"\n%s-r%zu ::= \"\"\n", name, i, name, i);
    return true;
}

/* The rule `name`: the members of an object, of any where the schema does not say which. */
static bool write_object(struct tool_writer *w, const char *name, const json_t *schema, const struct members *m)
{
    static const char *const known[] = {"type", "properties", "required", "additionalProperties", NULL};
    const json_t *properties = json_object_get(schema, "properties"), *needed = json_object_get(schema, "required");
    const json_t *other = json_object_get(schema, "additionalProperties");
    if (!says_only(schema, known) || json_is_object(other))
        return refuse(w, "an object with more than properties, required and additionalProperties");
    for (size_t i = 0; i < json_array_size(needed); i++)
        if (!json_object_get(properties, json_string_value(json_array_get(needed, i))))
            return refuse(w, "a property is required that is not described");
    if (!schema || json_object_size(properties) || json_is_false(other)) {
        evbuffer_add_printf(w->out, "%s ::= %s-f0\n", name, name);
        return write_members(w, name, schema, m);
    }
    char any[96];
    snprintf(any, sizeof any, "%s-any", name);
    evbuffer_add_printf(w->out, "%s ::= (%s (\"%s\" %s)*)?\n", name, any, m->between, any);
    return m->member(w, any, NULL, NULL, m);
}

/* A schema within another one, with the definitions that it may refer to. Owned. */
static json_t *with_definitions(const json_t *schema, const struct members *m)
{
    json_t *made = json_deep_copy(schema), *definitions = json_object_get(m->whole, "$defs");
    if (definitions && json_is_object(made) && !json_object_get(made, "$defs"))
        json_object_set(made, "$defs", definitions);
    return made;
}

static bool write_json(struct tool_writer *w, const char *name, const json_t *schema, const struct members *m)
{
    json_t *whole = schema ? with_definitions(schema, m) : json_object();
    const bool good = tool_write_schema(w, name, whole);
    json_decref(whole);
    return good;
}

static void put_key(struct tool_writer *w, const char *key)
{
    if (key)
        tool_write_text(w, key);
    else
        serve_put(w->out, " [A-Za-z_] [A-Za-z0-9_]{0,63}");
}

static bool is_plain_boolean(const json_t *schema)
{
    const char *type = json_string_value(json_object_get(schema, "type"));
    return type && !strcmp(type, "boolean") && !json_object_get(schema, "enum") && !json_object_get(schema, "const");
}

/* ---- Python ------------------------------------------------------------------------------------------------------ */

static bool python_member(struct tool_writer *w, const char *name, const char *key, const json_t *schema,
                          const struct members *m)
{
    if (key && strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") != strlen(key))
        return refuse(w, "a property's name is no name in Python");
    evbuffer_add_printf(w->out, "%s ::=", name);
    put_key(w, key);
    if (is_plain_boolean(schema)) {
        serve_put(w->out, " \"=\" (\"True\" | \"False\")\n");
        return true;
    }
    evbuffer_add_printf(w->out, " \"=\" %s-root\n", name);
    return write_json(w, name, schema, m);
}

bool tool_notation_python(struct tool_writer *w, const char *name, const json_t *schema, const struct tool_form *form)
{
    const struct members m = {.form = form, .between = ", ", .member = python_member, .whole = schema};
    return write_object(w, name, schema, &m);
}

/* ---- raw text ---------------------------------------------------------------------------------------------------- */

/* The rules of a JSON string, without its quotes and with what it spells by escapes left out. */
static bool write_bare_string(struct tool_writer *w, const char *name, const char *gbnf)
{
    static const char open[] = "root ::= (\"\\\"\" ", close[] = " \"\\\"\")", character[] = "char ::= ";
    const char *root = strstr(gbnf, open), *end = root ? strstr(root, "\n") : NULL, *one = strstr(gbnf, character);
    const char *line = one ? strchr(one, '\n') : NULL;
    if (!root || !end || !line || memcmp(end - strlen(close), close, strlen(close)) != 0)
        return refuse(w, "a text whose form is not known");
    char *made = malloc(strlen(gbnf) + 64);
    if (!made)
        return refuse(w, "out of memory");
    const int head = (int)(one - gbnf), rest = (int)(root - line),
              body = (int)(end - root) - (int)(strlen(close) + sizeof open - 1);
    snprintf(made, strlen(gbnf) + 64, "%.*schar ::= [^<]%.*sroot ::= %.*s\n", head, gbnf, rest, line, body,
             root + sizeof open - 1);
    static const char *const escapes[] = {" | \"\\\\\\\"\"", " | \"\\\\\\\\\"", " | \"\\\\b\"", " | \"\\\\f\"",
                                          " | \"\\\\n\"",    " | \"\\\\r\"",    " | \"\\\\t\""};
    for (size_t i = 0; i < sizeof escapes / sizeof *escapes; i++)
        for (char *at; (at = strstr(made, escapes[i])) != NULL;)
            memmove(at, at + strlen(escapes[i]), strlen(at + strlen(escapes[i])) + 1);
    tool_write_renamed(w, name, made);
    free(made);
    return true;
}

/* The rule of a text that stands raw before `close`. */
static bool write_raw(struct tool_writer *w, const char *name, const json_t *schema, const char *close)
{
    static const char *const bounds[] = {"minLength", "maxLength", "pattern", "format"};
    const json_t *list = json_object_get(schema, "enum"), *only = json_object_get(schema, "const");
    evbuffer_add_printf(w->out, "%s ::=", name);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *word = json_string_value(json_array_get(list, i));
        serve_put(w->out, i ? " |" : "");
        tool_write_text(w, word ? word : "");
    }
    if (json_is_string(only) && !list)
        tool_write_text(w, json_string_value(only));
    bool bound = false;
    for (size_t i = 0; i < 4; i++)
        bound |= json_object_get(schema, bounds[i]) != NULL;
    if (list || only || !bound) {
        if (!list && !only) {
            serve_put(w->out, " ~");
            tool_write_word(w, close);
        }
        serve_put(w->out, "\n");
        return true;
    }
    evbuffer_add_printf(w->out, " %s-root\n", name);
    char *text = json_dumps(schema, JSON_COMPACT), *gbnf = NULL;
    const bool good =
        text && !tare_grammar_from_schema(&gbnf, text, strlen(text), NULL) && write_bare_string(w, name, gbnf);
    free(text);
    tare_text_free(gbnf);
    return good;
}

static bool is_text(const json_t *schema)
{
    const char *type = json_string_value(json_object_get(schema, "type"));
    const json_t *list = json_object_get(schema, "enum");
    bool texts = json_array_size(list) > 0;
    for (size_t i = 0; i < json_array_size(list); i++)
        texts &= json_is_string(json_array_get(list, i));
    return type ? !strcmp(type, "string") : texts || json_is_string(json_object_get(schema, "const"));
}

/* ---- tags -------------------------------------------------------------------------------------------------------- */

static bool tags_member(struct tool_writer *w, const char *name, const char *key, const json_t *schema,
                        const struct members *m)
{
    const struct tool_tags *tags = m->form->tags;
    const bool text = !schema || is_text(schema), either = is_plain_boolean(schema);
    evbuffer_add_printf(w->out, "%s ::=", name);
    tool_write_text(w, tags->key_open);
    put_key(w, key);
    tool_write_text(w, tags->key_close);
    if (tags->typed)
        tool_write_text(w, text ? " string=\"true\">" : " string=\"false\">");
    if (tags->value_open) {
        serve_put(w->out, " \"\\n\"");
        tool_write_text(w, tags->value_open);
    }
    serve_put(w->out, tags->lines ? " \"\\n\"" : "");
    if (either)
        serve_put(w->out, " (\"true\" | \"false\" | \"True\" | \"False\")");
    else
        evbuffer_add_printf(w->out, text ? " %s-v" : " %s-root", name);
    serve_put(w->out, tags->lines ? " \"\\n\"" : "");
    tool_write_text(w, tags->value_close);
    serve_put(w->out, " \"\\n\"?\n");
    if (!text)
        return either || write_json(w, name, schema, m);
    char value[112];
    snprintf(value, sizeof value, "%s-v", name);
    return write_raw(w, value, schema, tags->value_close);
}

bool tool_notation_tags(struct tool_writer *w, const char *name, const json_t *schema, const struct tool_form *form)
{
    const struct members m = {.form = form, .between = "", .member = tags_member, .whole = schema};
    return write_object(w, name, schema, &m);
}

/* ---- bare keys --------------------------------------------------------------------------------------------------- */

static bool bare_value(struct tool_writer *w, const char *name, const json_t *schema, const struct members *m);

static bool bare_member(struct tool_writer *w, const char *name, const char *key, const json_t *schema,
                        const struct members *m)
{
    char value[128];
    snprintf(value, sizeof value, "%s-v", name);
    if (key && strcspn(key, ":{}[],<>\"") != strlen(key))
        return refuse(w, "a property's name has signs that part keys");
    evbuffer_add_printf(w->out, "%s ::=", name);
    put_key(w, key);
    evbuffer_add_printf(w->out, " \":\" %s\n", value);
    return bare_value(w, value, schema, m);
}

static bool bare_list(struct tool_writer *w, const char *name, const json_t *schema, const struct members *m)
{
    static const char *const known[] = {"type", "items", "minItems", "maxItems", NULL};
    const json_t *least = json_object_get(schema, "minItems"), *most = json_object_get(schema, "maxItems");
    const json_int_t a = json_integer_value(least), b = most ? json_integer_value(most) : -1;
    char item[128];
    snprintf(item, sizeof item, "%s-i", name);
    if (!says_only(schema, known) || a < 0 || a > 1000 || b > 1000 || (most && b < a))
        return refuse(w, "a list with more than items, minItems and maxItems");
    if (most && b == 0)
        evbuffer_add_printf(w->out, "%s ::= \"[]\"\n", name);
    else if (most)
        evbuffer_add_printf(w->out, "%s ::= \"[\" (%s (\",\" %s){%d,%d})%s \"]\"\n", name, item, item,
                            (int)(a ? a - 1 : 0), (int)b - 1, a ? "" : "?");
    else
        evbuffer_add_printf(w->out, "%s ::= \"[\" (%s (\",\" %s){%d,})%s \"]\"\n", name, item, item,
                            (int)(a ? a - 1 : 0), a ? "" : "?");
    return bare_value(w, item, json_object_get(schema, "items"), m);
}

static bool bare_text(struct tool_writer *w, const char *name, const json_t *schema, const struct members *m)
{
    const char *quote = m->form->beside->dialect->quote;
    char text[160];
    snprintf(text, sizeof text, "%s-t", name);
    evbuffer_add_printf(w->out, "%s ::=", name);
    tool_write_text(w, quote);
    evbuffer_add_printf(w->out, " %s", text);
    tool_write_text(w, quote);
    serve_put(w->out, "\n");
    return write_raw(w, text, schema, quote);
}

/* The rule of a value; a schema that says nothing is any text, number or constant. */
static bool bare_value(struct tool_writer *w, const char *name, const json_t *schema, const struct members *m)
{
    const char *type = json_string_value(json_object_get(schema, "type"));
    struct members deeper = *m;
    if (++deeper.depth > DEPTH_MOST || strlen(name) > 80)
        return refuse(w, "objects and lists are nested too deep");
    if (schema && is_text(schema))
        return bare_text(w, name, schema, &deeper);
    if (type && !strcmp(type, "array"))
        return bare_list(w, name, schema, &deeper);
    if (type && !strcmp(type, "object")) {
        char inner[128];
        snprintf(inner, sizeof inner, "%s-o", name);
        evbuffer_add_printf(w->out, "%s ::= \"{\" %s \"}\"\n", name, inner);
        return write_object(w, inner, schema, &deeper);
    }
    if (type) {
        evbuffer_add_printf(w->out, "%s ::= %s-root\n", name, name);
        return write_json(w, name, schema, m);
    }
    if (schema && json_object_size(schema))
        return refuse(w, "a value that has no type of its own");
    char text[128];
    snprintf(text, sizeof text, "%s-a", name);
    evbuffer_add_printf(w->out, "%s ::= %s | \"true\" | \"false\" | \"null\" | \"-\"? [0-9]{1,15}\n", name, text);
    return bare_text(w, text, NULL, &deeper);
}

bool tool_notation_bare(struct tool_writer *w, const char *name, const json_t *schema, const struct tool_form *form)
{
    const struct members m = {.form = form, .between = ",", .member = bare_member, .whole = schema};
    char inner[64];
    snprintf(inner, sizeof inner, "%s-o", name);
    evbuffer_add_printf(w->out, "%s ::= \"{\" %s \"}\"\n", name, inner);
    return write_object(w, inner, schema, &m);
}
