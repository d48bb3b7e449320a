/* SPDX-License-Identifier: MIT
 * responses.c - /v1/responses: the request becomes one for a chat, and the answer a response with items. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/convert_body.h"
#include "serve/fields.h"

/* ---- the request ------------------------------------------------------------------------------------------------- */

static bool take_item(json_t *messages, const json_t *item, struct serve_failure *f)
{
    static const char *const texts[] = {"input_text", "output_text", "text", "refusal", NULL};
    const char *type = json_string_value(json_object_get(item, "type"));
    const char *role = json_string_value(json_object_get(item, "role"));
    if (type && !strcmp(type, "reasoning"))
        return true;
    if (type && !strcmp(type, "function_call")) {
        json_t *calls = json_array();
        json_array_append_new(calls, convert_call(json_string_value(json_object_get(item, "call_id")),
                                                  json_string_value(json_object_get(item, "name")),
                                                  json_string_value(json_object_get(item, "arguments"))));
        convert_message(messages, "assistant", NULL, calls);
        return true;
    }
    if (type && !strcmp(type, "function_call_output")) {
        json_t *text = convert_text(json_object_get(item, "output"), texts, f);
        if (!text)
            return false;
        convert_message(messages, "tool", text, NULL);
        convert_field(json_array_get(messages, json_array_size(messages) - 1), "tool_call_id", item, "call_id");
        return true;
    }
    if (!role || (type && strcmp(type, "message") != 0))
        return serve_fail(f, 400, "input", "input has an item that is neither message nor function call nor output.");
    json_t *text = convert_text(json_object_get(item, "content"), texts, f);
    if (text)
        convert_message(messages, role, text, NULL);
    return text != NULL;
}

static json_t *take_input(const json_t *body, struct serve_failure *f)
{
    json_t *messages = json_array(), *input = fields_get(body, "input");
    const char *instructions = NULL;
    if (!fields_text(body, "instructions", &instructions, f))
        return messages;
    if (instructions)
        convert_message(messages, "system", json_string(instructions), NULL);
    if (json_is_string(input))
        convert_message(messages, "user", json_incref(input), NULL);
    else if (!json_is_array(input) || json_array_size(input) == 0)
        serve_fail(f, 400, "input", "input must be a text or a list of items.");
    for (size_t i = 0; i < json_array_size(input) && !f->status; i++)
        take_item(messages, json_array_get(input, i), f);
    return messages;
}

static void take_tools(json_t *made, const json_t *body, struct serve_failure *f)
{
    const json_t *tools = NULL, *choice = fields_get(body, "tool_choice");
    json_t *list = json_array();
    fields_list(body, "tools", &tools, f);
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const json_t *tool = json_array_get(tools, i);
        const char *type = json_string_value(json_object_get(tool, "type"));
        if (type && !strcmp(type, "function")) /* tools that OpenAI runs itself are not offered to the model */
            json_array_append_new(list, convert_tool(tool, "parameters"));
    }
    if (json_array_size(list))
        json_object_set(made, "tools", list);
    const char *name = json_string_value(json_object_get(choice, "name"));
    if (name)
        json_object_set_new(made, "tool_choice",
                            json_pack("{s:s, s:{s:s}}", "type", "function", "function", "name", name));
    else if (json_array_size(list) || !json_is_string(choice))
        convert_field(made, "tool_choice", body, "tool_choice");
    json_decref(list);
}

/* The form of the text, and how much is thought about it. */
static void take_text(json_t *made, const json_t *body, struct serve_failure *f)
{
    const json_t *text = NULL, *reasoning = NULL;
    if (!fields_object(body, "text", &text, f) || !fields_object(body, "reasoning", &reasoning, f))
        return;
    convert_field(made, "reasoning_effort", reasoning, "effort");
    json_t *format = fields_get(text, "format");
    const char *type = json_string_value(json_object_get(format, "type"));
    if (type && !strcmp(type, "json_schema"))
        json_object_set_new(made, "response_format", json_pack("{s:s, s:O}", "type", type, "json_schema", format));
    else if (format)
        json_object_set(made, "response_format", format);
}

/* The failure of a chat names a chat's field; here it has another name. */
static void rename_param(struct serve_failure *f, const char *chat, const char *name)
{
    if (!strcmp(f->param, chat))
        snprintf(f->param, sizeof f->param, "%s", name);
}

bool serve_prepare_responses(struct serve_job *job)
{
    const json_t *body = job->body;
    static const char *const same[] = {"model", "temperature", "top_p", "stream", "parallel_tool_calls", "seed"};
    json_t *made = json_object();
    int64_t most = -1;
    if (fields_get(body, "previous_response_id"))
        serve_fail(&job->failure, 400, "previous_response_id", "Responses are not kept here; send the whole input.");
    fields_integer(body, "max_output_tokens", 1, INT64_MAX, &most, &job->failure);
    json_object_set_new(made, "messages", take_input(body, &job->failure));
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        convert_field(made, same[i], body, same[i]);
    convert_field(made, "max_tokens", body, "max_output_tokens");
    take_text(made, body, &job->failure);
    take_tools(made, body, &job->failure);
    const bool good = convert_done(job, made);
    rename_param(&job->failure, "messages", "input");
    rename_param(&job->failure, "response_format", "text");
    rename_param(&job->failure, "reasoning_effort", "reasoning");
    return good;
}

/* ---- the answer -------------------------------------------------------------------------------------------------- */

static bool incomplete(const struct serve_job *job)
{
    return !strcmp(serve_finish_word(job, 0), "length");
}

static void put_part(struct serve_job *job, const char *text, size_t size, struct evbuffer *out)
{
    (void)job;
    serve_put(out, "{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":");
    serve_put_json(out, text, size);
    serve_put(out, "}");
}

/* An item: `text` of a message or thought, or a call. */
static void put_item(struct serve_job *job, int kind, size_t number, const char *status, const char *text, size_t size,
                     struct evbuffer *out)
{
    const struct serve_choice *c = &job->choices[0];
    if (kind == SERVE_ITEM_TEXT) {
        evbuffer_add_printf(out,
                            "{\"id\":\"msg_%s_%zu\",\"type\":\"message\",\"role\":\"assistant\",\"status\":\"%s\","
                            "\"content\":[",
                            job->id + 5, number, status);
        if (text)
            put_part(job, text, size, out);
        serve_put(out, "]}");
    } else if (kind == SERVE_ITEM_THOUGHT) {
        evbuffer_add_printf(
            out, "{\"id\":\"rs_%s_%zu\",\"type\":\"reasoning\",\"summary\":[],\"status\":\"%s\",\"content\":[",
            job->id + 5, number, status);
        if (text) {
            serve_put(out, "{\"type\":\"reasoning_text\",\"text\":");
            serve_put_json(out, text, size);
            serve_put(out, "}");
        }
        serve_put(out, "]}");
    } else {
        const struct tool_call *call = &c->parser.calls[size];
        evbuffer_add_printf(out,
                            "{\"id\":\"fc_%s_%zu\",\"type\":\"function_call\",\"status\":\"%s\",\"call_id\":\"%s\","
                            "\"name\":\"%s\",\"arguments\":",
                            job->id + 5, number, status, call->id, call->name);
        serve_put_json(out, text && call->arguments.data ? call->arguments.data : "", text ? call->arguments.size : 0);
        serve_put(out, "}");
    }
}

static void put_output(struct serve_job *job, struct evbuffer *out)
{
    struct serve_choice *c = &job->choices[0];
    const char *status = incomplete(job) ? "incomplete" : "completed";
    size_t n = 0;
    struct evbuffer *texts[] = {c->reasoning, c->text};
    for (int i = 0; i < 2; i++) {
        const size_t size = evbuffer_get_length(texts[i]);
        if (size || (i == 1 && !c->parser.n_calls && n == 0)) {
            serve_put(out, n ? "," : "");
            put_item(job, i ? SERVE_ITEM_TEXT : SERVE_ITEM_THOUGHT, n, status,
                     size ? (const char *)evbuffer_pullup(texts[i], -1) : "", size, out);
            n++;
        }
    }
    for (size_t i = 0; i < c->parser.n_calls; i++, n++) {
        serve_put(out, n ? "," : "");
        put_item(job, SERVE_ITEM_CALL, n, "completed", "", i, out);
    }
}

static void put_given(const struct serve_job *job, const char *name, const char *otherwise, struct evbuffer *out)
{
    const json_t *value = fields_get(job->given, name);
    char *text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    evbuffer_add_printf(out, ",\"%s\":", name);
    serve_put(out, text ? text : otherwise);
    free(text);
}

static void put_response(struct serve_job *job, const char *status, struct evbuffer *out)
{
    const bool over = strcmp(status, "in_progress") != 0;
    evbuffer_add_printf(
        out, "{\"id\":\"%s\",\"object\":\"response\",\"created_at\":%" PRId64 ",\"status\":\"%s\",\"model\":", job->id,
        (int64_t)job->created, status);
    serve_put_json(out, job->model->id, strlen(job->model->id));
    serve_put(out, ",\"error\":null,\"incomplete_details\":");
    serve_put(out, over && incomplete(job) ? "{\"reason\":\"max_output_tokens\"}" : "null");
    put_given(job, "instructions", "null", out);
    put_given(job, "metadata", "{}", out);
    put_given(job, "tools", "[]", out);
    put_given(job, "tool_choice", "\"auto\"", out);
    put_given(job, "parallel_tool_calls", "true", out);
    put_given(job, "temperature", "1.0", out);
    put_given(job, "top_p", "1.0", out);
    put_given(job, "max_output_tokens", "null", out);
    serve_put(out, ",\"previous_response_id\":null,\"store\":false,\"output\":[");
    if (over)
        put_output(job, out);
    serve_put(out, "],\"usage\":");
    if (over)
        evbuffer_add_printf(out,
                            "{\"input_tokens\":%" PRId64
                            ",\"input_tokens_details\":{\"cached_tokens\":%zu,\"cache_write_tokens\":0},"
                            "\"output_tokens\":%" PRId64 ",\"output_tokens_details\":{\"reasoning_tokens\":%" PRId64
                            "},\"total_tokens\":%" PRId64 "}",
                            serve_job_prompt_tokens(job), job->cached, serve_job_tokens(job),
                            job->choices[0].reasoning_tokens, serve_job_prompt_tokens(job) + serve_job_tokens(job));
    else
        serve_put(out, "null");
    serve_put(out, "}");
}

static void whole(struct serve_job *job, struct evbuffer *out)
{
    put_response(job, incomplete(job) ? "incomplete" : "completed", out);
}

/* ---- the stream -------------------------------------------------------------------------------------------------- */

static void open_event(struct serve_job *job, const char *type, struct evbuffer *out)
{
    evbuffer_add_printf(out, "event: %s\ndata: {\"type\":\"%s\",\"sequence_number\":%" PRId64, type, type,
                        job->sequence++);
}

static void put_response_event(struct serve_job *job, const char *type, const char *status, struct evbuffer *out)
{
    open_event(job, type, out);
    serve_put(out, ",\"response\":");
    put_response(job, status, out);
    serve_put(out, "}\n\n");
}

static void put_place(const struct serve_job *job, const char *prefix, struct evbuffer *out)
{
    evbuffer_add_printf(out, ",\"item_id\":\"%s_%s_%zu\",\"output_index\":%zu", prefix, job->id + 5, job->item,
                        job->item);
}

static void put_item_event(struct serve_job *job, const char *type, int kind, const char *status, const char *text,
                           size_t size, struct evbuffer *out)
{
    open_event(job, type, out);
    evbuffer_add_printf(out, ",\"output_index\":%zu,\"item\":", job->item);
    put_item(job, kind, job->item, status, text, size, out);
    serve_put(out, "}\n\n");
}

static void begin(struct serve_job *job, struct evbuffer *out)
{
    put_response_event(job, "response.created", "in_progress", out);
    put_response_event(job, "response.in_progress", "in_progress", out);
}

static void put_text_event(struct serve_job *job, const char *type, const char *name, const char *text, size_t size,
                           struct evbuffer *out)
{
    open_event(job, type, out);
    put_place(job, job->open == SERVE_ITEM_TEXT ? "msg" : "rs", out);
    evbuffer_add_printf(out, ",\"content_index\":0%s,\"%s\":", job->open == SERVE_ITEM_TEXT ? ",\"logprobs\":[]" : "",
                        name);
    serve_put_json(out, text, size);
    serve_put(out, "}\n\n");
}

static void put_part_event(struct serve_job *job, const char *type, const char *text, size_t size, struct evbuffer *out)
{
    open_event(job, type, out);
    put_place(job, "msg", out);
    serve_put(out, ",\"content_index\":0,\"part\":");
    put_part(job, text, size, out);
    serve_put(out, "}\n\n");
}

/* Ends the open item, if there is one. */
static void close_item(struct serve_job *job, const char *status, struct evbuffer *out)
{
    struct serve_choice *c = &job->choices[0];
    struct evbuffer *all = job->open == SERVE_ITEM_TEXT ? c->text : c->reasoning;
    const size_t size = evbuffer_get_length(all) - job->opened_at;
    const char *text = size ? (const char *)evbuffer_pullup(all, -1) + job->opened_at : "";
    if (job->open == SERVE_ITEM_NONE)
        return;
    if (job->open == SERVE_ITEM_TEXT) {
        put_text_event(job, "response.output_text.done", "text", text, size, out);
        put_part_event(job, "response.content_part.done", text, size, out);
    } else {
        put_text_event(job, "response.reasoning_text.done", "text", text, size, out);
    }
    put_item_event(job, "response.output_item.done", (int)job->open, status, text, size, out);
    job->open = SERVE_ITEM_NONE;
    job->item++;
}

/* Ends the open call with what there is of its arguments. */
static void close_call(struct serve_job *job, const char *status, struct evbuffer *out)
{
    const struct tool_parser *parser = &job->choices[0].parser;
    if (job->open != SERVE_ITEM_CALL)
        return;
    const struct tool_call *call = &parser->calls[parser->n_calls - 1];
    open_event(job, "response.function_call_arguments.done", out);
    put_place(job, "fc", out);
    evbuffer_add_printf(out, ",\"name\":\"%s\",\"arguments\":", call->name);
    serve_put_json(out, call->arguments.data ? call->arguments.data : "", call->arguments.size);
    serve_put(out, "}\n\n");
    put_item_event(job, "response.output_item.done", SERVE_ITEM_CALL, status, "", parser->n_calls - 1, out);
    job->open = SERVE_ITEM_NONE;
    job->item++;
}

static void put_call(struct serve_job *job, const struct tool_piece *p, struct evbuffer *out)
{
    if (p->kind == TOOL_CALL) {
        close_item(job, "completed", out);
        put_item_event(job, "response.output_item.added", SERVE_ITEM_CALL, "in_progress", NULL, p->call, out);
        job->open = SERVE_ITEM_CALL;
        return;
    }
    if (p->kind == TOOL_CALL_END) {
        close_call(job, "completed", out);
        return;
    }
    open_event(job, "response.function_call_arguments.delta", out);
    put_place(job, "fc", out);
    serve_put(out, ",\"delta\":");
    serve_put_json(out, p->text, p->size);
    serve_put(out, "}\n\n");
}

/* Opens a message or a thought, of which `begun` bytes are in its buffer already. */
static void open_item(struct serve_job *job, bool text, size_t begun, struct evbuffer *out)
{
    const struct serve_choice *c = &job->choices[0];
    close_item(job, "completed", out);
    job->open = text ? SERVE_ITEM_TEXT : SERVE_ITEM_THOUGHT;
    job->opened_at = evbuffer_get_length(text ? c->text : c->reasoning) - begun;
    put_item_event(job, "response.output_item.added", (int)job->open, "in_progress", NULL, 0, out);
    if (text)
        put_part_event(job, "response.content_part.added", "", 0, out);
}

static void piece(struct serve_job *job, size_t choice, const struct tool_piece *p, struct evbuffer *out)
{
    (void)choice;
    if (p->kind != TOOL_TEXT && p->kind != TOOL_THOUGHT) {
        put_call(job, p, out);
        return;
    }
    const bool text = p->kind == TOOL_TEXT;
    if (job->open != (text ? SERVE_ITEM_TEXT : SERVE_ITEM_THOUGHT))
        open_item(job, text, p->size, out);
    put_text_event(job, text ? "response.output_text.delta" : "response.reasoning_text.delta", "delta", p->text,
                   p->size, out);
}

static void end(struct serve_job *job, struct evbuffer *out)
{
    const bool cut = incomplete(job);
    close_call(job, "incomplete", out);
    if (job->open == SERVE_ITEM_NONE && job->item == 0)
        open_item(job, true, 0, out); /* an answer without a word is a message all the same */
    close_item(job, cut ? "incomplete" : "completed", out);
    put_response_event(job, cut ? "response.incomplete" : "response.completed", cut ? "incomplete" : "completed", out);
}

const struct serve_form serve_form_responses = {.begin = begin, .piece = piece, .end = end, .whole = whole};
