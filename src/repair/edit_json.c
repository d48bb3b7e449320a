/* SPDX-License-Identifier: MIT
 * edit_json.c - one key of a JSON text set or removed. The text was parsed before, so that scanning it can be simple.
 */
#include "repair/edit_json.h"

#include <stdlib.h>
#include <string.h>

/* A member of an object: where its key and its value begin and end. */
struct member {
    size_t key, key_end, value, value_end;
};

struct scan {
    const char *text;
    size_t n;
    bool *failed; /* memory ran out */
};

static size_t skip_space(const struct scan *s, size_t at)
{
    while (at < s->n && strchr(" \t\r\n", s->text[at]) && s->text[at])
        at++;
    return at;
}

/* The position past the end of the string that begins at `at`. */
static size_t skip_string(const struct scan *s, size_t at)
{
    for (at++; at < s->n && s->text[at] != '"'; at++)
        if (s->text[at] == '\\')
            at++;
    return at < s->n ? at + 1 : s->n;
}

/* The position past the end of the value that begins at `at`. Brackets are counted and strings skipped. */
static size_t skip_value(const struct scan *s, size_t at)
{
    int depth = 0;
    while (at < s->n) {
        const char c = s->text[at];
        if (c == '"') {
            at = skip_string(s, at);
            if (!depth)
                return at;
            continue;
        }
        if (!depth && strchr(",}] \t\r\n", c))
            return at;
        depth += (c == '{' || c == '[') - (c == '}' || c == ']');
        at++;
        if (!depth && (c == '}' || c == ']'))
            return at;
    }
    return s->n;
}

/* Reads the next member from `at`, which is a position after a '{' or a ','. False: the object ends there. */
static bool next_member(const struct scan *s, size_t at, struct member *m)
{
    at = skip_space(s, at);
    if (at >= s->n || s->text[at] != '"')
        return false;
    m->key = at;
    m->key_end = skip_string(s, at);
    at = skip_space(s, m->key_end);
    m->value = skip_space(s, at + 1); /* the colon */
    m->value_end = skip_value(s, m->value);
    return true;
}

/* Is this the key, spelled as jansson spells it? A key with other escapes is not found; the caller notices, because it
 * compares the result. */
static bool key_is(const struct scan *s, const struct member *m, const char *key)
{
    struct tare_text quoted = {0};
    tare_text_json(&quoted, key);
    const bool same =
        quoted.data && quoted.size == m->key_end - m->key && !memcmp(quoted.data, s->text + m->key, quoted.size);
    *s->failed |= quoted.failed;
    tare_text_release(&quoted);
    return same;
}

/* Three members of an object: the one with the key, the first and the last. */
struct object {
    size_t open; /* of its '{' */
    struct member found, before, first, last;
    bool has, has_before, any;
};

static struct object look(const struct scan *s, size_t open, const char *key)
{
    struct object o = {.open = open};
    struct member m;
    for (size_t at = open + 1; next_member(s, at, &m);) {
        if (!o.any)
            o.first = m;
        if (!o.has && key_is(s, &m, key)) {
            o.found = m;
            o.has = true;
            o.has_before = o.any;
            o.before = o.last;
        }
        o.any = true;
        o.last = m;
        at = skip_space(s, m.value_end);
        if (at >= s->n || s->text[at] != ',')
            break;
        at++;
    }
    return o;
}

/* The value, indented as the lines around it where `lead` is the start of such a line. */
static void put_value(struct tare_text *out, const json_t *value, const char *lead, size_t n_lead)
{
    const bool lines = memchr(lead, '\n', n_lead) != NULL;
    size_t deep = 0;
    while (deep < n_lead && lead[n_lead - 1 - deep] == ' ')
        deep++;
    const size_t indent = lines ? (deep && deep % 4 == 0 ? 4 : 2) : 0;
    char *text = json_dumps(value, JSON_ENCODE_ANY | (indent ? JSON_INDENT(indent) : 0));
    if (!text)
        out->failed = true;
    for (const char *c = text; c && *c;) {
        const size_t run = strcspn(c, "\n");
        tare_text_add(out, c, run);
        c += run;
        if (*c == '\n') {
            tare_text_add(out, lead, n_lead);
            c++;
        }
    }
    free(text);
}

static void insert(struct tare_text *out, const struct scan *s, const struct object *o, const char *key,
                   const json_t *value)
{
    const size_t start = o->open + 1, at = o->any ? o->last.value_end : start;
    const char *lead = o->any ? s->text + start : "\n  ";
    size_t n_lead = o->any ? o->first.key - start : strlen(lead);
    tare_text_add(out, s->text, at);
    tare_text_puts(out, o->any ? "," : "");
    if (o->any && !n_lead) {
        lead = " ";
        n_lead = 1;
    }
    tare_text_add(out, lead, n_lead);
    tare_text_json(out, key);
    tare_text_puts(out, ": ");
    put_value(out, value, lead, n_lead);
    if (!o->any)
        tare_text_puts(out, "\n");
    tare_text_add(out, s->text + at, s->n - at);
}

static void replace(struct tare_text *out, const struct scan *s, const struct object *o, const json_t *value)
{
    const size_t start = o->open + 1;
    tare_text_add(out, s->text, o->found.value);
    put_value(out, value, s->text + start, o->first.key - start);
    tare_text_add(out, s->text + o->found.value_end, s->n - o->found.value_end);
}

static void take_out(struct tare_text *out, const struct scan *s, const struct object *o)
{
    size_t from = o->has_before ? o->before.value_end : o->found.key, to = o->found.value_end;
    struct member after;
    const size_t comma = skip_space(s, to);
    if (!o->has_before && comma < s->n && s->text[comma] == ',' && next_member(s, comma + 1, &after))
        to = after.key;
    tare_text_add(out, s->text, from);
    tare_text_add(out, s->text + to, s->n - to);
}

bool tare_json_edit(struct tare_text *out, const char *text, size_t n, const char *const *path, const json_t *value)
{
    const struct scan s = {text, n, &out->failed};
    size_t open = skip_space(&s, 0);
    for (; path[1]; path++) {
        const struct object o = look(&s, open, path[0]);
        if (!o.has || text[o.found.value] != '{')
            return false;
        open = o.found.value;
    }
    if (open >= n || text[open] != '{')
        return false;
    const struct object o = look(&s, open, path[0]);
    if (out->failed)
        return false;
    if (value && o.has)
        replace(out, &s, &o, value);
    else if (value)
        insert(out, &s, &o, path[0], value);
    else if (o.has)
        take_out(out, &s, &o);
    else
        tare_text_add(out, text, n);
    return !out->failed;
}

char *tare_json_line(const json_t *value)
{
    return value ? json_dumps(value, JSON_ENCODE_ANY) : NULL;
}
