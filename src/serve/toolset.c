/* SPDX-License-Identifier: MIT
 * toolset.c - which tools a request offers, how its model's family writes a call, and the grammar of calls. */
#include "serve/toolset.h"

#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/fields.h"

#define TOOLS_MOST 128
/* Calls of one answer that a grammar makes, where several are allowed. */
#define CALLS_MOST 4

static const struct tool_tags qwen_tags = {"<function=", ">", "<parameter=", ">", "", "</parameter>", "</function>"};
static const struct tool_tags glm_tags = {"<tool_call>", "\n",           "<arg_key>",   "</arg_key>",
                                          "<arg_value>", "</arg_value>", "</tool_call>"};
static const struct tool_tags minimax_tags = {"<invoke name=\"", "\">",      "<parameter name=\"", "\">", "",
                                              "</parameter>",    "</invoke>"};

/* In the order in which a template's marks are looked for: the special ones first. */
static const struct tool_family families[] = {
    {.name = "mistral, from v11 on",
     .mark = "[ARGS]",
     .open = "[TOOL_CALLS]",
     .before = "",
     .middle = "[ARGS]",
     .after = "",
     .close = "",
     .sign = "[TOOL_CALLS]",
     .style = TOOL_NAME_BEFORE,
     .point = "[ARGS]",
     .short_ids = true},
    {.name = "deepseek v3",
     .mark = "<\xef\xbd\x9ctool\xe2\x96\x81sep\xef\xbd\x9c>probe_it\n```json",
     .open = "<\xef\xbd\x9ctool\xe2\x96\x81"
             "calls\xe2\x96\x81"
             "begin\xef\xbd\x9c><\xef\xbd\x9ctool\xe2\x96\x81"
             "call\xe2\x96\x81"
             "begin\xef\xbd\x9c>function<\xef\xbd\x9ctool\xe2\x96\x81sep\xef\xbd\x9c>",
     .before = "",
     .middle = "\n```json\n",
     .after = "",
     .close = "",
     .sign = "<\xef\xbd\x9ctool\xe2\x96\x81"
             "calls\xe2\x96\x81"
             "begin\xef\xbd\x9c>",
     .style = TOOL_NAME_AFTER,
     .point = "<\xef\xbd\x9ctool\xe2\x96\x81sep\xef\xbd\x9c>"},
    {.name = "deepseek v3.1",
     .mark = "<\xef\xbd\x9ctool\xe2\x96\x81sep\xef\xbd\x9c>",
     .open = "<\xef\xbd\x9ctool\xe2\x96\x81"
             "calls\xe2\x96\x81"
             "begin\xef\xbd\x9c><\xef\xbd\x9ctool\xe2\x96\x81"
             "call\xe2\x96\x81"
             "begin\xef\xbd\x9c>",
     .before = "",
     .middle = "<\xef\xbd\x9ctool\xe2\x96\x81sep\xef\xbd\x9c>",
     .after = "",
     .close = "",
     .sign = "<\xef\xbd\x9ctool\xe2\x96\x81"
             "calls\xe2\x96\x81"
             "begin\xef\xbd\x9c>",
     .style = TOOL_NAME_BEFORE,
     .point = "<\xef\xbd\x9ctool\xe2\x96\x81sep\xef\xbd\x9c>"},
    {.name = "kimi k2",
     .mark = "<|tool_call_argument_begin|>",
     .open = "<|tool_calls_section_begin|><|tool_call_begin|>functions.",
     .before = "",
     .middle = ":0<|tool_call_argument_begin|>",
     .after = "",
     .close = "",
     .sign = "<|tool_calls_section_begin|>",
     .style = TOOL_NAME_BEFORE,
     .point = "<|tool_call_argument_begin|>"},
    {.name = "qwen3-coder",
     .mark = "<function=",
     .open = "",
     .before = "",
     .middle = "",
     .after = "",
     .close = "",
     .sign = "<tool_call>",
     .style = TOOL_TAGS,
     .tags = &qwen_tags},
    {.name = "minimax",
     .mark = "<invoke name=",
     .open = "",
     .before = "",
     .middle = "",
     .after = "",
     .close = "",
     .sign = "<minimax:tool_call>",
     .style = TOOL_TAGS,
     .tags = &minimax_tags},
    {.name = "glm",
     .mark = "<arg_key>",
     .open = "",
     .before = "",
     .middle = "",
     .after = "",
     .close = "",
     .sign = "<tool_call>",
     .style = TOOL_TAGS,
     .tags = &glm_tags},
    {.name = "mistral",
     .mark = "[TOOL_CALLS]",
     .open = "[TOOL_CALLS][",
     .before = "{\"name\": \"",
     .middle = "\", \"arguments\": ",
     .after = "}",
     .between = ", ",
     .close = "]",
     .sign = "[TOOL_CALLS]",
     .short_ids = true},
    {.name = "hermes",
     .mark = "<tool_call>",
     .open = "<tool_call>\n",
     .before = "{\"name\": \"",
     .middle = "\", \"arguments\": ",
     .after = "}",
     .between = "\n</tool_call>\n<tool_call>\n",
     .close = "\n</tool_call>",
     .sign = "<tool_call>"},
    {.name = "granite",
     .mark = "<|tool_call|>",
     .open = "<|tool_call|>[",
     .before = "{\"name\": \"",
     .middle = "\", \"arguments\": ",
     .after = "}",
     .between = ", ",
     .close = "]",
     .sign = "<|tool_call|>"},
    {.name = "llama3",
     .mark = "\"parameters\"",
     .open = "",
     .before = "{\"name\": \"",
     .middle = "\", \"parameters\": ",
     .after = "}",
     .close = "",
     .sign = "{\"name\""},
};

/* Of models whose template knows no tools. */
static const struct tool_family generic = {.name = "generic",
                                           .open = "",
                                           .before = "{\"name\": \"",
                                           .middle = "\", \"arguments\": ",
                                           .after = "}",
                                           .close = "",
                                           .sign = "{\"name\""};

const struct tool_family *tool_family_of(const char *text)
{
    for (size_t i = 0; text && i < sizeof families / sizeof *families; i++)
        if (strstr(text, families[i].mark))
            return &families[i];
    return &generic;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static bool is_name(const char *name)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    const size_t n = strlen(name);
    return n > 0 && n <= 64 && strspn(name, letters) == n;
}

static const char *name_of(const json_t *tool)
{
    return json_string_value(json_object_get(json_object_get(tool, "function"), "name"));
}

static bool take_list(struct toolset *t, json_t *list, struct serve_failure *f)
{
    if (!json_is_array(list) || json_array_size(list) > TOOLS_MOST)
        return serve_fail(f, 400, "tools", "tools must be a list of at most %d tools.", TOOLS_MOST);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *tool = json_array_get(list, i), *function = json_object_get(tool, "function");
        const char *type = json_string_value(json_object_get(tool, "type")), *name = name_of(tool);
        const json_t *parameters = fields_get(function, "parameters");
        if (!type || strcmp(type, "function") != 0)
            return serve_fail(f, 400, "tools", "tools[%zu].type must be function.", i);
        if (!name || !is_name(name))
            return serve_fail(f, 400, "tools", "tools[%zu] has no name of 1 to 64 letters, digits, _ and -.", i);
        if (parameters && !json_is_object(parameters))
            return serve_fail(f, 400, "tools", "tools[%zu].function.parameters must be a schema.", i);
        for (size_t k = 0; k < i; k++)
            if (!strcmp(name_of(json_array_get(list, k)), name))
                return serve_fail(f, 400, "tools", "Two tools are called %s.", name);
    }
    t->list = json_array_size(list) ? list : NULL;
    return true;
}

static bool take_named(struct toolset *t, const json_t *choice, struct serve_failure *f)
{
    const char *type = json_string_value(json_object_get(choice, "type")), *name = name_of(choice);
    if (!type || strcmp(type, "function") || !name)
        return serve_fail(f, 400, "tool_choice", "tool_choice must be a word or {type: function, function: {name}}.");
    for (size_t i = 0; i < json_array_size(t->list); i++)
        if (!strcmp(name_of(json_array_get(t->list, i)), name))
            t->named = (int)i;
    if (t->named < 0)
        return serve_fail(f, 400, "tool_choice", "tool_choice names %s, which is not among the tools.",
                          serve_quote(name, strlen(name)).text);
    t->choice = TOOLS_REQUIRED;
    return true;
}

static bool take_choice(struct toolset *t, const json_t *choice, struct serve_failure *f)
{
    const char *word = json_string_value(choice);
    if (json_is_object(choice))
        return take_named(t, choice, f);
    if (word && !strcmp(word, "none"))
        t->choice = TOOLS_NONE;
    else if (word && !strcmp(word, "required"))
        t->choice = TOOLS_REQUIRED;
    else if (!word || strcmp(word, "auto") != 0)
        return serve_fail(f, 400, "tool_choice", "tool_choice must be none, auto, required, or name a function.");
    if (t->choice == TOOLS_REQUIRED && !t->list)
        return serve_fail(f, 400, "tool_choice", "tool_choice is required, and there are no tools.");
    return true;
}

/* How calls that are required are made certain. Marks that are special tokens cannot be written by a grammar, so they stand
 * in the prompt, up to the arguments where only one tool can be called; else calls are written in JSON. */
static void take_forced(struct toolset *t)
{
    const size_t n = json_array_size(t->list);
    t->only = -1;
    t->forced = t->choice == TOOLS_REQUIRED;
    if (!t->forced)
        return;
    const int single = t->named >= 0 ? t->named : n == 1 ? 0 : -1;
    const bool outside = t->family->style == TOOL_NAME_BEFORE || t->family->style == TOOL_NAME_AFTER;
    if (outside && single >= 0)
        t->only = single;
    else if (t->family->style != TOOL_NAME_INSIDE)
        t->family = &generic;
    snprintf(t->prefill, sizeof t->prefill, "%s%s%s%s", t->family->open, t->only < 0 ? "" : t->family->before,
             t->only < 0 ? "" : name_of(json_array_get(t->list, (size_t)t->only)),
             t->only < 0 ? "" : t->family->middle);
}

bool toolset_take(struct toolset *t, const json_t *body, const struct tool_family *family, struct serve_failure *f)
{
    json_t *list = fields_get(body, "tools");
    const json_t *choice = fields_get(body, "tool_choice");
    t->family = family;
    t->named = -1;
    t->parallel = true;
    if (fields_get(body, "functions") || fields_get(body, "function_call"))
        return serve_fail(f, 400, fields_get(body, "functions") ? "functions" : "function_call",
                          "functions and function_call are not taken any more; use tools and tool_choice.");
    if (!fields_flag(body, "parallel_tool_calls", &t->parallel, f) || (list && !take_list(t, list, f)))
        return false;
    t->choice = t->list ? TOOLS_AUTO : TOOLS_NONE;
    if (choice && !take_choice(t, choice, f))
        return false;
    take_forced(t);
    return true;
}

bool toolset_has_mark(const struct toolset *t, const char *text)
{
    const struct tool_family *family = t->family;
    const char *marks[] = {t->think_open,  t->think_close,  family->sign,  family->open,
                           family->middle, family->between, family->close, family->point};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (*text && marks[i] && strstr(marks[i], text))
            return true;
    return false;
}

/* ---- grammar ----------------------------------------------------------------------------------------------------- */

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* Adds GBNF whose rules get a prefix, so that the grammars of several schemas stand in one. */
static void add_renamed(struct evbuffer *out, const char *gbnf, size_t number)
{
    char quote = 0;
    for (const char *p = gbnf; *p; p++) {
        const char *word = p;
        if (quote) {
            if (*p == '\\' && p[1])
                p++;
            else if (*p == quote)
                quote = 0;
        } else if (*p == '"' || *p == '[') {
            quote = *p == '[' ? ']' : '"';
        } else if (*p == '{') { /* how often something comes: no names */
            while (p[1] && *p != '}')
                p++;
        } else if (is_letter(*p)) {
            while (is_letter(p[1]))
                p++;
            evbuffer_add_printf(out, "t%zu-", number);
        }
        evbuffer_add(out, word, (size_t)(p + 1 - word));
    }
    evbuffer_add(out, "\n", 1);
}

static void add_literal(struct evbuffer *out, const char *text)
{
    evbuffer_add(out, " \"", 2);
    for (; *text; text++) {
        if (*text == '\n')
            evbuffer_add(out, "\\n", 2);
        else if (*text == '"' || *text == '\\')
            evbuffer_add_printf(out, "\\%c", *text);
        else
            evbuffer_add(out, text, 1);
    }
    evbuffer_add(out, "\"", 1);
}

/* The rule of one tool's call, and those of its arguments. */
static bool add_tool(const struct toolset *t, size_t i, struct evbuffer *out, struct serve_failure *f)
{
    const json_t *tool = json_array_get(t->list, i);
    const json_t *schema = fields_get(json_object_get(tool, "function"), "parameters");
    struct tare_error err = {0};
    char *text = schema ? json_dumps(schema, JSON_COMPACT) : NULL, *gbnf = NULL;
    evbuffer_add_printf(out, "call%zu ::=", i);
    add_literal(out, t->family->before);
    add_literal(out, name_of(tool));
    add_literal(out, t->family->middle);
    if (schema)
        evbuffer_add_printf(out, " t%zu-root", i);
    else
        add_literal(out, "{}");
    add_literal(out, t->family->after);
    evbuffer_add(out, "\n", 1);
    if (!schema)
        return true;
    const enum tare_code code = text ? tare_grammar_from_schema(&gbnf, text, strlen(text), &err) : TARE_E_MEMORY;
    free(text);
    if (code)
        return serve_fail(f, code == TARE_E_MEMORY ? 503 : 400, "tools",
                          "The parameters of %s are not understood: %.300s", name_of(tool), err.text);
    add_renamed(out, gbnf, i);
    tare_text_free(gbnf);
    return true;
}

bool toolset_grammar(const struct toolset *t, const tare_tokenizer *tokenizer, tare_grammar **grammar,
                     struct serve_failure *f)
{
    struct evbuffer *out = evbuffer_new();
    struct tare_error err = {0};
    const size_t n = json_array_size(t->list);
    const bool several = t->parallel && t->named < 0 && t->family->between;
    if (!out)
        return serve_fail(f, 503, NULL, "Out of memory.");
    if (t->only >= 0) {
        const bool some =
            fields_get(json_object_get(json_array_get(t->list, (size_t)t->only), "function"), "parameters");
        evbuffer_add_printf(out, some ? "root ::= t%d-root" : "root ::= \"{}\"", t->only);
    } else {
        evbuffer_add_printf(out, "root ::= call");
    }
    if (several && t->only < 0) {
        evbuffer_add_printf(out, " (");
        add_literal(out, t->family->between);
        evbuffer_add_printf(out, " call){0,%d}", CALLS_MOST - 1);
    }
    if (*t->family->close && t->only < 0)
        add_literal(out, t->family->close);
    evbuffer_add_printf(out, "\ncall ::=");
    for (size_t i = 0, k = 0; i < n; i++)
        if (t->named < 0 || t->named == (int)i)
            evbuffer_add_printf(out, "%s call%zu", k++ ? " |" : "", i);
    evbuffer_add(out, "\n", 1);
    bool good = true;
    for (size_t i = 0; i < n && good; i++)
        if (t->named < 0 || t->named == (int)i)
            good = add_tool(t, i, out, f);
    const size_t size = evbuffer_get_length(out);
    const enum tare_code code = good ? tare_grammar_open(grammar, tokenizer, TARE_GRAMMAR_GBNF,
                                                         (const char *)evbuffer_pullup(out, -1), size, &err)
                                     : TARE_OK;
    evbuffer_free(out);
    return good && (!code || serve_fail(f, code == TARE_E_MEMORY ? 503 : 400, "tools",
                                        "The calls of these tools cannot be made: %.300s", err.text));
}
