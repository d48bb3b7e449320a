/* SPDX-License-Identifier: MIT
 * read_tags.c - calls whose arguments stand in tags of their own. A value is text as it stands where the schema says so, else
 * JSON. */
#include <string.h>

#include "serve/tools/family.h"

enum { NAME, KEYS, LINE, VALUE };
#define KEY_MOST 256

static bool in_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.';
}

static enum tool_step read_name(struct tool_parser *p, bool over)
{
    struct tool_reading *r = &p->reading;
    const struct tool_tags *tags = r->form->tags;
    const size_t before = r->at;
    tool_space(p);
    const size_t from = r->at;
    while (r->at < p->n_held && in_name(p->held[r->at]))
        r->at++;
    const size_t size = r->at - from;
    enum tool_step step = r->at == p->n_held ? TOOL_MORE : TOOL_NEXT;
    if (step == TOOL_NEXT && tags->name_close)
        step = tool_expect(p, tags->name_close, over);
    if (size > 80)
        return TOOL_NOT;
    if (step == TOOL_MORE)
        r->at = before;
    if (step != TOOL_NEXT)
        return step;
    tool_call_begin(p);
    if (!tool_call_name(p, p->held + from, size))
        return TOOL_NOT;
    r->began = true;
    r->phase = KEYS;
    return TOOL_NEXT;
}

/* Is the value of a key text as it stands? */
static bool is_text(const json_t *function, const char *key)
{
    const json_t *properties = json_object_get(json_object_get(function, "parameters"), "properties");
    const json_t *schema = json_object_get(properties, key), *list = json_object_get(schema, "enum");
    const char *type = json_string_value(json_object_get(schema, "type"));
    if (type)
        return !strcmp(type, "string");
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!json_is_string(json_array_get(list, i)))
            return false;
    return json_array_size(list) > 0 || json_is_string(json_object_get(schema, "const"));
}

/* After a key of DSML: string="true"> or string="false">. */
static enum tool_step read_type(struct tool_parser *p, bool over)
{
    static const char *const types[] = {" string=\"true\">", " string=\"false\">", ">"};
    enum tool_step step = TOOL_NOT;
    for (size_t i = 0; i < 3 && step == TOOL_NOT; i++) {
        step = tool_expect(p, types[i], over);
        if (step == TOOL_NEXT && i < 2)
            p->reading.list = i == 0;
    }
    return step;
}

/* Reads a key up to its value, or the end of the call. */
static enum tool_step read_key(struct tool_parser *p, bool over)
{
    struct tool_reading *r = &p->reading;
    const struct tool_tags *tags = r->form->tags;
    char key[KEY_MOST + 1];
    size_t from = 0, size = 0;
    tool_space(p);
    enum tool_step end = tool_expect(p, tags->end, over), step;
    if (end == TOOL_NEXT) {
        if (r->call.arguments.size)
            tool_bytes_add(&r->call.arguments, "}", 1);
        return tool_call_end(p) ? TOOL_OVER : TOOL_NOT;
    }
    step = tool_expect(p, tags->key_open, over);
    if (step == TOOL_NEXT)
        step = tool_until(p, tags->key_close, KEY_MOST, &from, &size);
    if (step != TOOL_NEXT)
        return step == TOOL_NOT ? end : step;
    memcpy(key, p->held + from, size);
    key[size] = '\0';
    r->list = is_text(r->function, key);
    if (tags->typed && (step = read_type(p, over)) != TOOL_NEXT)
        return step;
    if (tags->value_open) {
        tool_space(p);
        if ((step = tool_expect(p, tags->value_open, over)) != TOOL_NEXT)
            return step;
    }
    tool_bytes_add(&r->call.arguments, r->call.arguments.size ? ",\"" : "{\"", 2);
    tool_bytes_add_escaped(&r->call.arguments, key, size);
    tool_bytes_add(&r->call.arguments, r->list ? "\":\"" : "\":", r->list ? 3 : 2);
    r->phase = LINE;
    return TOOL_NEXT;
}

/* What ends the value that is being read. */
static const char *close_of(const struct tool_reading *r)
{
    return r->wrapped ? r->form->tags->wrap_close : r->form->tags->value_close;
}

/* How much of the held text is certainly the value's: what ends it, or may, comes after. *found: the end is there. */
static size_t value_size(const struct tool_parser *p, bool *found)
{
    const struct tool_reading *r = &p->reading;
    const struct tool_tags *tags = r->form->tags;
    const char *begin = p->held + r->at, *end = close_of(r), *close = strstr(begin, end);
    const size_t there = p->n_held - r->at, n = strlen(end);
    size_t size = close ? (size_t)(close - begin) : there;
    *found = close != NULL;
    for (size_t k = n - 1 < there ? n - 1 : there; !close && k > 0; k--)
        if (!memcmp(begin + there - k, end, k)) {
            size = there - k;
            break;
        }
    return size > 0 && tags->lines && begin[size - 1] == '\n' ? size - 1 : size;
}

/* A value that is no text: JSON, or what Python has for it (True, None), or text all the same where it is neither. */
static void add_value(struct tool_parser *p, const char *text, size_t size)
{
    struct tool_bytes *to = &p->reading.call.arguments, *made = &p->reading.scratch;
    struct tool_value *value = &p->reading.value;
    enum tool_byte taken = TOOL_BYTE_TAKEN;
    made->size = 0;
    tool_value_begin(value, &tool_python, made);
    for (size_t i = 0; i < size && taken == TOOL_BYTE_TAKEN; i++)
        taken = i == 0 && text[i] == '(' ? TOOL_BYTE_WRONG : tool_value_put(value, text[i]);
    while (size && strchr(" \n\t\r", text[size - 1]))
        size--;
    json_t *known = (taken == TOOL_BYTE_TAKEN || taken == TOOL_BYTE_LAST) && tool_value_end(value)
                        ? json_loadb(made->data, made->size, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL)
                        : NULL;
    if (known) {
        tool_bytes_add(to, made->data, made->size);
    } else {
        tool_bytes_add(to, "\"", 1);
        tool_bytes_add_escaped(to, text, size);
        tool_bytes_add(to, "\"", 1);
    }
    json_decref(known);
}

static enum tool_step read_tagged(struct tool_parser *p)
{
    struct tool_reading *r = &p->reading;
    const struct tool_tags *tags = r->form->tags;
    bool found = false;
    const size_t size = value_size(p, &found);
    if (r->list)
        tool_bytes_add_escaped(&r->call.arguments, p->held + r->at, size);
    else if (found)
        add_value(p, p->held + r->at, size);
    if (r->list || found)
        r->at += size;
    if (!found)
        return TOOL_MORE;
    if (r->list)
        tool_bytes_add(&r->call.arguments, "\"", 1);
    r->at += strspn(p->held + r->at, tags->lines ? "\n" : "") + strlen(close_of(r));
    r->phase = KEYS;
    return TOOL_NEXT;
}

/* What stands before a value and is none of it. */
static enum tool_step begin_value(struct tool_parser *p, bool over)
{
    struct tool_reading *r = &p->reading;
    const struct tool_tags *tags = r->form->tags;
    if (r->at == p->n_held)
        return TOOL_MORE;
    r->at += tags->lines && p->held[r->at] == '\n';
    const enum tool_step step = tags->wrap_open ? tool_expect(p, tags->wrap_open, over) : TOOL_NOT;
    if (step == TOOL_MORE)
        return TOOL_MORE;
    r->wrapped = step == TOOL_NEXT;
    r->phase = VALUE;
    return TOOL_NEXT;
}

enum tool_step tool_read_tags(struct tool_parser *p, bool over)
{
    struct tool_reading *r = &p->reading;
    enum tool_step step = TOOL_NEXT;
    while (step == TOOL_NEXT) {
        const size_t before = r->at;
        if (r->phase == NAME) {
            step = read_name(p, over);
        } else if (r->phase == KEYS) {
            step = read_key(p, over);
            if (step == TOOL_MORE)
                r->at = before;
        } else if (r->phase == LINE) {
            step = begin_value(p, over);
        } else {
            step = read_tagged(p);
        }
    }
    return step;
}
