/* SPDX-License-Identifier: MIT
 * tool_parser.c - takes a text apart: thoughts, content and calls. What may be the beginning of a mark is held back; what
 * looks like a call and is none goes out as content. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "serve/toolset.h"

/* STATE_GAP: the line ends between thoughts and text, which belong to neither. */
enum { STATE_NEW, STATE_TEXT, STATE_THOUGHT, STATE_GAP, STATE_CALL };

/* Marks of thoughts, as models write them. */
static const char *const thoughts[][2] = {{"<think>", "</think>"}, {"[THINK]", "[/THINK]"}};

void toolset_thoughts(struct toolset *t, const char *prompt, size_t size)
{
    for (size_t i = 0; i < sizeof thoughts / sizeof *thoughts; i++) {
        const size_t n = strlen(thoughts[i][0]);
        size_t end = size;
        while (end && (prompt[end - 1] == '\n' || prompt[end - 1] == ' '))
            end--;
        if (end >= n && !memcmp(prompt + end - n, thoughts[i][0], n) && !t->forced) {
            t->think_open = thoughts[i][0];
            t->think_close = thoughts[i][1];
            t->thinking = true;
            return;
        }
    }
    t->think_open = thoughts[0][0];
    t->think_close = thoughts[0][1];
}

static bool hold(struct tool_parser *p, const char *text, size_t size)
{
    if (p->n_held + size + 1 > p->room) {
        const size_t room = 2 * (p->n_held + size) + 64;
        char *more = realloc(p->held, room);
        if (!more)
            return false;
        p->held = more;
        p->room = room;
    }
    memcpy(p->held + p->n_held, text, size);
    p->n_held += size;
    p->held[p->n_held] = '\0';
    return true;
}

static void drop(struct tool_parser *p, size_t n)
{
    memmove(p->held, p->held + n, p->n_held - n + 1); /* with its NUL */
    p->n_held -= n;
}

static void let_go(struct tool_parser *p, size_t n, enum tool_piece_kind kind, tool_tell tell, void *user)
{
    const struct tool_piece piece = {.kind = kind, .text = p->held, .size = n};
    if (n)
        tell(user, &piece);
    drop(p, n);
}

/* Where a mark is in what is held; or n_held, and *tail says how many bytes at the end may be its beginning. */
static size_t find(const struct tool_parser *p, const char *mark, size_t *tail)
{
    const size_t n = strlen(mark);
    for (size_t i = 0; i + n <= p->n_held; i++)
        if (!memcmp(p->held + i, mark, n))
            return i;
    for (size_t k = n - 1 < p->n_held ? n - 1 : p->n_held; k > *tail; k--)
        if (!memcmp(p->held + p->n_held - k, mark, k)) {
            *tail = k;
            break;
        }
    return p->n_held;
}

/* Decides what a text begins with. Returns false when that is not known yet. */
static bool begin(struct tool_parser *p, bool over)
{
    const struct toolset *t = p->tools;
    const size_t space = p->n_held ? strspn(p->held, " \n\t") : 0;
    if (t->thinking) {
        p->state = STATE_THOUGHT;
        return true;
    }
    const char *marks[] = {t->think_open, t->choice != TOOLS_NONE && *t->family->sign == '{' ? t->family->sign : NULL};
    for (size_t i = 0; i < 2; i++) {
        const size_t n = marks[i] ? strlen(marks[i]) : 0, there = p->n_held - space;
        if (n && there >= n && !memcmp(p->held + space, marks[i], n)) {
            p->state = i ? STATE_CALL : STATE_THOUGHT;
            drop(p, i ? 0 : space + n);
            return true;
        }
        if (n && !over && there < n && !memcmp(p->held + space, marks[i], there))
            return false;
    }
    p->state = STATE_TEXT;
    return true;
}

/* Handles what is held as far as it is known what it is. */
static bool advance(struct tool_parser *p, bool over, tool_tell tell, void *user)
{
    const struct toolset *t = p->tools;
    size_t tail = 0;
    if (p->state == STATE_NEW)
        return begin(p, over);
    if (p->state == STATE_THOUGHT) {
        const size_t at = find(p, t->think_close, &tail);
        const bool found = at < p->n_held;
        let_go(p, found ? at : p->n_held - (over ? 0 : tail), TOOL_THOUGHT, tell, user);
        if (!found)
            return false;
        drop(p, strlen(t->think_close));
        p->state = STATE_GAP;
        return true;
    }
    if (p->state == STATE_GAP) {
        drop(p, strspn(p->held, "\n"));
        if (p->n_held == 0)
            return false;
        p->state = STATE_TEXT;
    }
    if (p->state == STATE_TEXT) {
        const bool calls = t->choice != TOOLS_NONE && *t->family->sign != '{';
        const size_t at = calls ? find(p, t->family->sign, &tail) : p->n_held;
        const bool found = at < p->n_held;
        let_go(p, found ? at : p->n_held - (over ? 0 : tail), TOOL_TEXT, tell, user);
        if (found)
            p->state = STATE_CALL;
    }
    return false;
}

void tool_parser_put(struct tool_parser *p, const char *text, size_t size, tool_tell tell, void *user)
{
    const struct toolset *t = p->tools;
    if (!t->family || (t->forced && p->state == STATE_NEW))
        p->state = t->forced ? STATE_CALL : STATE_TEXT;
    if (!t->family) { /* not a chat */
        const struct tool_piece piece = {.kind = TOOL_TEXT, .text = text, .size = size};
        if (size)
            tell(user, &piece);
        return;
    }
    if (hold(p, text, size))
        while (advance(p, false, tell, user))
            ;
}

/* ---- calls ------------------------------------------------------------------------------------------------------- */

/* An id that no other call has, in the form of the family. */
static void make_id(const struct toolset *t, char *id, size_t room)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    static _Atomic unsigned long long counter;
    unsigned long long x = (unsigned long long)time(NULL) * 0x9e3779b97f4a7c15u + ++counter * 0xbf58476d1ce4e5b9u;
    char word[25];
    const size_t n = t->family->short_ids ? 9 : 24;
    for (size_t i = 0; i < n; i++) {
        x ^= x >> 29;
        x *= 0x94d049bb133111ebu;
        word[i] = letters[(x >> 33) % 62];
    }
    word[n] = '\0';
    snprintf(id, room, "%s%s", t->family->short_ids ? "" : "call_", word);
}

struct adding {
    struct tool_parser *parser;
    tool_tell tell;
    void *user;
};

static void add_call(void *user, const char *name, const json_t *arguments)
{
    const struct adding *adding = user;
    struct tool_parser *p = adding->parser;
    if (p->n_calls && !p->tools->parallel)
        return;
    struct tool_call *calls = realloc(p->calls, (p->n_calls + 1) * sizeof *calls);
    char *text = arguments ? json_dumps(arguments, JSON_COMPACT | JSON_ENCODE_ANY) : strdup("{}");
    if (calls)
        p->calls = calls;
    if (!calls || !text) {
        free(text);
        return;
    }
    struct tool_call *made = &calls[p->n_calls];
    make_id(p->tools, made->id, sizeof made->id);
    snprintf(made->name, sizeof made->name, "%s", name);
    made->arguments = text;
    made->size = strlen(text);
    struct tool_piece piece = {.kind = TOOL_CALL, .call = p->n_calls++, .name = made->name, .id = made->id};
    adding->tell(adding->user, &piece);
    piece.kind = TOOL_ARGUMENTS;
    piece.text = text;
    piece.size = made->size;
    adding->tell(adding->user, &piece);
}

void tool_parser_end(struct tool_parser *p, tool_tell tell, void *user)
{
    struct adding adding = {p, tell, user};
    if (!p->tools->family || !p->held)
        return;
    while (advance(p, true, tell, user))
        ;
    if (p->state != STATE_CALL)
        return;
    if (tool_calls_read(p->tools, p->held, p->n_held, add_call, &adding) == 0 && !p->tools->forced)
        let_go(p, p->n_held, TOOL_TEXT, tell, user);
    p->n_held = 0;
}

void tool_parser_release(struct tool_parser *p)
{
    for (size_t i = 0; i < p->n_calls; i++)
        free(p->calls[i].arguments);
    free(p->calls);
    free(p->held);
    memset(p, 0, sizeof *p);
}
