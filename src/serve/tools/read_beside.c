/* SPDX-License-Identifier: MIT
 * read_beside.c - calls whose name stands beside a mark, after which the arguments come. */
#include <string.h>

#include "serve/tools/family.h"

enum { LEAD, NAME, GAP, VALUE, TAIL };
#define NAME_MOST 160

static enum tool_step read_name(struct tool_parser *p)
{
    struct tool_reading *r = &p->reading;
    const struct tool_beside *beside = r->form->beside;
    size_t from = 0, size = 0;
    const enum tool_step step = tool_until(p, beside->point, NAME_MOST, &from, &size);
    if (step != TOOL_NEXT)
        return step;
    const char *id = beside->id ? strstr(p->held + from, beside->id) : NULL;
    if (id && id < p->held + from + size)
        size = (size_t)(id - p->held) - from;
    r->at -= beside->inclusive ? strlen(beside->point) : 0;
    tool_call_begin(p);
    r->phase = GAP;
    return tool_call_name(p, p->held + from, size) ? TOOL_NEXT : TOOL_NOT;
}

/* What a text may hold at this place, and need not. */
static enum tool_step read_maybe(struct tool_parser *p, const char *text, bool over)
{
    tool_space(p);
    const enum tool_step step = text ? tool_expect(p, text, over) : TOOL_NEXT;
    return step == TOOL_MORE ? TOOL_MORE : TOOL_NEXT;
}

static enum tool_step begin_value(struct tool_parser *p)
{
    struct tool_reading *r = &p->reading;
    tool_space(p);
    if (r->at == p->n_held)
        return TOOL_MORE;
    if (p->held[r->at] != '{')
        return TOOL_NOT;
    r->began = true;
    tool_value_begin(&r->value, r->form->beside->dialect, &r->call.arguments);
    return TOOL_NEXT;
}

enum tool_step tool_read_beside(struct tool_parser *p, bool over)
{
    struct tool_reading *r = &p->reading;
    const struct tool_beside *beside = r->form->beside;
    enum tool_step step = TOOL_NEXT;
    if (r->phase == LEAD && (step = read_maybe(p, beside->lead, over)) == TOOL_NEXT)
        r->phase = NAME;
    if (r->phase == NAME)
        step = read_name(p);
    if (step == TOOL_NEXT && r->phase == GAP && (step = read_maybe(p, beside->gap, over)) == TOOL_NEXT &&
        (step = begin_value(p)) == TOOL_NEXT)
        r->phase = VALUE;
    if (step == TOOL_NEXT && r->phase == VALUE && (step = tool_read_value(p, over)) == TOOL_NEXT) {
        if (!tool_call_end(p))
            return TOOL_NOT;
        r->phase = TAIL;
    }
    if (step == TOOL_NEXT && r->phase == TAIL && beside->tail) {
        tool_space(p);
        step = tool_close(p, beside->tail, over);
    }
    return step == TOOL_NEXT ? TOOL_OVER : step;
}
