/* SPDX-License-Identifier: MIT
 * toolset.c - which tools a request offers, and which marks its answer may have. */
#include "serve/tools/toolset.h"

#include <string.h>

#include "serve/fields.h"
#include "serve/tools/family.h"

#define TOOLS_MOST 128

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
    t->forced = t->choice == TOOLS_REQUIRED;
    if (t->forced && family->raw)
        t->family = &tool_family_generic;
    return true;
}

const char *toolset_name(const struct toolset *t, size_t i)
{
    return name_of(json_array_get(t->list, i));
}

const json_t *toolset_offers(const struct toolset *t, const char *name)
{
    for (size_t i = 0; i < json_array_size(t->list); i++)
        if (!strcmp(toolset_name(t, i), name))
            return json_object_get(json_array_get(t->list, i), "function");
    return NULL;
}

/* ---- marks ------------------------------------------------------------------------------------------------------- */

void toolset_thoughts(struct toolset *t, const char *prompt, size_t size)
{
    while (size && (prompt[size - 1] == '\n' || prompt[size - 1] == ' '))
        size--;
    for (size_t i = 0; i < tool_n_thoughts; i++) {
        const size_t n = strlen(tool_thoughts[i].open);
        if (size >= n && !memcmp(prompt + size - n, tool_thoughts[i].open, n)) {
            t->thinking = true;
            t->think_close = tool_thoughts[i].close;
        }
    }
}

static bool holds(const char *mark, const char *text)
{
    return mark && strstr(mark, text);
}

static bool form_has(const struct tool_form *form, const char *text)
{
    const struct tool_beside *b = form->beside;
    const struct tool_tags *g = form->tags;
    const char *const marks[] = {form->sign,
                                 form->open,
                                 form->before,
                                 form->middle,
                                 form->after,
                                 form->between,
                                 form->close,
                                 b ? b->lead : NULL,
                                 b ? b->point : NULL,
                                 b ? b->gap : NULL,
                                 b ? b->id : NULL,
                                 b ? b->dialect->quote : NULL,
                                 g ? g->key_open : NULL,
                                 g ? g->key_close : NULL,
                                 g ? g->value_open : NULL,
                                 g ? g->value_close : NULL,
                                 g ? g->end : NULL};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (holds(marks[i], text))
            return true;
    return false;
}

bool toolset_has_mark(const struct toolset *t, const char *text)
{
    const struct tool_family *family = t->family;
    bool found = holds(family->think_close, text);
    for (size_t i = 0; i < tool_n_thoughts; i++)
        found |= holds(tool_thoughts[i].open, text) || holds(tool_thoughts[i].close, text);
    for (size_t i = 0; i < TOOL_NOISE; i++)
        found |= holds(family->noise[i], text);
    for (size_t i = 0; i < TOOL_FORMS && (t->choice != TOOLS_NONE || family->headed); i++)
        found |= form_has(&family->forms[i], text);
    return *text && found;
}
