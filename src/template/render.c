/* SPDX-License-Identifier: MIT
 * render.c - a template and variables to a text: the state of one rendering is made and released here. */
#include <stdlib.h>
#include <string.h>

#include "template/render.h"
#include "text/unicode.h"

static enum tare_code check(const char *template, size_t size, const char *name, struct tare_error *err)
{
    if (size > JINJA_TEXT_MOST)
        return tare_fail(err, TARE_E_FORMAT, name, "the template has more than %zu MiB", JINJA_TEXT_MOST >> 20);
    const size_t valid = tare_utf8_check(template, size);
    if (valid < size)
        return tare_fail(err, TARE_E_FORMAT, name, "the template is no UTF-8 at byte %zu", valid);
    if (memchr(template, '\0', size))
        return tare_fail(err, TARE_E_FORMAT, name, "the template has a NUL character");
    return TARE_OK;
}

static void run(struct jinja_state *s, const char *template, size_t size, const json_t *variables)
{
    struct jinja_tokens tokens = {0};
    struct jinja_scope root = {0};
    const struct jinja_value context = tare_jinja_from_json(s, variables, 0);
    struct jinja_node *tree = NULL;
    s->line = 1;
    if (!s->failed && tare_jinja_lex(s, template, size, &tokens))
        tree = tare_jinja_parse(s, &tokens);
    free(tokens.items);
    if (!tree || s->failed)
        return;
    s->context = context.as.dict;
    s->scope = &root;
    s->depth = 0;
    tare_jinja_exec(s, tree);
}

enum tare_code tare_template_run(const char *name, const char *template, size_t size, const json_t *variables,
                                 const char *clock, char **text, size_t *text_size, struct tare_error *err)
{
    struct tare_text out = {0};
    struct jinja_state s = {.err = err, .where = name, .clock = clock, .fuel = JINJA_FUEL, .out = &out};
    *text = NULL;
    *text_size = 0;
    const enum tare_code code = check(template, size, name, err);
    if (code)
        return code;
    run(&s, template, size, variables);
    tare_arena_release(&s.arena);
    if (!s.failed)
        tare_text_add(&out, "", 0); /* an empty text too has its NUL */
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

enum tare_code tare_template_variables(const char *text, size_t size, json_t **json, struct tare_error *err)
{
    const enum tare_code code = tare_json_parse(json, "variables", text, size, err);
    if (!code && !json_is_object(*json)) {
        json_decref(*json);
        *json = NULL;
        return tare_fail(err, TARE_E_FORMAT, "variables", "expected a JSON object of variables");
    }
    return code;
}

enum tare_code tare_template_render(const char *template, size_t size, const char *variables, size_t variables_size,
                                    const char *clock, char **text, size_t *text_size, struct tare_error *err)
{
    json_t *json = NULL;
    if (!template || !variables || !text || !text_size)
        return tare_fail(err, TARE_E_ARGUMENT, "", "tare_template_render needs a template, variables and places");
    *text = NULL;
    *text_size = 0;
    enum tare_code code = tare_template_variables(variables, variables_size, &json, err);
    if (!code)
        code = tare_template_run("template", template, size, json, clock, text, text_size, err);
    json_decref(json);
    return code;
}
