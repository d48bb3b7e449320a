/* SPDX-License-Identifier: MIT
 * calls_harmony.c - gpt-oss: an answer is a series of messages, whose headers say whether they are thoughts, calls or content:
 * <|channel|>analysis<|message|>..<|end|>, and to=functions.NAME before or after the channel. */
#include <string.h>

#include "serve/tools/family.h"

enum { HEADER, ARGUMENTS };
#define HEADER_MOST 300

/* May this be the beginning of a header? An answer begins within one. */
static bool may_be(const char *text, size_t size)
{
    static const char *const beginnings[] = {"<|start|>", "<|channel|>", "to=", "assistant"};
    while (size && *text == ' ') {
        text++;
        size--;
    }
    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++) {
        const size_t n = strlen(beginnings[i]);
        if (!memcmp(text, beginnings[i], n < size ? n : size))
            return true;
    }
    return false;
}

/* Where a text stands within a header; NULL: nowhere. */
static const char *within(const char *header, size_t size, const char *text)
{
    const char *found = strstr(header, text);
    return found && found + strlen(text) <= header + size ? found + strlen(text) : NULL;
}

static enum tool_step read_header(struct tool_parser *p)
{
    struct tool_reading *r = &p->reading;
    size_t from = 0, size = 0;
    if (!may_be(p->held + r->at, p->n_held - r->at))
        return TOOL_NOT;
    const enum tool_step step = tool_until(p, "<|message|>", HEADER_MOST, &from, &size);
    if (step != TOOL_NEXT)
        return step;
    const char *header = p->held + from, *to = within(header, size, "to=functions."),
               *channel = within(header, size, "<|channel|>");
    if (!to)
        return channel && !strncmp(channel, "analysis", 8) ? TOOL_THOUGHTS : TOOL_CONTENT;
    tool_call_begin(p);
    if (!tool_call_name(p, to, strcspn(to, " <\n")))
        return TOOL_NOT;
    r->began = true;
    r->phase = ARGUMENTS;
    tool_value_begin(&r->value, &tool_json, &r->call.arguments);
    return TOOL_NEXT;
}

static enum tool_step read(struct tool_parser *p, bool over)
{
    enum tool_step step = TOOL_NEXT;
    if (p->reading.phase == HEADER)
        step = read_header(p);
    if (step == TOOL_NEXT)
        step = tool_read_value(p, over);
    if (step == TOOL_NEXT)
        step = tool_call_end(p) ? TOOL_OVER : TOOL_NOT;
    return step;
}

/* Thoughts and remarks, as many as the model likes, then a call or the content. */
static void root(struct tool_writer *w)
{
    const bool calls = w->tools->choice != TOOLS_NONE;
    serve_put(w->out, "root ::=");
    if (!w->tools->forced) {
        serve_put(w->out, " (");
        tool_write_text(w, "<|channel|>");
        serve_put(w->out, " (\"analysis\" | \"commentary\")");
        tool_write_text(w, "<|message|>");
        serve_put(w->out, " ~");
        tool_write_text(w, "<|end|>");
        tool_write_text(w, "<|end|><|start|>assistant");
        serve_put(w->out, ")* (");
    }
    if (calls) {
        serve_put(w->out, " call (");
        tool_write_text(w, "<|call|>");
        serve_put(w->out, ")?");
    }
    if (!w->tools->forced) {
        serve_put(w->out, calls ? " |" : "");
        tool_write_text(w, "<|channel|>final<|message|>");
        serve_put(w->out, w->content ? " content)" : " ~\"\")");
    }
    serve_put(w->out, "\ncall ::=");
    serve_put(w->out, calls ? " f0\n" : " \"\"\n");
}

const struct tool_family tool_family_harmony = {
    .name = "harmony",
    .marks = {"<|channel|>", "<|message|>"},
    .forms = {{.sign = "<|channel|>",
               .keep = true,
               .before = " to=functions.",
               .middle = "<|channel|>commentary json<|message|>",
               .notation = tool_notation_json,
               .read = read},
              {.sign = "<|start|>",
               .keep = true,
               .before = "<|channel|>commentary to=functions.",
               .middle = " json<|message|>",
               .notation = tool_notation_json,
               .read = read}},
    .noise = {"<|end|>", "<|return|>", "<|call|>", "<|constrain|>"},
    .single = true,
    .headed = true,
    .think_close = "<|end|>",
    .root = root,
};
