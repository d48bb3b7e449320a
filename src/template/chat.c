/* SPDX-License-Identifier: MIT
 * chat.c - the chat template of a model: which file has it, which of several it is, and what transformers'
 * apply_chat_template does to messages before it renders them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "open/checkpoint.h"
#include "template/render.h"

#define FILE_MOST ((uint64_t)64 << 20)

struct chat {
    struct tare_checkpoint checkpoint;
    json_t *config;    /* tokenizer_config.json, or NULL */
    json_t *processor; /* chat_template.json, or NULL */
    json_t *given;
    char *file; /* bytes of a .jinja file */
    const char *name, *template;
    size_t size;
};

/* NULL in *json when the file is not there. */
static enum tare_code load(struct chat *chat, const char *file, json_t **json, struct tare_error *err)
{
    char *data = NULL;
    size_t size = 0;
    if (!tare_checkpoint_has(&chat->checkpoint, file))
        return TARE_OK;
    enum tare_code code = tare_checkpoint_read(&chat->checkpoint, file, FILE_MOST, &data, &size, err);
    if (!code)
        code = tare_json_parse(json, file, data, size, err);
    free(data);
    return code;
}

/* additional_chat_templates/tool_use.jinja lies in a folder of its own; *found: it is there. */
static enum tare_code read_tool_use(struct chat *chat, bool *found, struct tare_error *err)
{
    static const char name[] = "additional_chat_templates/tool_use.jinja";
    char path[4096];
    int fd = -1;
    uint64_t size = 0;
    *found = false;
    if (!chat->checkpoint.folder ||
        snprintf(path, sizeof path, "%s/%s", chat->checkpoint.folder, name) >= (int)sizeof path)
        return TARE_OK;
    enum tare_code code = tare_file_open(&fd, &size, path, name, err);
    if (code == TARE_E_ABSENT) {
        if (err)
            *err = (struct tare_error){0};
        return TARE_OK;
    }
    if (!code && size > FILE_MOST)
        code = tare_fail(err, TARE_E_FORMAT, name, "the template is too large");
    if (!code && !(chat->file = malloc((size_t)size + 1)))
        code = tare_fail_memory(err);
    if (!code)
        code = tare_file_read(fd, chat->file, (size_t)size, 0, name, err);
    if (fd >= 0)
        close(fd);
    chat->name = name;
    chat->template = chat->file;
    chat->size = (size_t)size;
    *found = !code;
    return code;
}

static void use(struct chat *chat, const char *name, const json_t *text)
{
    chat->name = name;
    chat->template = json_string_value(text);
    chat->size = json_string_length(text);
}

/* One template, or a list of named ones: tool_use where tools are given, else default. */
static enum tare_code choose(struct chat *chat, const char *file, const json_t *value, bool tools,
                             struct tare_error *err)
{
    const json_t *chosen = NULL;
    if (json_is_string(value)) {
        use(chat, file, value);
        return TARE_OK;
    }
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *entry = json_array_get(value, i), *text = json_object_get(entry, "template");
        const char *name = json_string_value(json_object_get(entry, "name"));
        if (!name || !json_is_string(text))
            return tare_fail(err, TARE_E_CONFIG, file, "chat_template[%zu] is no object with a name and a template", i);
        if (!strcmp(name, tools ? "tool_use" : "default") || (!chosen && !strcmp(name, "default")))
            chosen = text;
    }
    if (!chosen)
        return tare_fail(err, TARE_E_CONFIG, file, "chat_template is neither a text nor a list with one named default");
    use(chat, file, chosen);
    return TARE_OK;
}

static enum tare_code find_template(struct chat *chat, bool tools, struct tare_error *err)
{
    const json_t *value;
    bool found = false;
    enum tare_code code = tools ? read_tool_use(chat, &found, err) : TARE_OK;
    if (code || found)
        return code;
    if (tare_checkpoint_has(&chat->checkpoint, "chat_template.jinja")) {
        chat->name = "chat_template.jinja";
        code = tare_checkpoint_read(&chat->checkpoint, chat->name, FILE_MOST, &chat->file, &chat->size, err);
        chat->template = chat->file;
        return code;
    }
    if ((code = load(chat, "chat_template.json", &chat->processor, err)))
        return code;
    value = json_object_get(chat->processor, "chat_template");
    if (value)
        return choose(chat, "chat_template.json", value, tools, err);
    value = json_object_get(chat->config, "chat_template");
    if (value && !json_is_null(value))
        return choose(chat, "tokenizer_config.json", value, tools, err);
    return tare_fail(err, TARE_E_ABSENT, "chat_template.jinja",
                     "the model has no chat template: neither this file nor chat_template in tokenizer_config.json");
}

/* ---- variables --------------------------------------------------------------------------------------------------- */

static int add_token(json_t *given, const char *key, json_t *value)
{
    json_t *content = json_is_object(value) ? json_object_get(value, "content") : value;
    if (!json_is_string(content) || json_object_get(given, key))
        return 0;
    return json_object_set(given, key, content);
}

static int add_tokens(struct chat *chat)
{
    static const char *const names[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                        "pad_token", "cls_token", "mask_token"};
    json_t *extra = json_object_get(chat->config, "extra_special_tokens"), *value;
    const char *key;
    int failed = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        failed |= add_token(chat->given, names[i], json_object_get(chat->config, names[i]));
    if (json_is_object(extra))
        json_object_foreach(extra, key, value) failed |= add_token(chat->given, key, value);
    return failed;
}

/* A key whose value is null is as good as absent; what an assistant thought has two names. */
static int clean_message(json_t *message)
{
    static const char *const names[] = {"reasoning_content", "thinking", "reasoning"};
    const char *key;
    json_t *value, *thought = NULL;
    void *next;
    json_object_foreach_safe(message, next, key, value) if (json_is_null(value)) json_object_del(message, key);
    for (size_t i = 0; i < 3 && !thought; i++)
        thought = json_object_get(message, names[i]);
    if (!thought)
        return 0;
    int failed = json_object_set(message, "reasoning_content", thought);
    if (!json_object_get(message, "thinking"))
        failed |= json_object_set(message, "thinking", thought);
    return failed;
}

static enum tare_code complete(struct chat *chat, struct tare_error *err)
{
    json_t *const messages = json_object_get(chat->given, "messages");
    int failed = add_tokens(chat);
    if (!json_is_array(messages))
        return tare_fail(err, TARE_E_FORMAT, "variables", "expected \"messages\", a list");
    for (size_t i = 0; i < json_array_size(messages); i++)
        failed |= clean_message(json_array_get(messages, i));
    if (!json_object_get(chat->given, "tools"))
        failed |= json_object_set_new(chat->given, "tools", json_null());
    if (!json_object_get(chat->given, "documents"))
        failed |= json_object_set_new(chat->given, "documents", json_null());
    if (!json_object_get(chat->given, "add_generation_prompt"))
        failed |= json_object_set_new(chat->given, "add_generation_prompt", json_false());
    return failed ? tare_fail_memory(err) : TARE_OK;
}

enum tare_code tare_chat_render(const char *path, const struct tare_options *options, const char *variables,
                                size_t size, const char *clock, char **text, size_t *text_size, struct tare_error *err)
{
    struct chat chat = {0};
    if (!path || !variables || !text || !text_size)
        return tare_fail(err, TARE_E_ARGUMENT, "", "tare_chat_render needs a path, variables and places");
    *text = NULL;
    *text_size = 0;
    enum tare_code code = tare_template_variables(variables, size, &chat.given, err);
    if (!code)
        code = tare_checkpoint_locate(&chat.checkpoint, path, options, err);
    if (!code)
        code = load(&chat, "tokenizer_config.json", &chat.config, err);
    const json_t *tools = json_object_get(chat.given, "tools");
    if (!code)
        code = find_template(&chat, tools && !json_is_null(tools), err);
    if (!code)
        code = complete(&chat, err);
    if (!code) {
        json_t *fixed = json_incref(json_object_get(chat.given, "strftime_now")); /* no variable, but the clock */
        json_object_del(chat.given, "strftime_now");
        code = tare_template_run(chat.name, chat.template, chat.size, chat.given,
                                 json_is_string(fixed) ? json_string_value(fixed) : clock, text, text_size, err);
        json_decref(fixed);
    }
    json_decref(chat.given);
    json_decref(chat.config);
    json_decref(chat.processor);
    free(chat.file);
    tare_checkpoint_release(&chat.checkpoint);
    return code;
}
