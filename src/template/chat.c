/* SPDX-License-Identifier: MIT
 * chat.c - turns a conversation into the variables of a template, as transformers' apply_chat_template does before
 * it renders. Source: transformers 5.23, tokenization_utils_base.py and utils/chat_template_utils.py. */
#include <stdlib.h>
#include <string.h>

#include "base/sized.h"
#include "open/checkpoint.h"
#include "template/template.h"
#include "text/unicode.h"

enum tare_code tare_template_open(tare_template **result, const char *path, const struct tare_options *options,
                                  struct tare_error *err)
{
    if (!result)
        return tare_fail_null(err, "tare_template_open");
    struct tare_checkpoint checkpoint = {0};
    *result = NULL;
    tare_template *template = calloc(1, sizeof *template);
    if (!template)
        return tare_fail_memory(err);
    enum tare_code code = tare_checkpoint_locate(&checkpoint, path, options, err);
    if (!code)
        code = tare_template_find(template, &checkpoint, err);
    tare_checkpoint_release(&checkpoint);
    if (code) {
        tare_template_free(template);
        return code;
    }
    *result = template;
    return TARE_OK;
}

enum tare_code tare_template_from_text(tare_template **result, const char *text, size_t size, struct tare_error *err)
{
    if (!result || (!text && size))
        return tare_fail_null(err, "tare_template_from_text");
    *result = NULL;
    tare_template *template = calloc(1, sizeof *template);
    char *copy = malloc(size + 1);
    if (!template || !copy) {
        free(template);
        free(copy);
        return tare_fail_memory(err);
    }
    memcpy(copy, text, size);
    copy[size] = '\0';
    template->usual = (struct tare_template_text){.file = "template", .text = copy, .size = size};
    *result = template;
    return TARE_OK;
}

void tare_template_free(tare_template *template)
{
    if (!template)
        return;
    free(template->usual.text);
    free(template->with_tools.text);
    json_decref(template->tokens);
    free(template);
}

/* ---- variables --------------------------------------------------------------------------------------------------- */

static enum tare_code read_list(json_t *variables, const char *key, const char *text, struct tare_error *err)
{
    json_t *list = NULL;
    const enum tare_code code = tare_json_parse_texts(&list, key, text, strlen(text), err);
    if (code)
        return code;
    return json_object_set_new(variables, key, list) ? tare_fail_memory(err) : TARE_OK;
}

static enum tare_code read_turns(json_t *variables, const struct tare_template_request *request, struct tare_error *err)
{
    const enum tare_code code = tare_sized_list_check(request->turns, request->n_turns, request->turns_stride,
                                                      sizeof *request->turns, "turns", err);
    if (code)
        return code;
    json_t *messages = json_array();
    int failed = json_object_set_new(variables, "messages", messages);
    for (size_t i = 0; i < request->n_turns && !failed; i++) {
        const struct tare_turn *turn = tare_sized_at(request->turns, i, request->turns_stride, sizeof *turn);
        if (!turn->content || !turn->role)
            return tare_fail(err, TARE_E_ARGUMENT, "turns", "turn %zu has no role or no content", i);
        const size_t n = strlen(turn->content), role = strlen(turn->role);
        if (tare_utf8_check(turn->content, n) < n || tare_utf8_check(turn->role, role) < role)
            return tare_fail(err, TARE_E_ARGUMENT, "turns", "turn %zu is no UTF-8", i);
        failed = json_array_append_new(messages, json_pack("{s:s, s:s}", "role", turn->role, "content", turn->content));
    }
    return failed ? tare_fail_memory(err) : TARE_OK;
}

/* Collects the variables: those of the request, then messages (or turns) and tools, which replace variables of the
 * same names. */
static enum tare_code read_request(json_t **variables, const struct tare_template_request *request,
                                   struct tare_error *err)
{
    enum tare_code code = TARE_OK;
    if (request->variables)
        code = tare_json_parse_texts(variables, "variables", request->variables, strlen(request->variables), err);
    else if (!(*variables = json_object()))
        code = tare_fail_memory(err);
    if (!code && !json_is_object(*variables))
        code = tare_fail(err, TARE_E_FORMAT, "variables", "expected a JSON object of variables");
    if (!code && request->messages)
        code = read_list(*variables, "messages", request->messages, err);
    else if (!code && request->turns)
        code = read_turns(*variables, request, err);
    if (!code && request->tools)
        code = read_list(*variables, "tools", request->tools, err);
    if (!code && request->add_generation_prompt &&
        json_object_set_new(*variables, "add_generation_prompt", json_true()))
        code = tare_fail_memory(err);
    return code;
}

/* Cleans a message as transformers does. A key whose value is null is removed, because templates ask whether it is
 * there. The thoughts of an assistant get both names that templates use, reasoning_content and thinking. */
static int clean_message(json_t *message)
{
    static const char *const names[] = {"reasoning_content", "thinking", "reasoning"};
    const char *key;
    json_t *value, *thought = NULL;
    void *next;
    json_object_foreach_safe(message, next, key, value)
    {
        if (json_is_null(value))
            json_object_del(message, key);
    }
    for (size_t i = 0; i < 3 && !thought; i++)
        thought = json_object_get(message, names[i]);
    if (!thought)
        return 0;
    int failed = json_object_set(message, "reasoning_content", thought);
    if (!json_object_get(message, "thinking"))
        failed |= json_object_set(message, "thinking", thought);
    return failed;
}

static int set_default(json_t *variables, const char *key, json_t *value)
{
    if (!json_object_get(variables, key))
        return json_object_set_new(variables, key, value);
    json_decref(value);
    return 0;
}

/* Adds what a template may rely on: the special tokens, tools, documents and add_generation_prompt, where they were
 * not given. */
static enum tare_code complete(const tare_template *template, json_t *variables, struct tare_error *err)
{
    json_t *const messages = json_object_get(variables, "messages"), *value;
    const char *key;
    int failed = 0;
    if (!json_is_array(messages))
        return tare_fail(err, TARE_E_FORMAT, "variables", "expected \"messages\", a list");
    for (size_t i = 0; i < json_array_size(messages); i++)
        failed |= clean_message(json_array_get(messages, i));
    /* The values are copied, because jansson's reference counts are not safe for several threads. */
    json_object_foreach(template->tokens, key, value)
    {
        failed |= set_default(variables, key, json_copy(value));
    }
    failed |= set_default(variables, "tools", json_null());
    failed |= set_default(variables, "documents", json_null());
    failed |= set_default(variables, "add_generation_prompt", json_false());
    return failed ? tare_fail_memory(err) : TARE_OK;
}

/* ---- rendering --------------------------------------------------------------------------------------------------- */

static enum tare_code render(const tare_template *template, json_t *variables, const char *clock, char **text,
                             size_t *text_size, struct tare_error *err)
{
    const json_t *tools = json_object_get(variables, "tools");
    const bool with_tools = tools && !json_is_null(tools) && template->with_tools.text;
    const struct tare_template_text *chosen = with_tools ? &template->with_tools : &template->usual;
    if (!chosen->text)
        return tare_fail(err, TARE_E_ABSENT, template->with_tools.file,
                         "the model has a template for conversations with tools only");
    const enum tare_code code = template->tokens ? complete(template, variables, err) : TARE_OK;
    if (code)
        return code;
    /* A text under this name sets the clock; it is no variable. */
    json_t *fixed = json_incref(json_object_get(variables, "strftime_now"));
    json_object_del(variables, "strftime_now");
    const enum tare_code done = tare_template_run(
        chosen, variables, json_is_string(fixed) ? json_string_value(fixed) : clock, text, text_size, err);
    json_decref(fixed);
    return done;
}

enum tare_code tare_template_render(const tare_template *template, const struct tare_template_request *request,
                                    char **text, size_t *text_size, struct tare_error *err)
{
    struct tare_template_request given;
    json_t *variables = NULL;
    if (!text || !text_size)
        return tare_fail(err, TARE_E_ARGUMENT, "", "tare_template_render needs places for the text and its size");
    *text = NULL;
    *text_size = 0;
    if (!template || !request)
        return tare_fail(err, TARE_E_ARGUMENT, "", "tare_template_render needs a template and a request");
    enum tare_code code = tare_sized_read(&given, sizeof given, request, "request", err);
    if (code)
        return code;
    code = read_request(&variables, &given, err);
    if (!code)
        code = render(template, variables, given.clock, text, text_size, err);
    json_decref(variables);
    return code;
}

void tare_template_request_init(struct tare_template_request *request, size_t size)
{
    tare_sized_init(request, size);
}
