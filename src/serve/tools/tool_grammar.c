/* SPDX-License-Identifier: MIT
 * tool_grammar.c - the grammar of an answer: text is free until a sign of the family begins a call, which is made by its tool's
 * schema; content may have a schema of its own, and thoughts come before both. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/fields.h"
#include "serve/tools/family.h"

/* Calls of one answer that are made where one is required and several are allowed. */
#define CALLS_MOST 4

/* ---- texts and schemas ------------------------------------------------------------------------------------------- */

static void put_literal(struct evbuffer *out, const char *text, size_t size)
{
    serve_put(out, " \"");
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\n')
            serve_put(out, "\\n");
        else if (text[i] == '"' || text[i] == '\\')
            evbuffer_add_printf(out, "\\%c", text[i]);
        else
            evbuffer_add(out, text + i, 1);
    }
    serve_put(out, "\"");
}

void tool_write_text(struct tool_writer *w, const char *text)
{
    int32_t *ids = NULL;
    size_t n = 0;
    const char *from = text;
    if (w->tokenizer && *text)
        tare_tokenizer_encode(w->tokenizer, text, strlen(text), false, &ids, &n, NULL);
    for (size_t i = 0; i < n; i++) {
        const char *token, *found;
        size_t size;
        bool special = false;
        if (tare_tokenizer_token(w->tokenizer, ids[i], &token, &size, &special, NULL) || !special || !size ||
            !(found = strstr(from, token)))
            continue;
        if (found > from)
            put_literal(w->out, from, (size_t)(found - from));
        /* An id that ends a text is never written by a grammar: it comes where the grammar is complete. */
        if (!tare_tokenizer_ends(w->tokenizer, ids[i]))
            evbuffer_add_printf(w->out, " <[%d]>", (int)ids[i]);
        from = found + size;
    }
    tare_ids_free(ids);
    if (*from || from == text)
        put_literal(w->out, from, strlen(from));
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* Adds GBNF whose rules get a prefix, so that the grammars of several schemas stand in one. */
void tool_write_renamed(struct tool_writer *w, const char *prefix, const char *gbnf)
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
            evbuffer_add_printf(w->out, "%s-", prefix);
        }
        evbuffer_add(w->out, word, (size_t)(p + 1 - word));
    }
    serve_put(w->out, "\n");
}

bool tool_write_schema(struct tool_writer *w, const char *prefix, const json_t *schema)
{
    struct tare_error err = {0};
    char *text = json_dumps(schema, JSON_COMPACT | JSON_ENCODE_ANY), *gbnf = NULL;
    const enum tare_code code = text ? tare_grammar_from_schema(&gbnf, text, strlen(text), &err) : TARE_E_MEMORY;
    free(text);
    if (code) {
        snprintf(w->reason, sizeof w->reason, "%.60s%s%.180s", err.where, *err.where ? ": " : "", err.text);
        return false;
    }
    tool_write_renamed(w, prefix, gbnf);
    tare_text_free(gbnf);
    return true;
}

/* ---- calls ------------------------------------------------------------------------------------------------------- */

static bool may_call(const struct toolset *t, size_t i)
{
    return t->named < 0 || t->named == (int)i;
}

/* The rules of a tool's arguments. Where a call is not required a schema that is not understood leaves them free. */
static bool write_arguments(struct tool_writer *w, const char *name, const struct tool_form *form, size_t i)
{
    const json_t *function = json_object_get(json_array_get(w->tools->list, i), "function");
    const json_t *schema = fields_get(function, "parameters");
    struct evbuffer *out = w->out;
    bool good = (w->out = evbuffer_new()) && form->notation(w, name, schema, form);
    if (!good && w->out && !w->tools->forced) {
        json_t *any = json_pack("{s:s}", "type", "object");
        evbuffer_drain(w->out, evbuffer_get_length(w->out));
        good = form->notation(w, name, any, form);
        json_decref(any);
    }
    if (w->out && good)
        evbuffer_add_buffer(out, w->out);
    if (w->out)
        evbuffer_free(w->out);
    w->out = out;
    return good || serve_fail(w->failure, 400, "tools", "The parameters of %s are not understood: %.300s",
                              toolset_name(w->tools, i), w->reason);
}

static void put_text(struct tool_writer *w, const char *text)
{
    if (text && *text)
        tool_write_text(w, text);
}

/* Rules fK, a form's calls from its sign on, and fKc, one call. Forms of one notation share the rules of arguments. */
static bool write_form(struct tool_writer *w, size_t k)
{
    const struct toolset *t = w->tools;
    const struct tool_form *forms = t->family->forms, *form = &forms[k];
    const bool several = t->parallel && !t->family->single && form->between;
    size_t same = 0;
    while (forms[same].notation != form->notation)
        same++;
    evbuffer_add_printf(w->out, "f%zu ::=", k);
    if (!t->family->headed)
        put_text(w, form->sign);
    put_text(w, form->open);
    evbuffer_add_printf(w->out, " f%zuc", k);
    if (several) {
        serve_put(w->out, " (");
        put_text(w, form->between);
        evbuffer_add_printf(w->out, t->forced ? " f%zuc){0,%d}" : " f%zuc)*", k, CALLS_MOST - 1);
    }
    put_text(w, form->close);
    evbuffer_add_printf(w->out, "\nf%zuc ::=", k);
    for (size_t i = 0, n = 0; i < json_array_size(t->list); i++) {
        if (!may_call(t, i))
            continue;
        serve_put(w->out, n++ ? " |" : "");
        put_text(w, form->before);
        put_literal(w->out, toolset_name(t, i), strlen(toolset_name(t, i)));
        put_text(w, form->middle);
        evbuffer_add_printf(w->out, " f%zut%zu", same, i);
        put_text(w, form->after);
    }
    serve_put(w->out, "\n");
    bool good = true;
    for (size_t i = 0; i < json_array_size(t->list) && good && same == k; i++) {
        char name[32];
        snprintf(name, sizeof name, "f%zut%zu", k, i);
        good = !may_call(t, i) || write_arguments(w, name, form, i);
    }
    return good;
}

static bool has_grammar(const struct tool_form *form)
{
    return form->sign && form->notation && !form->loose;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

/* Is this mark of thoughts a token of the vocabulary, so that the model may be one that thinks? */
static bool thinks(const struct tool_writer *w, const struct tool_thought *thought)
{
    int32_t *ids = NULL;
    const char *token = NULL;
    size_t n = 0, size = 0;
    tare_tokenizer_encode(w->tokenizer, thought->open, strlen(thought->open), false, &ids, &n, NULL);
    bool found = false;
    for (size_t i = 0; i < n && n <= 3; i++)
        found |= !tare_tokenizer_token(w->tokenizer, ids[i], &token, &size, NULL, NULL) && size >= 7 &&
                 !strncmp(token, thought->open, size);
    tare_ids_free(ids);
    return found;
}

/* Free text: up to a sign, and, at the beginning of an answer, no sign that must come first and no thoughts; after thoughts no
 * line end, which belongs to neither. */
enum place { BEGINNING, AFTER_THOUGHTS, LATER };

static void put_free(struct tool_writer *w, enum place place)
{
    const struct tool_form *forms = w->tools->family->forms;
    size_t n = 0;
    serve_put(w->out, " ~(");
    for (size_t k = 0; k < TOOL_FORMS && w->tools->choice != TOOLS_NONE; k++) {
        if (!has_grammar(&forms[k]) || (forms[k].first && place == LATER))
            continue;
        serve_put(w->out, n++ ? " |" : "");
        serve_put(w->out, forms[k].first ? " ^" : "");
        tool_write_text(w, forms[k].sign);
    }
    for (size_t i = 0; i < tool_n_thoughts && place == BEGINNING; i++) {
        if (!thinks(w, &tool_thoughts[i]))
            continue;
        serve_put(w->out, n++ ? " | ^" : " ^");
        tool_write_text(w, tool_thoughts[i].open);
    }
    if (place == AFTER_THOUGHTS)
        serve_put(w->out, n++ ? " | ^\"\\n\"" : " ^\"\\n\"");
    serve_put(w->out, n ? ")" : " \"\")");
}

/* The forms that may begin here, with | between and before them. */
static void put_forms(struct tool_writer *w, bool first, const char *then)
{
    const struct tool_form *forms = w->tools->family->forms;
    for (size_t k = 0; k < TOOL_FORMS && w->tools->choice != TOOLS_NONE; k++)
        if (has_grammar(&forms[k]) && forms[k].first == first)
            evbuffer_add_printf(w->out, " | f%zu%s", k, then);
}

/* Rules body0 and body1: an answer from its beginning, and after thoughts. */
static void write_bodies(struct tool_writer *w)
{
    const struct toolset *t = w->tools;
    const bool several = t->parallel && !t->family->single;
    for (int i = 0; i < 2; i++) {
        evbuffer_add_printf(w->out, "body%d ::=", i);
        if (w->content) {
            serve_put(w->out, " content");
            put_forms(w, true, several ? " calls" : "");
            put_forms(w, false, several ? " calls" : "");
        } else {
            put_free(w, i ? AFTER_THOUGHTS : BEGINNING);
            serve_put(w->out, " tail");
            put_forms(w, true, several ? " text" : "");
        }
        serve_put(w->out, "\n");
    }
    serve_put(w->out, "calls ::= \"\"");
    if (w->content && several) {
        serve_put(w->out, " | [ \\n]{0,3} (\"\" ");
        put_forms(w, true, " calls");
        put_forms(w, false, " calls");
        serve_put(w->out, ")");
    }
    serve_put(w->out, "\ntail ::= \"\"");
    put_forms(w, false, several ? " text" : "");
    serve_put(w->out, "\ntext ::=");
    put_free(w, LATER);
    serve_put(w->out, " tail\n");
}

static void write_root(struct tool_writer *w)
{
    const struct toolset *t = w->tools;
    const struct tool_form *form = &t->family->forms[0];
    if (t->forced) {
        const bool several = t->parallel && t->named < 0 && !t->family->single && !form->between;
        evbuffer_add_printf(w->out, several ? "root ::= f0 (\"\\n\" f0){0,%d}\n" : "root ::= f0\n", CALLS_MOST - 1);
        return;
    }
    write_bodies(w);
    serve_put(w->out, "root ::=");
    if (t->thinking) {
        serve_put(w->out, " ~");
        tool_write_word(w, t->think_close);
        serve_put(w->out, " (");
        tool_write_text(w, t->think_close);
        serve_put(w->out, " \"\\n\"{0,3} body1)?");
    } else {
        serve_put(w->out, " body0");
    }
    for (size_t i = 0; i < tool_n_thoughts && !t->thinking; i++) {
        if (!thinks(w, &tool_thoughts[i]))
            continue;
        serve_put(w->out, " |");
        tool_write_text(w, tool_thoughts[i].open);
        serve_put(w->out, " ~");
        tool_write_word(w, tool_thoughts[i].close);
        serve_put(w->out, " (");
        tool_write_text(w, tool_thoughts[i].close);
        serve_put(w->out, " \"\\n\"{0,3} body1)?");
    }
    serve_put(w->out, "\n");
}

void tool_write_word(struct tool_writer *w, const char *text)
{
    serve_put(w->out, "(");
    tool_write_text(w, text);
    serve_put(w->out, ")");
}

static bool write_all(struct tool_writer *w, const char *content)
{
    const struct tool_family *family = w->tools->family;
    bool good = true;
    if (content && !w->tools->forced) {
        tool_write_renamed(w, "c", content);
        serve_put(w->out, "content ::= c-root\n");
        w->content = true;
    }
    for (size_t k = 0; k < TOOL_FORMS && w->tools->choice != TOOLS_NONE && good; k++)
        good = !has_grammar(&family->forms[k]) || write_form(w, k);
    if (good && family->root)
        family->root(w);
    else if (good)
        write_root(w);
    return good;
}

bool toolset_grammar(struct toolset *t, const tare_tokenizer *tokenizer, const char *content, tare_grammar **grammar,
                     struct serve_failure *f)
{
    struct tare_error err = {0};
    *grammar = NULL;
    if (!content && t->choice == TOOLS_NONE)
        return true;
    struct tool_writer w = {.tools = t, .tokenizer = tokenizer, .out = evbuffer_new(), .failure = f};
    if (!w.out)
        return serve_fail(f, 503, NULL, "Out of memory.");
    const bool good = write_all(&w, content);
    const size_t size = evbuffer_get_length(w.out);
    const enum tare_code code = good ? tare_grammar_open(grammar, tokenizer, TARE_GRAMMAR_GBNF,
                                                         (const char *)evbuffer_pullup(w.out, -1), size, &err)
                                     : TARE_OK;
    evbuffer_free(w.out);
    t->guarded = good && !code && t->choice != TOOLS_NONE;
    if (code == TARE_E_FORMAT && !content && !t->forced)
        return true; /* too many tools for a grammar: calls are read, and told when they are whole */
    return good && (!code || serve_fail(f, code == TARE_E_MEMORY ? 503 : 400,
                                        content && !t->forced ? "response_format" : "tools",
                                        "The schema is not understood: %.300s", err.text));
}
