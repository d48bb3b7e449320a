/* SPDX-License-Identifier: MIT
 * tool_parser.c - takes a text apart: thoughts, content and calls. What may be the beginning of a mark is held back; what
 * looks like a call and is none goes out as content. */
#include <stdlib.h>
#include <string.h>

#include "serve/tools/family.h"

/* STATE_FIRST: thoughts may be over, and a call that must come first may follow. STATE_GAP: after thoughts, whose line ends
 * belong to neither. STATE_AFTER: after calls, where space belongs to nothing unless text follows. */
enum { STATE_NEW, STATE_GAP, STATE_FIRST, STATE_TEXT, STATE_THOUGHT, STATE_CALL, STATE_AFTER };

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

static void let_go(struct tool_parser *p, size_t n, enum tool_piece_kind kind)
{
    const struct tool_piece piece = {.kind = kind, .text = p->held, .size = n};
    if (n)
        p->tell(p->user, &piece);
    drop(p, n);
}

/* ---- marks ------------------------------------------------------------------------------------------------------- */

static bool is_headed(const struct tool_parser *p)
{
    return p->tools->family->headed;
}

/* Is this form looked for? Headers tell thoughts from content, so they are where there are no tools too. */
static bool wanted(const struct tool_parser *p, const struct tool_form *form)
{
    return form->sign && (p->tools->choice != TOOLS_NONE || is_headed(p));
}

/* Does the held text have the mark at `at`? If not, *maybe is set where what is there may become it. */
static bool stands(const struct tool_parser *p, size_t at, const char *mark, bool *maybe)
{
    const size_t n = strlen(mark), there = p->n_held - at;
    if (there >= n)
        return !memcmp(p->held + at, mark, n);
    *maybe |= !memcmp(p->held + at, mark, there);
    return false;
}

/* A sign or noise at a place of a text. */
struct found {
    const struct tool_form *form;
    const char *noise;
};

static bool mark_at(const struct tool_parser *p, size_t at, struct found *found, bool *maybe)
{
    const struct tool_family *family = p->tools->family;
    for (size_t i = 0; i < TOOL_FORMS; i++)
        if (wanted(p, &family->forms[i]) && !family->forms[i].first && stands(p, at, family->forms[i].sign, maybe)) {
            found->form = &family->forms[i];
            return true;
        }
    for (size_t i = 0; i < TOOL_NOISE && family->noise[i]; i++)
        if (stands(p, at, family->noise[i], maybe)) {
            found->noise = family->noise[i];
            return true;
        }
    return false;
}

/* Begins to read calls at the sign that the held text begins with after `skip` bytes. */
static void begin_call(struct tool_parser *p, const struct tool_form *form, size_t skip)
{
    struct tool_reading *r = &p->reading;
    const struct tool_bytes scratch = r->scratch;
    *r = (struct tool_reading){.form = form, .scratch = scratch};
    r->at = skip + (form->keep ? 0 : strlen(form->sign));
    p->state = STATE_CALL;
}

/* ---- the beginning ----------------------------------------------------------------------------------------------- */

/* Thoughts, when the text begins with their mark. *maybe: that is not known yet. */
static bool begins_thought(struct tool_parser *p, size_t space, bool *maybe)
{
    for (size_t i = 0; i < tool_n_thoughts; i++)
        if (stands(p, space, tool_thoughts[i].open, maybe)) {
            p->state = STATE_THOUGHT;
            p->think_close = tool_thoughts[i].close;
            drop(p, space + strlen(tool_thoughts[i].open));
            return true;
        }
    return false;
}

static bool begins_call(struct tool_parser *p, size_t space, bool *maybe)
{
    const struct tool_family *family = p->tools->family;
    for (size_t i = 0; i < TOOL_FORMS; i++)
        if (wanted(p, &family->forms[i]) && family->forms[i].first && stands(p, space, family->forms[i].sign, maybe)) {
            begin_call(p, &family->forms[i], space);
            return true;
        }
    return false;
}

/* Decides what a text begins with. Returns false when that is not known yet. */
static bool begin(struct tool_parser *p, bool over)
{
    const struct toolset *t = p->tools;
    const size_t space = p->n_held ? strspn(p->held, " \n\t") : 0;
    bool maybe = false;
    if (p->state == STATE_NEW && t->thinking) {
        p->state = STATE_THOUGHT;
        p->think_close = t->think_close;
        return true;
    }
    if (p->state == STATE_NEW && is_headed(p)) {
        begin_call(p, &t->family->forms[0], 0);
        p->reading.at = 0;
        return true;
    }
    if ((p->state == STATE_NEW && begins_thought(p, space, &maybe)) || begins_call(p, space, &maybe))
        return true;
    if (!over && maybe)
        return false;
    p->state = STATE_TEXT;
    return true;
}

/* ---- text -------------------------------------------------------------------------------------------------------- */

static bool advance_thought(struct tool_parser *p, bool over)
{
    for (size_t i = 0; i < p->n_held; i++) {
        bool maybe = false;
        if (stands(p, i, p->think_close, &maybe)) {
            let_go(p, i, TOOL_THOUGHT);
            drop(p, strlen(p->think_close));
            p->state = STATE_GAP;
            return true;
        }
        if (maybe && !over) {
            let_go(p, i, TOOL_THOUGHT);
            return false;
        }
    }
    let_go(p, p->n_held, TOOL_THOUGHT);
    return false;
}

static bool advance_text(struct tool_parser *p, bool over)
{
    for (size_t i = 0; i < p->n_held; i++) {
        struct found found = {0};
        bool maybe = false;
        if (mark_at(p, i, &found, &maybe)) {
            let_go(p, i, TOOL_TEXT);
            if (found.form) {
                begin_call(p, found.form, 0);
            } else {
                drop(p, strlen(found.noise));
                p->state = STATE_AFTER;
            }
            return true;
        }
        if (maybe && !over) {
            let_go(p, i, TOOL_TEXT);
            return false;
        }
    }
    let_go(p, p->n_held, TOOL_TEXT);
    return false;
}

/* Space after calls is dropped where a mark or nothing follows it. */
static bool advance_after(struct tool_parser *p, bool over)
{
    const size_t space = p->n_held ? strspn(p->held, " \n\t\r") : 0;
    struct found found = {0};
    bool maybe = false;
    if (space == p->n_held) {
        if (over)
            drop(p, space);
        return false;
    }
    if (mark_at(p, space, &found, &maybe))
        drop(p, space);
    else if (maybe && !over)
        return false;
    else if (maybe) /* the text was cut within a mark */
        drop(p, p->n_held);
    p->state = STATE_TEXT;
    return true;
}

/* ---- calls ------------------------------------------------------------------------------------------------------- */

static void release_call(struct tool_reading *r)
{
    tool_bytes_release(&r->call.arguments);
    r->named = r->began = r->told = r->mute = false;
    r->n_told = 0;
}

/* Tells what is new of a call, once it is certain that it is one. */
static void tell_call(struct tool_parser *p)
{
    struct tool_reading *r = &p->reading;
    const struct tool_bytes *arguments = &r->call.arguments;
    struct tool_piece piece = {.kind = TOOL_CALL, .call = p->n_calls, .name = r->call.name, .id = r->call.id};
    if (r->mute || arguments->failed)
        return;
    if (!r->told) {
        struct tool_call *calls = realloc(p->calls, (p->n_calls + 1) * sizeof *calls);
        if (!calls)
            return;
        p->calls = calls;
        calls[p->n_calls++] = (struct tool_call){0};
        memcpy(calls[piece.call].id, r->call.id, sizeof r->call.id);
        memcpy(calls[piece.call].name, r->call.name, sizeof r->call.name);
        r->told = true;
        p->tell(p->user, &piece);
    }
    piece.call = p->n_calls - 1;
    piece.kind = TOOL_ARGUMENTS;
    piece.text = arguments->data + r->n_told;
    piece.size = arguments->size - r->n_told;
    if (piece.size) {
        tool_bytes_add(&p->calls[piece.call].arguments, piece.text, piece.size);
        p->tell(p->user, &piece);
    }
    r->n_told = arguments->size;
}

/* Does a call of these stand already in an answer that must have one? What more it has is told when it is whole, so that none is
 * cut by the length of the answer. */
static bool is_more(const struct tool_parser *p)
{
    return p->tools->forced && p->n_calls > 0 && !p->reading.told;
}

/* May the arguments of this reading be told before they are whole? Space before a sign that must come first is beyond what
 * the grammar sees. */
static bool guarded(const struct tool_parser *p)
{
    const struct tool_form *form = p->reading.form;
    return p->tools->guarded && !is_more(p) && !form->loose && !(form->first && p->held[0] != form->sign[0]);
}

void tool_call_begin(struct tool_parser *p)
{
    release_call(&p->reading);
}

bool tool_call_end(struct tool_parser *p)
{
    struct tool_reading *r = &p->reading;
    if (!r->named)
        return false;
    if (r->call.arguments.size == 0)
        tool_bytes_add(&r->call.arguments, "{}", 2);
    if (!r->told && !r->mute && !guarded(p)) { /* nothing but the whole is known to be JSON */
        json_t *value = r->call.arguments.failed
                            ? NULL
                            : json_loadb(r->call.arguments.data, r->call.arguments.size, JSON_REJECT_DUPLICATES, NULL);
        const bool good = json_is_object(value);
        json_decref(value);
        if (!good)
            return false;
    }
    tell_call(p);
    if (r->told) {
        const struct tool_piece piece = {.kind = TOOL_CALL_END,
                                         .call = p->n_calls - 1,
                                         .name = p->calls[p->n_calls - 1].name,
                                         .id = p->calls[p->n_calls - 1].id};
        p->tell(p->user, &piece);
    }
    release_call(r);
    r->raw = r->at;
    return true;
}

/* What was read of calls is over, and what follows is of another state. */
static void leave_call(struct tool_parser *p, size_t n, int state)
{
    release_call(&p->reading);
    drop(p, n);
    p->state = state;
}

/* It is no call after all: what is neither told nor thrown away is content. */
static void fail_call(struct tool_parser *p, bool over)
{
    struct tool_reading *r = &p->reading;
    const size_t sign = strlen(r->form->sign);
    if (r->named && r->began && guarded(p))
        tell_call(p);
    if (r->told)
        r->raw = r->at;
    const bool sole = r->raw == 0 && !(is_headed(p) && strncmp(p->held, r->form->sign, sign) != 0);
    leave_call(p, r->raw, STATE_TEXT);
    /* After the end of the text no mark can come that is not here already; else the sign is content, and more may follow. */
    if (over)
        let_go(p, p->n_held, TOOL_TEXT);
    else if (sole && p->n_held)
        let_go(p, sign < p->n_held ? sign : p->n_held, TOOL_TEXT);
}

static bool advance_call(struct tool_parser *p, bool over)
{
    struct tool_reading *r = &p->reading;
    const enum tool_step step = r->form->read(p, over);
    switch (step) {
    case TOOL_OVER:
        leave_call(p, r->at, STATE_AFTER);
        return true;
    case TOOL_THOUGHTS:
        p->think_close = p->tools->family->think_close;
        leave_call(p, r->at, STATE_THOUGHT);
        return true;
    case TOOL_CONTENT:
        leave_call(p, r->at, STATE_TEXT);
        return true;
    case TOOL_MORE:
        if (r->named && r->began && guarded(p))
            tell_call(p);
        if (!over)
            return false;
        if (r->told || is_more(p)) { /* cut by the length of the answer */
            p->n_held = 0;
            p->cut = r->told; /* it is a call, and its arguments are what there is */
            release_call(r);
            return false;
        }
        fail_call(p, true);
        return false;
    default:
        fail_call(p, over);
        return true;
    }
}

/* ---- all --------------------------------------------------------------------------------------------------------- */

/* Handles what is held as far as it is known what it is. Returns whether there is more to do. */
static bool advance(struct tool_parser *p, bool over)
{
    switch (p->state) {
    case STATE_GAP:
        drop(p, p->n_held ? strspn(p->held, "\n") : 0);
        if (p->n_held == 0)
            return false;
        p->state = STATE_FIRST;
        return true;
    case STATE_NEW:
    case STATE_FIRST:
        return p->n_held ? begin(p, over) : false;
    case STATE_THOUGHT:
        return advance_thought(p, over);
    case STATE_TEXT:
        return advance_text(p, over);
    case STATE_AFTER:
        return advance_after(p, over);
    default:
        return advance_call(p, over);
    }
}

bool tool_parser_thinks(const struct tool_parser *p)
{
    return p->state == STATE_THOUGHT;
}

void tool_parser_put(struct tool_parser *p, const char *text, size_t size, tool_tell tell, void *user)
{
    if (!size)
        return;
    if (!p->tools->family) { /* not a chat */
        const struct tool_piece piece = {.kind = TOOL_TEXT, .text = text, .size = size};
        tell(user, &piece);
        return;
    }
    p->tell = tell;
    p->user = user;
    if (hold(p, text, size))
        while (advance(p, false))
            ;
}

void tool_parser_end(struct tool_parser *p, tool_tell tell, void *user)
{
    if (!p->tools->family || !p->held)
        return;
    p->tell = tell;
    p->user = user;
    while (advance(p, true) && (p->n_held || p->state == STATE_CALL))
        ;
}

void tool_parser_release(struct tool_parser *p)
{
    for (size_t i = 0; i < p->n_calls; i++)
        tool_bytes_release(&p->calls[i].arguments);
    free(p->calls);
    free(p->held);
    tool_bytes_release(&p->reading.scratch);
    tool_bytes_release(&p->reading.call.arguments);
    memset(p, 0, sizeof *p);
}
