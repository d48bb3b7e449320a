/* SPDX-License-Identifier: MIT
 * read_inside.c - calls as JSON objects that hold name and arguments, one of them or a list. */
#include <string.h>

#include "serve/tools/family.h"

enum { START, OBJECT, KEY, COLON, NAME, ARGUMENTS, OTHER, COMMA, AFTER };

static char peek(const struct tool_parser *p)
{
    return p->reading.at < p->n_held ? p->held[p->reading.at] : '\0';
}

/* Which value follows the key that has just been read. */
static int phase_of(const struct tool_bytes *key)
{
    static const char *const names[] = {"\"name\"", "\"tool_name\""};
    static const char *const arguments[] = {"\"arguments\"", "\"parameters\""};
    for (size_t i = 0; i < 2; i++) {
        if (!strcmp(key->data, names[i]))
            return NAME;
        if (!strcmp(key->data, arguments[i]))
            return ARGUMENTS;
    }
    return OTHER;
}

static void read_into(struct tool_reading *r, struct tool_bytes *to, int phase)
{
    if (to == &r->scratch)
        r->scratch.size = 0;
    tool_value_begin(&r->value, &tool_json, to);
    r->phase = phase;
}

/* After the colon: begins the value. */
static bool begin_value(struct tool_parser *p)
{
    struct tool_reading *r = &p->reading;
    const int phase = phase_of(&r->scratch);
    if (phase == NAME && (r->named || peek(p) != '"'))
        return false;
    if (phase == ARGUMENTS && (r->began || peek(p) != '{'))
        return false;
    r->began |= phase == ARGUMENTS;
    read_into(r, phase == ARGUMENTS ? &r->call.arguments : phase == NAME ? &r->scratch : NULL, phase);
    return true;
}

/* The object of a call is over. */
static enum tool_step end_object(struct tool_parser *p)
{
    p->reading.at++;
    if (!tool_call_end(p))
        return TOOL_NOT;
    p->reading.phase = AFTER;
    return TOOL_NEXT;
}

static enum tool_step between(struct tool_parser *p, char c)
{
    struct tool_reading *r = &p->reading;
    if (r->phase == COMMA && c == ',') {
        r->at++;
        r->phase = KEY;
        return TOOL_NEXT;
    }
    if (r->phase == COMMA || (r->phase == KEY && c == '}' && !r->named))
        return c == '}' ? end_object(p) : TOOL_NOT;
    read_into(r, &r->scratch, COLON);
    return c == '"' ? TOOL_NEXT : TOOL_NOT;
}

/* After an object: a list may have more of them, and models write several with ; between. */
static enum tool_step after(struct tool_parser *p, char c, bool over)
{
    struct tool_reading *r = &p->reading;
    const char *close = r->form->close ? r->form->close + strspn(r->form->close, " \n]") : "";
    if (r->list && c == ',') {
        r->at++;
        r->phase = OBJECT;
        return TOOL_NEXT;
    }
    if (r->list && c != ']')
        return TOOL_NOT;
    if (r->list) {
        r->at++;
        r->raw = r->at;
        r->list = false;
        return TOOL_NEXT;
    }
    if (!*close && r->form->first && c == ';') {
        r->at++;
        r->phase = OBJECT;
        return TOOL_NEXT;
    }
    return !*close || tool_close(p, close, over) == TOOL_NEXT ? TOOL_OVER : TOOL_MORE;
}

static enum tool_step start(struct tool_parser *p, char c)
{
    struct tool_reading *r = &p->reading;
    if (r->phase == START && c == '[') {
        r->list = true;
        r->phase = OBJECT;
        r->at++;
        return TOOL_NEXT;
    }
    if (c != '{')
        return TOOL_NOT;
    tool_call_begin(p);
    r->phase = KEY;
    r->at++;
    return TOOL_NEXT;
}

static enum tool_step value_read(struct tool_parser *p)
{
    struct tool_reading *r = &p->reading;
    const int phase = r->phase;
    if (phase == COLON) {
        tool_space(p);
        if (peek(p) != ':')
            return peek(p) ? TOOL_NOT : TOOL_MORE;
        r->at++;
        tool_space(p);
        if (!peek(p)) { /* the colon is read again with what follows it */
            r->at--;
            while (p->held[r->at] != ':')
                r->at--;
            return TOOL_MORE;
        }
        return begin_value(p) ? TOOL_NEXT : TOOL_NOT;
    }
    if (phase == NAME && !tool_call_name(p, r->scratch.data + 1, r->scratch.size - 2))
        return TOOL_NOT;
    r->phase = COMMA;
    return TOOL_NEXT;
}

enum tool_step tool_read_inside(struct tool_parser *p, bool over)
{
    struct tool_reading *r = &p->reading;
    for (;;) {
        enum tool_step step;
        if (r->phase == COLON || r->phase == NAME || r->phase == ARGUMENTS || r->phase == OTHER) {
            step = tool_read_value(p, over);
            if (step == TOOL_NEXT)
                step = value_read(p);
        } else {
            tool_space(p);
            const char c = peek(p);
            if (!c)
                return r->phase == AFTER && !r->list && over ? TOOL_OVER : TOOL_MORE;
            step = r->phase == START || r->phase == OBJECT ? start(p, c)
                   : r->phase == AFTER                     ? after(p, c, over)
                                                           : between(p, c);
        }
        if (step != TOOL_NEXT)
            return step;
    }
}
