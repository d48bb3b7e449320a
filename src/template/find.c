/* SPDX-License-Identifier: MIT
 * find.c - finds the chat template of a model among its files, chooses one if there are several, and collects the
 * special tokens. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "open/checkpoint.h"
#include "template/template.h"
#include "text/tokenizer_config.h"

#define FILE_MOST ((uint64_t)64 << 20)

/* *json stays NULL when the file is not there. */
static enum tare_code read_json(const struct tare_checkpoint *checkpoint, const char *file, json_t **json,
                                struct tare_error *err)
{
    char *data = NULL;
    size_t size = 0;
    if (!tare_checkpoint_has(checkpoint, file))
        return TARE_OK;
    enum tare_code code = tare_checkpoint_read(checkpoint, file, FILE_MOST, &data, &size, err);
    if (!code)
        code = tare_json_parse(json, file, data, size, err);
    free(data);
    return code;
}

/* Reads additional_chat_templates/tool_use.jinja if it is there. It lies in a folder of its own, which
 * tare_checkpoint_read() does not enter. */
static enum tare_code read_tool_use(struct tare_template_text *text, const struct tare_checkpoint *checkpoint,
                                    struct tare_error *err)
{
    static const char name[] = "additional_chat_templates/tool_use.jinja";
    struct tare_bytes bytes;
    if (checkpoint->memory || checkpoint->gguf)
        return TARE_OK;
    enum tare_code code = tare_checkpoint_bytes(checkpoint, name, &bytes, err);
    if (code == TARE_E_ABSENT) {
        if (err)
            *err = (struct tare_error){0};
        return TARE_OK;
    }
    if (code)
        return code;
    const size_t size = (size_t)bytes.size;
    if (bytes.size > FILE_MOST)
        code = tare_fail(err, TARE_E_FORMAT, name, "the template is too large");
    else if (!(text->text = malloc(size + 1)))
        code = tare_fail_memory(err);
    else
        code = tare_bytes_read(&bytes, text->text, size, 0, err);
    tare_bytes_close(&bytes);
    text->file = name;
    text->size = size;
    return code;
}

/* Takes a template, unless one was found before. */
static enum tare_code use(struct tare_template_text *text, const char *file, const json_t *value,
                          struct tare_error *err)
{
    const size_t size = json_string_length(value);
    if (!value || text->text)
        return TARE_OK;
    if (!(text->text = malloc(size + 1)))
        return tare_fail_memory(err);
    memcpy(text->text, json_string_value(value), size + 1);
    text->file = file;
    text->size = size;
    return TARE_OK;
}

/* Takes chat_template, which is a text or a list of named texts, of which "default" and "tool_use" count. */
static enum tare_code use_value(tare_template *template, const char *file, const json_t *value, struct tare_error *err)
{
    const json_t *usual = NULL, *with_tools = NULL;
    if (json_is_string(value))
        return use(&template->usual, file, value, err);
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *entry = json_array_get(value, i), *text = json_object_get(entry, "template");
        const char *name = json_string_value(json_object_get(entry, "name"));
        if (!name || !json_is_string(text))
            return tare_fail(err, TARE_E_CONFIG, file, "chat_template[%zu] is no object with a name and a template", i);
        if (!strcmp(name, "tool_use"))
            with_tools = text;
        else if (!strcmp(name, "default"))
            usual = text;
    }
    if (!usual && !with_tools)
        return tare_fail(err, TARE_E_CONFIG, file, "chat_template is neither a text nor a list with one named default");
    const enum tare_code code = use(&template->usual, file, usual, err);
    return code ? code : use(&template->with_tools, file, with_tools, err);
}

/* The order is that of transformers: chat_template.jinja, chat_template.json, then chat_template in
 * tokenizer_config.json. */
static enum tare_code find_text(tare_template *template, const struct tare_checkpoint *checkpoint, const json_t *config,
                                struct tare_error *err)
{
    static const char plain[] = "chat_template.jinja", processor[] = "chat_template.json";
    json_t *json = NULL;
    enum tare_code code = read_tool_use(&template->with_tools, checkpoint, err);
    if (code)
        return code;
    if (tare_checkpoint_has(checkpoint, plain)) {
        template->usual.file = plain;
        return tare_checkpoint_read(checkpoint, plain, FILE_MOST, &template->usual.text, &template->usual.size, err);
    }
    code = read_json(checkpoint, processor, &json, err);
    const json_t *value = json_object_get(json, "chat_template");
    if (!code && value)
        code = use_value(template, processor, value, err);
    json_decref(json);
    value = json_object_get(config, "chat_template");
    if (!code && !template->usual.text && value && !json_is_null(value))
        code = use_value(template, "tokenizer_config.json", value, err);
    if (!code && !template->usual.text && !template->with_tools.text)
        code =
            tare_fail(err, TARE_E_ABSENT, plain,
                      "the model has no chat template: neither this file nor chat_template in tokenizer_config.json");
    return code;
}

/* Adds a special token, which is written as a text or as {"content": ..}. */
static int add_token(json_t *tokens, const char *key, const json_t *value)
{
    const json_t *content = json_is_object(value) ? json_object_get(value, "content") : value;
    return json_is_string(content) ? json_object_set_new(tokens, key, json_copy((json_t *)content)) : 0;
}

static enum tare_code find_tokens(tare_template *template, const json_t *config, struct tare_error *err)
{
    static const char *const names[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                        "pad_token", "cls_token", "mask_token"};
    json_t *extra = json_object_get(config, "extra_special_tokens"), *value;
    const char *key;
    if (!(template->tokens = json_object()))
        return tare_fail_memory(err);
    int failed = 0;
    /* There are none when it is no object. */
    json_object_foreach(extra, key, value)
    {
        failed |= add_token(template->tokens, key, value);
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        failed |= add_token(template->tokens, names[i], json_object_get(config, names[i]));
    return failed ? tare_fail_memory(err) : TARE_OK;
}

enum tare_code tare_template_find(tare_template *template, const struct tare_checkpoint *checkpoint,
                                  struct tare_error *err)
{
    json_t *config = NULL;
    enum tare_code code = tare_tokenizer_config_read(&config, checkpoint, err);
    if (!code)
        code = find_text(template, checkpoint, config, err);
    if (!code)
        code = find_tokens(template, config, err);
    json_decref(config);
    return code;
}
