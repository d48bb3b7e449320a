/* SPDX-License-Identifier: MIT
 * convert_body.c - builds the body of a chat out of other forms of requests. */
#include "serve/convert_body.h"

#include <stdlib.h>
#include <string.h>

#include "serve/fields.h"

void convert_field(json_t *to, const char *name, const json_t *from, const char *as)
{
    json_t *value = fields_get(from, as);
    if (value)
        json_object_set(to, name, value);
}

void convert_message(json_t *list, const char *role, json_t *content, json_t *calls)
{
    json_t *message = json_object();
    json_object_set_new(message, "role", json_string(role));
    json_object_set_new(message, "content", content ? content : json_null());
    if (calls)
        json_object_set_new(message, "tool_calls", calls);
    json_array_append_new(list, message);
}

json_t *convert_call(const char *id, const char *name, const char *arguments)
{
    return json_pack("{s:s?, s:s, s:{s:s?, s:s?}}", "id", id ? id : "", "type", "function", "function", "name", name,
                     "arguments", arguments);
}

json_t *convert_tool(const json_t *from, const char *parameters)
{
    json_t *function = json_object(), *tool = json_object();
    convert_field(function, "name", from, "name");
    convert_field(function, "description", from, "description");
    convert_field(function, "parameters", from, parameters);
    json_object_set_new(tool, "type", json_string("function"));
    json_object_set_new(tool, "function", function);
    return tool;
}

json_t *convert_text(const json_t *content, const char *const *types, struct serve_failure *f)
{
    struct evbuffer *all = evbuffer_new();
    if (json_is_string(content) || !content) {
        evbuffer_free(all);
        return content ? json_incref((json_t *)(size_t)content) : json_string("");
    }
    for (size_t i = 0; i < json_array_size(content); i++) {
        const json_t *part = json_array_get(content, i), *text = json_object_get(part, "text");
        const char *type = json_string_value(json_object_get(part, "type"));
        bool taken = false;
        for (size_t k = 0; type && types[k]; k++)
            taken |= !strcmp(type, types[k]) && json_is_string(text);
        if (!taken) {
            serve_fail(f, 400, "messages", "A content has a part that is no text; images and files are not taken.");
            evbuffer_free(all);
            return NULL;
        }
        evbuffer_add(all, json_string_value(text), json_string_length(text));
    }
    const size_t size = evbuffer_get_length(all);
    json_t *made = json_stringn(size ? (const char *)evbuffer_pullup(all, -1) : "", size);
    evbuffer_free(all);
    if (!json_is_array(content))
        serve_fail(f, 400, "messages", "A content must be a text or a list of parts.");
    return made;
}

bool convert_done(struct serve_job *job, json_t *made)
{
    job->given = job->body;
    job->body = made;
    return !job->failure.status && serve_prepare_chat(job);
}
