/* SPDX-License-Identifier: MIT
 * messages.c - checks the messages of a chat. Parts that name an address or a file are refused, so that nothing in a
 * request makes this machine fetch or open anything. */
#include "serve/messages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/fields.h"

#define MESSAGES_MOST 10000

/* Joins the parts of a content. NULL: refused. A new reference. */
static json_t *content_of(const json_t *content, size_t at, struct serve_failure *f)
{
    json_t *joined = json_string("");
    for (size_t i = 0; i < json_array_size(content) && joined; i++) {
        const json_t *part = json_array_get(content, i), *text = json_object_get(part, "text");
        const char *type = json_string_value(json_object_get(part, "type"));
        const bool good = type && (!strcmp(type, "text") || !strcmp(type, "refusal")) && json_is_string(text);
        if (!good) {
            serve_fail(f, 400, "messages",
                       "messages[%zu].content[%zu] is no text; images, sounds and files are not taken.", at, i);
            json_decref(joined);
            return NULL;
        }
        const size_t a = json_string_length(joined), b = json_string_length(text);
        char *both = malloc(a + b + 1);
        if (both) {
            memcpy(both, json_string_value(joined), a);
            memcpy(both + a, json_string_value(text), b);
            json_string_setn(joined, both, a + b);
        }
        free(both);
    }
    return joined;
}

/* Calls of an earlier answer. Templates expect arguments as objects, and clients send them as text. A new reference. */
static json_t *calls_of(const json_t *calls, size_t at, bool as_text, struct serve_failure *f)
{
    json_t *made = json_array();
    if (!json_is_array(calls)) {
        serve_fail(f, 400, "messages", "messages[%zu].tool_calls must be a list.", at);
        json_decref(made);
        return NULL;
    }
    for (size_t i = 0; i < json_array_size(calls); i++) {
        json_t *call = json_deep_copy(json_array_get(calls, i)), *function = json_object_get(call, "function");
        const json_t *arguments = json_object_get(function, "arguments");
        if (!json_is_string(json_object_get(function, "name"))) {
            serve_fail(f, 400, "messages", "messages[%zu].tool_calls[%zu] has no function with a name.", at, i);
            json_decref(call);
            json_decref(made);
            return NULL;
        }
        json_t *object = json_is_string(arguments) && !as_text
                             ? json_loadb(json_string_value(arguments), json_string_length(arguments), 0, NULL)
                             : NULL;
        if (object)
            json_object_set_new(function, "arguments", object);
        json_array_append_new(made, call);
    }
    return made;
}

static bool is_role(const char *role)
{
    static const char *const roles[] = {"system", "developer", "user", "assistant", "tool"};
    for (size_t i = 0; role && i < sizeof roles / sizeof *roles; i++)
        if (!strcmp(role, roles[i]))
            return true;
    return false;
}

/* One message; NULL: refused. A new reference. */
static json_t *message_of(const json_t *message, size_t at, bool as_text, struct serve_failure *f)
{
    const char *role = json_string_value(json_object_get(message, "role"));
    const json_t *content = fields_get(message, "content"), *calls = fields_get(message, "tool_calls");
    if (!is_role(role)) {
        serve_fail(f, 400, "messages",
                   "messages[%zu] has no role, or one other than system, developer, user, assistant and tool.", at);
        return NULL;
    }
    const bool assistant = !strcmp(role, "assistant");
    if (!json_is_string(content) && !json_is_array(content) && (content || !assistant)) {
        serve_fail(f, 400, "messages", "messages[%zu].content must be a text or a list of parts.", at);
        return NULL;
    }
    json_t *text = json_is_array(content) ? content_of(content, at, f)
                   : content              ? json_incref((json_t *)(size_t)content)
                                          : json_string("");
    json_t *made = json_object(), *made_calls = NULL;
    if (text && calls && assistant)
        made_calls = calls_of(calls, at, as_text, f);
    if (!text || !made || f->status) {
        json_decref(text);
        json_decref(made);
        return NULL;
    }
    json_object_set_new(made, "role", json_string(!strcmp(role, "developer") ? "system" : role));
    json_object_set_new(made, "content", text);
    if (json_array_size(made_calls))
        json_object_set(made, "tool_calls", made_calls);
    json_decref(made_calls);
    static const char *const more[] = {"name", "tool_call_id", "reasoning_content"};
    for (size_t i = 0; i < sizeof more / sizeof *more; i++)
        if (json_is_string(json_object_get(message, more[i])))
            json_object_set(made, more[i], json_object_get(message, more[i]));
    return made;
}

/* Adds what tools there are, and how they are called, to the message of the system, which is made where there is none, or to the
 * first one of the user. */
static void describe(json_t *messages, const json_t *tools, bool to_user)
{
    static const char before[] = "You may call these functions:\n";
    static const char after[] = "\nTo call one, answer with nothing but JSON: {\"name\": NAME, \"arguments\": {..}}";
    const char *wanted = to_user ? "user" : "system";
    json_t *first = NULL;
    for (size_t i = 0; i < json_array_size(messages) && !first && (i == 0 || to_user); i++) {
        const char *role = json_string_value(json_object_get(json_array_get(messages, i), "role"));
        if (role && !strcmp(role, wanted))
            first = json_array_get(messages, i);
    }
    const char *said = first ? json_string_value(json_object_get(first, "content")) : "";
    char *list = json_dumps(tools, JSON_COMPACT);
    const size_t room = list ? strlen(said) + strlen(list) + sizeof before + sizeof after + 4 : 0;
    char *text = list ? malloc(room) : NULL;
    if (text) {
        snprintf(text, room, "%s%s%s%s%s", said, *said ? "\n\n" : "", before, list, after);
        if (first)
            json_object_set_new(first, "content", json_string(text));
        else
            json_array_insert_new(messages, 0, json_pack("{s:s, s:s}", "role", wanted, "content", text));
    }
    free(text);
    free(list);
}

/* Adds to a text content, with a line end between. */
static void add_content(json_t *message, const char *more)
{
    const char *said = json_string_value(json_object_get(message, "content"));
    const size_t room = strlen(said ? said : "") + strlen(more) + 2;
    char *text = malloc(room);
    if (!text)
        return;
    snprintf(text, room, "%s%s%s", said ? said : "", said && *said ? "\n" : "", more);
    json_object_set_new(message, "content", json_string(text));
    free(text);
}

/* Calls become the JSON that the model was asked for, and results what the user says; results that follow one another become one
 * message, because such templates want user and assistant in turn. */
static json_t *plain_messages(const json_t *messages)
{
    json_t *made = json_array();
    bool results = false;
    for (size_t i = 0; i < json_array_size(messages); i++) {
        json_t *message = json_deep_copy(json_array_get(messages, i)), *calls = json_object_get(message, "tool_calls");
        const char *role = json_string_value(json_object_get(message, "role"));
        const bool result = role && !strcmp(role, "tool");
        for (size_t k = 0; k < json_array_size(calls); k++) {
            const json_t *function = json_object_get(json_array_get(calls, k), "function");
            json_t *call = json_pack("{s:O?, s:O?}", "name", json_object_get(function, "name"), "arguments",
                                     json_object_get(function, "arguments"));
            char *text = json_dumps(call, 0);
            if (text)
                add_content(message, text);
            free(text);
            json_decref(call);
        }
        json_object_del(message, "tool_calls");
        if (result && results) {
            add_content(json_array_get(made, json_array_size(made) - 1),
                        json_string_value(json_object_get(message, "content")));
            json_decref(message);
        } else {
            if (result)
                json_object_set_new(message, "role", json_string("user"));
            json_array_append_new(made, message);
        }
        results = result;
    }
    return made;
}

/* ---- calls and their results ------------------------------------------------------------------------------------- */

/* An id of 9 letters and digits: the given one, or one made of it. */
static json_t *short_id(const char *id)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
    char made[10] = "";
    if (strlen(id) == 9 && strspn(id, letters) == 9)
        return json_string(id);
    for (const char *p = id; *p; p++)
        hash = (hash ^ (unsigned char)*p) * 0x100000001b3u;
    for (int i = 0; i < 9; i++, hash /= 62)
        made[i] = letters[hash % 62];
    return json_string(made);
}

static void shorten(json_t *object, const char *key)
{
    const char *id = json_string_value(json_object_get(object, key));
    if (id)
        json_object_set_new(object, key, short_id(id));
}

/* How far a call may be from its result, so that many results without a call take no time. */
#define CALL_FAR 200

/* The name of the last call of that id before message n. */
static json_t *name_of_call(const json_t *messages, size_t n, const char *id)
{
    for (size_t left = CALL_FAR; n-- > 0 && left > 0; left--) {
        const json_t *calls = json_object_get(json_array_get(messages, n), "tool_calls");
        for (size_t i = 0; i < json_array_size(calls); i++) {
            const json_t *call = json_array_get(calls, i);
            const char *has = json_string_value(json_object_get(call, "id"));
            if (has && !strcmp(has, id))
                return json_object_get(json_object_get(call, "function"), "name");
        }
    }
    return NULL;
}

/* Adds to messages what templates of families ask for: the name of the function whose result one is (FunctionGemma), thoughts under
 * the other name that is in use (gpt-oss, LFM2; they take no content beside them), and short ids. */
static void complete(json_t *messages, bool short_ids)
{
    for (size_t i = 0; i < json_array_size(messages); i++) {
        json_t *message = json_array_get(messages, i), *calls = json_object_get(message, "tool_calls");
        const char *id = json_string_value(json_object_get(message, "tool_call_id"));
        json_t *name = id && !json_object_get(message, "name") ? name_of_call(messages, i, id) : NULL;
        json_t *thought = json_object_get(message, "reasoning_content");
        if (name)
            json_object_set(message, "name", name);
        if (thought && json_string_length(json_object_get(message, "content")) == 0)
            json_object_set(message, "thinking", thought);
        for (size_t k = 0; k < json_array_size(calls) && short_ids; k++)
            shorten(json_array_get(calls, k), "id");
        if (short_ids)
            shorten(message, "tool_call_id");
    }
}

char *messages_normal(const json_t *body, const struct messages_form *form, struct serve_failure *f)
{
    const json_t *list = fields_get(body, "messages");
    const size_t n = json_array_size(list);
    if (!json_is_array(list) || n == 0 || n > MESSAGES_MOST) {
        serve_fail(f, 400, "messages", "messages must be a list of 1 to %d messages.", MESSAGES_MOST);
        return NULL;
    }
    json_t *made = json_array();
    for (size_t i = 0; i < n && !f->status; i++) {
        json_t *one = message_of(json_array_get(list, i), i, form->second && !form->plain, f);
        if (one)
            json_array_append_new(made, one);
    }
    complete(made, form->short_ids);
    if (form->plain && !f->status) {
        json_t *plain = plain_messages(made);
        json_decref(made);
        made = plain;
    }
    if (form->tools && !f->status)
        describe(made, form->tools, form->second);
    char *text = f->status ? NULL : json_dumps(made, JSON_COMPACT);
    json_decref(made);
    if (!text)
        serve_fail(f, 503, NULL, "Out of memory.");
    return text;
}

bool messages_variables(const json_t *body, char **variables, struct serve_failure *f)
{
    const json_t *given = fields_get(body, "chat_template_kwargs");
    const char *effort = NULL;
    *variables = NULL;
    if (given && !json_is_object(given))
        return serve_fail(f, 400, "chat_template_kwargs", "chat_template_kwargs must be an object.");
    if (!fields_text(body, "reasoning_effort", &effort, f))
        return false;
    if (!given && !effort)
        return true;
    json_t *all = given ? json_deep_copy(given) : json_object();
    if (effort)
        json_object_set_new(all, "reasoning_effort", json_string(effort));
    *variables = json_dumps(all, JSON_COMPACT);
    json_decref(all);
    return *variables || serve_fail(f, 503, NULL, "Out of memory.");
}
