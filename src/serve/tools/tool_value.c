/* SPDX-License-Identifier: MIT
 * tool_value.c - values of calls in JSON, Python and the notations of Gemma, read byte by byte and written as JSON. */
#include "serve/tools/tool_value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct tool_dialect tool_json = {.quote = "\""}, tool_python = {.quote = "\"", .python = true};

/* What is expected next. */
enum { VALUE, VALUE_OR_END, KEY, KEY_OR_END, BARE_KEY, COLON, COMMA, TEXT, TEXT_KEY, WORD, OVER };

/* ---- bytes ------------------------------------------------------------------------------------------------------- */

void tool_bytes_add(struct tool_bytes *b, const char *text, size_t size)
{
    if (b->failed)
        return;
    if (b->size + size + 1 > b->room) {
        const size_t room = 2 * (b->size + size) + 64;
        char *more = realloc(b->data, room);
        if (!more) {
            b->failed = true;
            return;
        }
        b->data = more;
        b->room = room;
    }
    if (size)
        memcpy(b->data + b->size, text, size);
    b->size += size;
    b->data[b->size] = '\0';
}

void tool_bytes_add_escaped(struct tool_bytes *b, const char *text, size_t size)
{
    size_t from = 0;
    for (size_t i = 0; i < size; i++) {
        const unsigned char c = (unsigned char)text[i];
        char escape[8];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        tool_bytes_add(b, text + from, i - from);
        if (c == '"' || c == '\\')
            snprintf(escape, sizeof escape, "\\%c", c);
        else
            snprintf(escape, sizeof escape, c == '\n' ? "\\n" : c == '\t' ? "\\t" : "\\u%04x", c);
        tool_bytes_add(b, escape, strlen(escape));
        from = i + 1;
    }
    tool_bytes_add(b, text + from, size - from);
}

void tool_bytes_release(struct tool_bytes *b)
{
    free(b->data);
    memset(b, 0, sizeof *b);
}

static void say(struct tool_value *v, const char *text, size_t size)
{
    if (v->to)
        tool_bytes_add(v->to, text, size);
}

static void say_raw(struct tool_value *v, const char *text, size_t size)
{
    if (v->to)
        tool_bytes_add_escaped(v->to, text, size);
}

/* ---- structure --------------------------------------------------------------------------------------------------- */

void tool_value_begin(struct tool_value *v, const struct tool_dialect *dialect, struct tool_bytes *to)
{
    v->dialect = dialect;
    v->to = to;
    v->state = VALUE;
    v->depth = 0;
    v->n_word = v->n_quote = 0;
    v->escape = 0;
    v->comma = false;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static bool in_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
           c == '+' || c == '_';
}

/* A value is over; so is the whole one where nothing is open. */
static enum tool_byte value_over(struct tool_value *v)
{
    v->state = v->depth ? COMMA : OVER;
    return v->depth ? TOOL_BYTE_TAKEN : TOOL_BYTE_LAST;
}

static enum tool_byte open_container(struct tool_value *v, char c)
{
    if (v->depth == TOOL_DEPTH)
        return TOOL_BYTE_WRONG;
    v->open[v->depth++] = c;
    say(v, c == '[' ? "[" : "{", 1);
    v->state = c == '[' ? VALUE_OR_END : KEY_OR_END;
    return TOOL_BYTE_TAKEN;
}

static enum tool_byte close_container(struct tool_value *v, char c)
{
    const char open = v->depth ? v->open[v->depth - 1] : 0;
    if (!((open == '{' && c == '}') || (open == '[' && c == ']') || (open == '(' && c == ')')))
        return TOOL_BYTE_WRONG;
    v->depth--;
    v->comma = false;
    say(v, c == ']' ? "]" : "}", 1);
    return value_over(v);
}

/* Begins a text with the first byte of its quote. */
static bool open_text(struct tool_value *v, char c, bool key)
{
    if (c == '\'' && v->dialect->python)
        v->quote = "'";
    else if (c == v->dialect->quote[0])
        v->quote = v->dialect->quote;
    else if (c == '"')
        v->quote = "\""; /* a model may fall back on JSON */
    else
        return false;
    v->state = key ? TEXT_KEY : TEXT;
    v->escape = 0;
    /* The rest of a longer quote comes first; that is counted below zero, in `code`. */
    v->n_quote = 0;
    v->code = strlen(v->quote) - 1;
    say(v, "\"", 1);
    return true;
}

/* A comma is written when what follows it begins. */
static void say_comma(struct tool_value *v)
{
    if (v->comma)
        say(v, ",", 1);
    v->comma = false;
}

static enum tool_byte take_value(struct tool_value *v, char c)
{
    const bool arguments = v->dialect->python && v->depth == 0;
    if (v->state == VALUE_OR_END && c == ']')
        return close_container(v, c);
    say_comma(v);
    if (c == '{' || c == '[' || (c == '(' && arguments))
        return open_container(v, c);
    if (open_text(v, c, false))
        return TOOL_BYTE_TAKEN;
    if (!in_word(c))
        return TOOL_BYTE_WRONG;
    v->state = WORD;
    v->word[0] = c;
    v->n_word = 1;
    return TOOL_BYTE_TAKEN;
}

static enum tool_byte take_key(struct tool_value *v, char c)
{
    const bool arguments = v->open[v->depth - 1] == '(';
    if (v->state == KEY_OR_END && (c == '}' || c == ')'))
        return close_container(v, c);
    say_comma(v);
    if (!arguments && open_text(v, c, true))
        return TOOL_BYTE_TAKEN;
    if (!(arguments || v->dialect->bare) || !in_word(c))
        return TOOL_BYTE_WRONG;
    v->state = BARE_KEY;
    v->word[0] = c;
    v->n_word = 1;
    return TOOL_BYTE_TAKEN;
}

static enum tool_byte take_bare_key(struct tool_value *v, char c)
{
    const char colon = v->open[v->depth - 1] == '(' ? '=' : ':';
    if (c != colon) {
        if (v->n_word == TOOL_KEY || (v->dialect->python && !in_word(c)) || (unsigned char)c < 0x20)
            return TOOL_BYTE_WRONG;
        v->word[v->n_word++] = c;
        return TOOL_BYTE_TAKEN;
    }
    say(v, "\"", 1);
    say_raw(v, v->word, v->n_word);
    say(v, "\":", 2);
    v->state = VALUE;
    return TOOL_BYTE_TAKEN;
}

/* ---- words ------------------------------------------------------------------------------------------------------- */

/* Is the word a number as JSON has it? */
static bool is_number(const char *p)
{
    p += *p == '-';
    if (*p == '0')
        p++;
    else if (*p >= '1' && *p <= '9')
        p += strspn(p, "0123456789");
    else
        return false;
    if (*p == '.') {
        const size_t n = strspn(p + 1, "0123456789");
        if (n == 0)
            return false;
        p += 1 + n;
    }
    if (*p == 'e' || *p == 'E') {
        p += 1 + (p[1] == '+' || p[1] == '-');
        const size_t n = strspn(p, "0123456789");
        if (n == 0)
            return false;
        p += n;
    }
    return *p == '\0';
}

static bool word_over(struct tool_value *v)
{
    static const char *const constants[][2] = {{"True", "true"}, {"False", "false"}, {"None", "null"},
                                               {"true", NULL},   {"false", NULL},    {"null", NULL}};
    v->word[v->n_word] = '\0';
    if (is_number(v->word)) {
        say(v, v->word, v->n_word);
        return true;
    }
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++)
        if (!strcmp(v->word, constants[i][0]) && (!constants[i][1] || v->dialect->python || v->dialect->bare)) {
            const char *word = constants[i][1] ? constants[i][1] : constants[i][0];
            say(v, word, strlen(word));
            return true;
        }
    if (!v->dialect->bare)
        return false;
    say(v, "\"", 1);
    say_raw(v, v->word, v->n_word);
    say(v, "\"", 1);
    return true;
}

static enum tool_byte take_word(struct tool_value *v, char c)
{
    const bool goes_on = v->dialect->bare ? c != ',' && c != '}' && c != ']' && (unsigned char)c >= 0x20 : in_word(c);
    if (goes_on) {
        if (v->n_word == TOOL_WORD - 1)
            return TOOL_BYTE_WRONG;
        v->word[v->n_word++] = c;
        return TOOL_BYTE_TAKEN;
    }
    if (!word_over(v))
        return TOOL_BYTE_WRONG;
    if (value_over(v) == TOOL_BYTE_LAST)
        return TOOL_BYTE_AFTER;
    return tool_value_put(v, c);
}

/* ---- texts ------------------------------------------------------------------------------------------------------- */

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* What stands after a backslash. `escape` is -1 there, and the number of digits that a code still needs after it. */
static bool take_escape(struct tool_value *v, char c)
{
    char text[48] = {'\\', c};
    const bool python = v->dialect->python;
    if (v->escape > 0) {
        if (hex(c) < 0)
            return false;
        v->code = v->code << 4 | (unsigned long)hex(c);
        if (--v->escape)
            return true;
        if (v->code > 0xffff) {
            snprintf(text, sizeof text, "\\u%04lx\\u%04lx", 0xd7c0 + (v->code >> 10), 0xdc00 + (v->code & 0x3ff));
            say(v, text, v->code > 0x10ffff ? 0 : 12);
            return v->code <= 0x10ffff;
        }
        snprintf(text, sizeof text, "\\u%04lx", v->code);
        say(v, text, 6);
        return true;
    }
    v->escape = 0;
    v->code = 0;
    if (c == 'u' || (python && (c == 'x' || c == 'U')))
        v->escape = c == 'u' ? 4 : c == 'x' ? 2 : 8;
    else if (strchr("\"\\/bfnrt", c) && c)
        say(v, text, 2);
    else if (python && c == '\'')
        say(v, "'", 1);
    else if (python) /* an escape that Python does not know is both characters */
        say_raw(v, text, 2);
    else
        return false;
    return true;
}

static enum tool_byte text_over(struct tool_value *v)
{
    say(v, "\"", 1);
    if (v->state == TEXT_KEY) {
        v->state = COLON;
        return TOOL_BYTE_TAKEN;
    }
    return value_over(v);
}

static enum tool_byte take_text(struct tool_value *v, char c)
{
    const bool raw = v->quote[1] != '\0';
    if (v->n_quote == 0 && raw && v->code) { /* the quote that opens it is not over */
        const size_t n = strlen(v->quote);
        if (v->quote[n - v->code] != c)
            return TOOL_BYTE_WRONG;
        v->code--;
        return TOOL_BYTE_TAKEN;
    }
    if (v->escape)
        return take_escape(v, c) ? TOOL_BYTE_TAKEN : TOOL_BYTE_WRONG;
    if (c == v->quote[v->n_quote]) {
        v->n_quote++;
        if (v->quote[v->n_quote])
            return TOOL_BYTE_TAKEN;
        v->n_quote = 0;
        return text_over(v);
    }
    if (v->n_quote) { /* it was only the beginning of a quote, whose first byte comes in it once */
        const size_t n = v->n_quote;
        v->n_quote = 0;
        say_raw(v, v->quote, n);
        return take_text(v, c);
    }
    if (c == '\\' && !raw)
        v->escape = -1;
    else
        say_raw(v, &c, 1);
    return TOOL_BYTE_TAKEN;
}

/* ---- all --------------------------------------------------------------------------------------------------------- */

static enum tool_byte take_comma(struct tool_value *v, char c)
{
    if (c != ',')
        return close_container(v, c);
    const char open = v->open[v->depth - 1];
    /* Python allows a comma before the end; JSON does not. */
    v->state = open == '[' ? (v->dialect->python ? VALUE_OR_END : VALUE) : v->dialect->python ? KEY_OR_END : KEY;
    v->comma = true;
    return TOOL_BYTE_TAKEN;
}

enum tool_byte tool_value_put(struct tool_value *v, char c)
{
    if (v->state == TEXT || v->state == TEXT_KEY)
        return take_text(v, c);
    if (v->state == WORD)
        return take_word(v, c);
    if (v->state == BARE_KEY)
        return take_bare_key(v, c);
    if (is_space(c))
        return TOOL_BYTE_TAKEN;
    switch (v->state) {
    case VALUE:
    case VALUE_OR_END:
        return take_value(v, c);
    case KEY:
    case KEY_OR_END:
        return take_key(v, c);
    case COLON:
        if (c != ':')
            return TOOL_BYTE_WRONG;
        say(v, ":", 1);
        v->state = VALUE;
        return TOOL_BYTE_TAKEN;
    case COMMA:
        return take_comma(v, c);
    default:
        return TOOL_BYTE_AFTER;
    }
}

bool tool_value_end(struct tool_value *v)
{
    if (v->state == WORD && v->depth == 0 && word_over(v))
        v->state = OVER;
    return v->state == OVER;
}
