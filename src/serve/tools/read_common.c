/* SPDX-License-Identifier: MIT
 * read_common.c - what the readers of calls share: marks, names and values within the text that is held. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "serve/tools/family.h"

void tool_space(struct tool_parser *p)
{
    struct tool_reading *r = &p->reading;
    r->at += strspn(p->held + r->at, " \n\t\r");
}

enum tool_step tool_expect(struct tool_parser *p, const char *text, bool over)
{
    struct tool_reading *r = &p->reading;
    const size_t n = strlen(text), there = p->n_held - r->at;
    if (there >= n && !memcmp(p->held + r->at, text, n)) {
        r->at += n;
        return TOOL_NEXT;
    }
    return there < n && !over && !memcmp(p->held + r->at, text, there) ? TOOL_MORE : TOOL_NOT;
}

enum tool_step tool_close(struct tool_parser *p, const char *text, bool over)
{
    struct tool_reading *r = &p->reading;
    const enum tool_step step = tool_expect(p, text, over);
    const size_t there = p->n_held - r->at;
    if (step == TOOL_NOT && over && there < strlen(text) && !memcmp(p->held + r->at, text, there))
        r->at = p->n_held;
    return step == TOOL_MORE ? TOOL_MORE : TOOL_NEXT;
}

enum tool_step tool_until(struct tool_parser *p, const char *text, size_t most, size_t *from, size_t *size)
{
    struct tool_reading *r = &p->reading;
    const char *begin = p->held + r->at, *found = strstr(begin, text);
    const size_t there = p->n_held - r->at;
    if (!found)
        return there > most + strlen(text) ? TOOL_NOT : TOOL_MORE;
    *from = r->at;
    *size = (size_t)(found - begin);
    if (*size > most)
        return TOOL_NOT;
    r->at += *size + strlen(text);
    return TOOL_NEXT;
}

enum tool_step tool_read_value(struct tool_parser *p, bool over)
{
    struct tool_reading *r = &p->reading;
    while (r->at < p->n_held) {
        const enum tool_byte taken = tool_value_put(&r->value, p->held[r->at]);
        if (taken == TOOL_BYTE_WRONG)
            return TOOL_NOT;
        r->at += taken != TOOL_BYTE_AFTER;
        if (taken != TOOL_BYTE_TAKEN)
            return TOOL_NEXT;
    }
    return over && tool_value_end(&r->value) ? TOOL_NEXT : TOOL_MORE;
}

/* An id that no other call has: letters and digits of a counter and the time. */
static void make_id(const struct toolset *t, char *id, size_t room)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    static _Atomic unsigned long long counter;
    unsigned long long x = (unsigned long long)time(NULL) * 0x9e3779b97f4a7c15u + ++counter * 0xbf58476d1ce4e5b9u;
    const bool brief = t->family->ids == TOOL_IDS_SHORT;
    char word[25];
    const size_t n = brief ? 9 : 24;
    for (size_t i = 0; i < n; i++) {
        x ^= x >> 29;
        x *= 0x94d049bb133111ebu;
        word[i] = letters[(x >> 33) % 62];
    }
    word[n] = '\0';
    snprintf(id, room, "%s%s", brief ? "" : "call_", word);
}

/* Kimi's ids: the name and the number that the model gave the call, or the next one that no other call has. */
static void number_id(const struct tool_parser *p, const char *name, const char *number, char *id, size_t room)
{
    unsigned long at = p->n_calls;
    if (!number || sscanf(number, ":%9lu", &at) != 1)
        at = p->n_calls;
    for (bool taken = true; taken; at++) {
        snprintf(id, room, "functions.%s:%lu", name, at);
        taken = false;
        for (size_t i = 0; i < p->n_calls; i++)
            taken |= !strcmp(p->calls[i].id, id);
    }
}

bool tool_call_name(struct tool_parser *p, const char *name, size_t size)
{
    struct tool_reading *r = &p->reading;
    const struct tool_beside *beside = r->form->beside;
    const char *number = NULL;
    char whole[80];
    while (size && strchr(" \n\t", name[size - 1]))
        size--;
    if (beside && beside->numbered)
        for (size_t i = size; i > 0 && !number; i--)
            if (name[i - 1] == ':') {
                number = name + i - 1;
                size = i - 1;
            }
    if (size == 0 || size >= sizeof whole)
        return false;
    memcpy(whole, name, size);
    whole[size] = '\0';
    const char *own = whole;
    r->function = toolset_offers(p->tools, own);
    for (const char *dot; !r->function && (dot = strchr(own, '.')) != NULL;) { /* functions.NAME */
        own = dot + 1;
        r->function = toolset_offers(p->tools, own);
    }
    if (!r->function)
        return false;
    snprintf(r->call.name, sizeof r->call.name, "%.70s", own);
    if (p->tools->family->ids == TOOL_IDS_NUMBERED)
        number_id(p, own, number, r->call.id, sizeof r->call.id);
    else
        make_id(p->tools, r->call.id, sizeof r->call.id);
    r->named = true;
    r->mute = p->n_calls && !p->tools->parallel;
    return true;
}
