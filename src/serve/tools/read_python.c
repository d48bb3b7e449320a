/* SPDX-License-Identifier: MIT
 * read_python.c - calls as Python has them: f(a=1), or a list of such. They are parsed, never run. */
#include <string.h>

#include "serve/tools/family.h"

enum { START, NAME, ARGUMENTS, AFTER };

static bool in_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.';
}

static enum tool_step read_name(struct tool_parser *p)
{
    struct tool_reading *r = &p->reading;
    const size_t from = r->at;
    size_t to = from;
    while (to < p->n_held && in_name(p->held[to]))
        to++;
    if (to - from > 100)
        return TOOL_NOT;
    if (to == p->n_held)
        return TOOL_MORE;
    const bool call = to - from > 5 && !memcmp(p->held + to - 5, ".call", 5); /* Llama's tools that are built in */
    if (p->held[to] != '(' || to == from)
        return TOOL_NOT;
    tool_call_begin(p);
    if (!tool_call_name(p, p->held + from, to - from - (call ? 5 : 0)))
        return TOOL_NOT;
    r->at = to;
    r->began = true;
    r->phase = ARGUMENTS;
    tool_value_begin(&r->value, &tool_python, &r->call.arguments);
    return TOOL_NEXT;
}

static enum tool_step after(struct tool_parser *p, char c)
{
    struct tool_reading *r = &p->reading;
    if (r->list && c == ',') {
        r->at++;
        r->phase = NAME;
        return TOOL_NEXT;
    }
    if (r->list && c == ']') {
        r->at++;
        r->raw = r->at;
        return TOOL_OVER;
    }
    return r->list ? TOOL_NOT : TOOL_OVER;
}

static enum tool_step between(struct tool_parser *p, bool over)
{
    struct tool_reading *r = &p->reading;
    tool_space(p);
    if (r->at == p->n_held)
        return r->phase == AFTER && !r->list && over ? TOOL_OVER : TOOL_MORE;
    const char c = p->held[r->at];
    if (r->phase == AFTER)
        return after(p, c);
    if (r->phase == START) {
        r->list = c == '[';
        r->at += r->list;
        r->phase = NAME;
        return TOOL_NEXT;
    }
    return read_name(p);
}

enum tool_step tool_read_python(struct tool_parser *p, bool over)
{
    struct tool_reading *r = &p->reading;
    enum tool_step step = TOOL_NEXT;
    while (step == TOOL_NEXT) {
        if (r->phase != ARGUMENTS) {
            step = between(p, over);
            continue;
        }
        step = tool_read_value(p, over);
        if (step != TOOL_NEXT)
            return step;
        if (!tool_call_end(p))
            return TOOL_NOT;
        r->phase = AFTER;
    }
    return step;
}
