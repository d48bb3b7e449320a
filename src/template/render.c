/* SPDX-License-Identifier: MIT
 * render.c - renders a template with variables into a text; the state of one rendering is made and released here. */
#include <stdlib.h>
#include <string.h>

#include "template/jinja.h"
#include "template/template.h"
#include "text/unicode.h"

static enum tare_code check(const char *template, size_t size, const char *name, struct tare_error *err)
{
    if (size > TARE_JINJA_TEXT_MOST)
        return tare_fail(err, TARE_E_FORMAT, name, "the template has more than %zu MiB", TARE_JINJA_TEXT_MOST >> 20);
    const size_t valid = tare_utf8_check(template, size);
    if (valid < size)
        return tare_fail(err, TARE_E_FORMAT, name, "the template is no UTF-8 at byte %zu", valid);
    if (memchr(template, '\0', size))
        return tare_fail(err, TARE_E_FORMAT, name, "the template has a NUL character");
    return TARE_OK;
}

static void run(struct tare_jinja_state *s, const char *template, size_t size, const json_t *variables)
{
    struct tare_jinja_tokens tokens = {0};
    struct tare_jinja_scope root = {0};
    const struct tare_jinja_value context = tare_jinja_from_json(s, variables, 0);
    struct tare_jinja_node *tree = NULL;
    s->line = 1;
    if (!s->failed && tare_jinja_lex(s, template, size, &tokens))
        tree = tare_jinja_parse(s, &tokens);
    free(tokens.items);
    if (!tree || s->failed)
        return;
    s->context = context.as.dict;
    /* cppcheck-suppress autoVariables ; nothing looks at it when this has returned */
    s->scope = &root;
    s->depth = 0;
    tare_jinja_exec(s, tree);
}

enum tare_code tare_template_run(const struct tare_template_text *template, const json_t *variables, const char *clock,
                                 char **text, size_t *text_size, struct tare_error *err)
{
    struct tare_text out = {0};
    struct tare_jinja_state s = {
        .err = err, .where = template->file, .clock = clock, .fuel = TARE_JINJA_FUEL, .out = &out};
    *text = NULL;
    *text_size = 0;
    const enum tare_code code = check(template->text, template->size, template->file, err);
    if (code)
        return code;
    run(&s, template->text, template->size, variables);
    tare_arena_release(&s.arena);
    if (!s.failed)
        /* An empty text has a NUL too. */
        tare_text_add(&out, "", 0);
    if (!s.failed && out.failed) {
        s.failed = true;
        s.code = tare_fail_memory(err);
    }
    if (s.failed) {
        tare_text_release(&out);
        return s.code;
    }
    *text = out.data;
    *text_size = out.size;
    return TARE_OK;
}
