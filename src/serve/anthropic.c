/* SPDX-License-Identifier: MIT
 * anthropic.c - /v1/messages, Anthropic's form, which coding agents speak: the request becomes one for a chat. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "serve/convert_body.h"
#include "serve/fields.h"

static const char *const texts[] = {"text", NULL};

/* ---- the request ------------------------------------------------------------------------------------------------- */

static bool is_type(const json_t *part, const char *type)
{
    const char *has = json_string_value(json_object_get(part, "type"));
    return has && !strcmp(has, type);
}

/* Results of tools become messages of their own, in front of what the user says. */
static void take_results(json_t *messages, const json_t *content, struct serve_failure *f)
{
    for (size_t i = 0; i < json_array_size(content) && !f->status; i++) {
        const json_t *part = json_array_get(content, i);
        if (!is_type(part, "tool_result"))
            continue;
        json_t *text = convert_text(fields_get(part, "content"), texts, f);
        if (!text)
            return;
        convert_message(messages, "tool", text, NULL);
        convert_field(json_array_get(messages, json_array_size(messages) - 1), "tool_call_id", part, "tool_use_id");
    }
}

static void take_message(json_t *messages, const json_t *message, struct serve_failure *f)
{
    const char *role = json_string_value(json_object_get(message, "role"));
    const json_t *content = fields_get(message, "content");
    if (!role || (strcmp(role, "user") && strcmp(role, "assistant"))) {
        serve_fail(f, 400, "messages", "The role of a message must be user or assistant.");
        return;
    }
    if (!json_is_array(content)) {
        if (json_is_string(content))
            convert_message(messages, role, json_incref((json_t *)(size_t)content), NULL);
        else
            serve_fail(f, 400, "messages", "The content of a message must be a text or a list of blocks.");
        return;
    }
    json_t *parts = json_array(), *calls = json_array();
    take_results(messages, content, f);
    for (size_t i = 0; i < json_array_size(content); i++) {
        json_t *part = json_array_get(content, i);
        if (is_type(part, "tool_use")) {
            char *input = json_dumps(json_object_get(part, "input"), JSON_COMPACT | JSON_ENCODE_ANY);
            json_array_append_new(calls, convert_call(json_string_value(json_object_get(part, "id")),
                                                      json_string_value(json_object_get(part, "name")), input));
            free(input);
        } else if (!is_type(part, "tool_result") && !is_type(part, "thinking") && !is_type(part, "redacted_thinking")) {
            json_array_append(parts, part);
        }
    }
    const bool some = json_array_size(parts) > 0, called = json_array_size(calls) > 0;
    json_t *text = convert_text(parts, texts, f);
    if (text && (some || called))
        convert_message(messages, role, text, called ? json_incref(calls) : NULL);
    else
        json_decref(text);
    json_decref(parts);
    json_decref(calls);
}

static void take_tools(json_t *made, const json_t *body, struct serve_failure *f)
{
    const json_t *tools = NULL, *choice = fields_get(body, "tool_choice");
    const char *type = json_string_value(json_object_get(choice, "type"));
    bool single = false;
    json_t *list = json_array();
    fields_list(body, "tools", &tools, f);
    for (size_t i = 0; i < json_array_size(tools); i++)
        if (fields_get(json_array_get(tools, i), "input_schema"))
            json_array_append_new(list, convert_tool(json_array_get(tools, i), "input_schema"));
    if (json_array_size(list))
        json_object_set(made, "tools", list);
    json_decref(list);
    if (!choice)
        return;
    fields_flag(choice, "disable_parallel_tool_use", &single, f);
    json_object_set_new(made, "parallel_tool_calls", json_boolean(!single));
    if (type && !strcmp(type, "tool"))
        json_object_set_new(
            made, "tool_choice",
            json_pack("{s:s, s:{s:O?}}", "type", "function", "function", "name", fields_get(choice, "name")));
    else if (type && (!strcmp(type, "any") || !strcmp(type, "auto") || !strcmp(type, "none")))
        json_object_set_new(made, "tool_choice", json_string(!strcmp(type, "any") ? "required" : type));
    else
        serve_fail(f, 400, "tool_choice", "tool_choice.type must be auto, any, tool or none.");
}

bool serve_prepare_messages(struct serve_job *job)
{
    static const char *const same[] = {"model", "temperature", "top_p", "top_k", "stream", "max_tokens"};
    const json_t *body = job->body, *list = fields_get(body, "messages");
    struct serve_failure *f = &job->failure;
    json_t *made = json_object(), *messages = json_array();
    int64_t most = 0;
    if (!fields_get(body, "max_tokens"))
        serve_fail(f, 400, "max_tokens", "max_tokens is missing.");
    fields_integer(body, "max_tokens", 1, INT64_MAX, &most, f);
    if (fields_get(body, "system")) {
        json_t *text = convert_text(fields_get(body, "system"), texts, f);
        if (text)
            convert_message(messages, "system", text, NULL);
    }
    if (!json_is_array(list) || json_array_size(list) == 0)
        serve_fail(f, 400, "messages", "messages must be a list of at least one message.");
    for (size_t i = 0; i < json_array_size(list) && !f->status; i++)
        take_message(messages, json_array_get(list, i), f);
    json_object_set_new(made, "messages", messages);
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        convert_field(made, same[i], body, same[i]);
    convert_field(made, "stop", body, "stop_sequences");
    take_tools(made, body, f);
    return convert_done(job, made);
}

/* ---- the answer -------------------------------------------------------------------------------------------------- */

static void put_stop(const struct serve_job *job, struct evbuffer *out)
{
    const struct serve_choice *c = &job->choices[0];
    const bool stopped = c->finish == TARE_FINISH_STOP && c->stop < job->asked.n_stops && !c->parser.n_calls;
    const char *word = serve_finish_word(job, 0);
    evbuffer_add_printf(out, "\"stop_reason\":\"%s\",\"stop_sequence\":",
                        stopped                       ? "stop_sequence"
                        : !strcmp(word, "tool_calls") ? "tool_use"
                        : !strcmp(word, "length")     ? "max_tokens"
                                                      : "end_turn");
    if (stopped)
        serve_put_json(out, job->asked.stops[c->stop], job->asked.stop_sizes[c->stop]);
    else
        serve_put(out, "null");
}

static void put_usage(const struct serve_job *job, struct evbuffer *out)
{
    evbuffer_add_printf(out,
                        "{\"input_tokens\":%" PRId64
                        ",\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":%zu,"
                        "\"output_tokens\":%" PRId64 "}",
                        serve_job_prompt_tokens(job) - (int64_t)job->cached, job->cached, serve_job_tokens(job));
}

static void put_head(const struct serve_job *job, struct evbuffer *out)
{
    evbuffer_add_printf(out, "{\"id\":\"%s\",\"type\":\"message\",\"role\":\"assistant\",\"model\":", job->id);
    serve_put_json(out, job->model->id, strlen(job->model->id));
    serve_put(out, ",\"content\":[");
}

/* Arguments as JSON; of a call that is cut there are none. */
static void put_input(const struct tool_call *call, struct evbuffer *out)
{
    json_t *value = json_loadb(call->arguments.data ? call->arguments.data : "", call->arguments.size, 0, NULL);
    if (value)
        evbuffer_add(out, call->arguments.data, call->arguments.size);
    else
        serve_put(out, "{}");
    json_decref(value);
}

static void whole(struct serve_job *job, struct evbuffer *out)
{
    struct serve_choice *c = &job->choices[0];
    size_t n = 0;
    put_head(job, out);
    if (evbuffer_get_length(c->reasoning)) {
        serve_put(out, "{\"type\":\"thinking\",\"signature\":\"\",\"thinking\":");
        serve_put_buffer(out, c->reasoning, true);
        serve_put(out, "}");
        n++;
    }
    if (evbuffer_get_length(c->text)) {
        serve_put(out, n++ ? ",{\"type\":\"text\",\"text\":" : "{\"type\":\"text\",\"text\":");
        serve_put_buffer(out, c->text, true);
        serve_put(out, "}");
    }
    for (size_t i = 0; i < c->parser.n_calls; i++) {
        const struct tool_call *call = &c->parser.calls[i];
        evbuffer_add_printf(out, "%s{\"type\":\"tool_use\",\"id\":\"%s\",\"name\":\"%s\",\"input\":", n++ ? "," : "",
                            call->id, call->name);
        put_input(call, out);
        serve_put(out, "}");
    }
    serve_put(out, "],");
    put_stop(job, out);
    serve_put(out, ",\"usage\":");
    put_usage(job, out);
    serve_put(out, "}");
}

/* ---- the stream -------------------------------------------------------------------------------------------------- */

static void open_event(const char *type, struct evbuffer *out)
{
    evbuffer_add_printf(out, "event: %s\ndata: {\"type\":\"%s\"", type, type);
}

static void begin(struct serve_job *job, struct evbuffer *out)
{
    open_event("message_start", out);
    serve_put(out, ",\"message\":");
    put_head(job, out);
    serve_put(out, "],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":");
    put_usage(job, out);
    serve_put(out, "}}\n\n");
    open_event("ping", out);
    serve_put(out, "}\n\n");
}

static void close_block(struct serve_job *job, struct evbuffer *out)
{
    if (job->open == SERVE_ITEM_NONE)
        return;
    open_event("content_block_stop", out);
    evbuffer_add_printf(out, ",\"index\":%zu}\n\n", job->item++);
    job->open = SERVE_ITEM_NONE;
}

/* Opens a block of a kind, unless it is open. */
static void open_block(struct serve_job *job, const struct tool_piece *p, struct evbuffer *out)
{
    const int kind = p->kind == TOOL_TEXT      ? SERVE_ITEM_TEXT
                     : p->kind == TOOL_THOUGHT ? SERVE_ITEM_THOUGHT
                                               : SERVE_ITEM_CALL;
    if ((int)job->open == kind && p->kind != TOOL_CALL)
        return;
    close_block(job, out);
    open_event("content_block_start", out);
    evbuffer_add_printf(out, ",\"index\":%zu,\"content_block\":", job->item);
    if (kind == SERVE_ITEM_TEXT)
        serve_put(out, "{\"type\":\"text\",\"text\":\"\"}");
    else if (kind == SERVE_ITEM_THOUGHT)
        serve_put(out, "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}");
    else
        evbuffer_add_printf(out, "{\"type\":\"tool_use\",\"id\":\"%s\",\"name\":\"%s\",\"input\":{}}", p->id, p->name);
    serve_put(out, "}\n\n");
    job->open = kind == SERVE_ITEM_TEXT      ? SERVE_ITEM_TEXT
                : kind == SERVE_ITEM_THOUGHT ? SERVE_ITEM_THOUGHT
                                             : SERVE_ITEM_CALL;
}

static void piece(struct serve_job *job, size_t choice, const struct tool_piece *p, struct evbuffer *out)
{
    static const char *const deltas[] = {[TOOL_TEXT] = "{\"type\":\"text_delta\",\"text\":",
                                         [TOOL_THOUGHT] = "{\"type\":\"thinking_delta\",\"thinking\":",
                                         [TOOL_ARGUMENTS] = "{\"type\":\"input_json_delta\",\"partial_json\":"};
    (void)choice;
    if (p->kind == TOOL_CALL_END) {
        close_block(job, out);
        return;
    }
    open_block(job, p, out);
    if (p->kind == TOOL_CALL)
        return;
    open_event("content_block_delta", out);
    evbuffer_add_printf(out, ",\"index\":%zu,\"delta\":%s", job->item, deltas[p->kind]);
    serve_put_json(out, p->text, p->size);
    serve_put(out, "}}\n\n");
}

static void end(struct serve_job *job, struct evbuffer *out)
{
    close_block(job, out);
    open_event("message_delta", out);
    serve_put(out, ",\"delta\":{");
    put_stop(job, out);
    serve_put(out, "},\"usage\":");
    put_usage(job, out);
    serve_put(out, "}\n\n");
    open_event("message_stop", out);
    serve_put(out, "}\n\n");
}

const struct serve_form serve_form_messages = {.begin = begin, .piece = piece, .end = end, .whole = whole};
