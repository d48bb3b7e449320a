/* SPDX-License-Identifier: MIT
 * form_chat.c - answers of /v1/chat/completions. */
#include <inttypes.h>
#include <string.h>

#include "serve/job.h"

static void put_head(const struct serve_job *job, const char *object, struct evbuffer *out)
{
    evbuffer_add_printf(out, "{\"id\":\"%s\",\"object\":\"%s\",\"created\":%" PRId64 ",\"model\":", job->id, object,
                        (int64_t)job->created);
    serve_put_json(out, job->model->id, strlen(job->model->id));
    evbuffer_add_printf(out, ",\"system_fingerprint\":\"tare-%s\",\"choices\":[", tare_version());
}

static void open_chunk(const struct serve_job *job, size_t choice, struct evbuffer *out)
{
    serve_put(out, "data: ");
    put_head(job, "chat.completion.chunk", out);
    evbuffer_add_printf(out, "{\"index\":%zu,\"delta\":{", choice);
}

static void put_logprobs(struct serve_choice *c, struct evbuffer *out)
{
    if (!c->lines[0]) {
        serve_put(out, "null");
        return;
    }
    serve_put(out, "{\"content\":[");
    evbuffer_add_buffer(out, c->lines[0]);
    serve_put(out, "],\"refusal\":null}");
}

static void close_chunk(const struct serve_job *job, size_t choice, const char *finish, struct evbuffer *out)
{
    struct serve_choice *c = &job->choices[choice];
    serve_put(out, "},\"logprobs\":");
    if (c->lines[0] && evbuffer_get_length(c->lines[0]))
        put_logprobs(c, out);
    else
        serve_put(out, "null");
    evbuffer_add_printf(out, finish ? ",\"finish_reason\":\"%s\"}]%s}\n\n" : ",\"finish_reason\":null}]%.0s%s}\n\n",
                        finish ? finish : "", job->asked.include_usage ? ",\"usage\":null" : "");
}

static void choice_begin(struct serve_job *job, size_t choice, struct evbuffer *out)
{
    open_chunk(job, choice, out);
    serve_put(out, "\"role\":\"assistant\",\"content\":\"\"");
    close_chunk(job, choice, NULL, out);
}

static void piece(struct serve_job *job, size_t choice, const struct tool_piece *p, struct evbuffer *out)
{
    if (p->kind == TOOL_CALL_END)
        return;
    open_chunk(job, choice, out);
    if (p->kind == TOOL_TEXT || p->kind == TOOL_THOUGHT) {
        serve_put(out, p->kind == TOOL_TEXT ? "\"content\":" : "\"reasoning_content\":");
        serve_put_json(out, p->text, p->size);
    } else if (p->kind == TOOL_CALL) {
        evbuffer_add_printf(out,
                            "\"tool_calls\":[{\"index\":%zu,\"id\":\"%s\",\"type\":\"function\",\"function\":{\"name\":"
                            "\"%s\",\"arguments\":\"\"}}]",
                            p->call, p->id, p->name);
    } else {
        evbuffer_add_printf(out, "\"tool_calls\":[{\"index\":%zu,\"function\":{\"arguments\":", p->call);
        serve_put_json(out, p->text, p->size);
        serve_put(out, "}}]");
    }
    close_chunk(job, choice, NULL, out);
}

static void choice_end(struct serve_job *job, size_t choice, struct evbuffer *out)
{
    open_chunk(job, choice, out);
    close_chunk(job, choice, serve_finish_word(job, choice), out);
}

static void end(struct serve_job *job, struct evbuffer *out)
{
    if (job->asked.include_usage) {
        serve_put(out, "data: ");
        put_head(job, "chat.completion.chunk", out);
        serve_put(out, "],\"usage\":");
        serve_put_usage(job, out);
        serve_put(out, "}\n\n");
    }
    serve_put(out, "data: [DONE]\n\n");
}

static void put_calls(const struct serve_choice *c, struct evbuffer *out)
{
    serve_put(out, ",\"tool_calls\":[");
    for (size_t i = 0; i < c->parser.n_calls; i++) {
        const struct tool_call *call = &c->parser.calls[i];
        evbuffer_add_printf(out, "%s{\"id\":\"%s\",\"type\":\"function\",\"function\":{\"name\":\"%s\",\"arguments\":",
                            i ? "," : "", call->id, call->name);
        serve_put_json(out, call->arguments.data ? call->arguments.data : "", call->arguments.size);
        serve_put(out, "}}");
    }
    serve_put(out, "]");
}

static void whole(struct serve_job *job, struct evbuffer *out)
{
    put_head(job, "chat.completion", out);
    for (size_t i = 0; i < job->n_runs; i++) {
        struct serve_choice *c = &job->choices[i];
        evbuffer_add_printf(out, "%s{\"index\":%zu,\"message\":{\"role\":\"assistant\",\"content\":", i ? "," : "", i);
        if (c->parser.n_calls && !evbuffer_get_length(c->text))
            serve_put(out, "null");
        else
            serve_put_buffer(out, c->text, true);
        serve_put(out, ",\"refusal\":null");
        if (evbuffer_get_length(c->reasoning)) {
            serve_put(out, ",\"reasoning_content\":");
            serve_put_buffer(out, c->reasoning, true);
        }
        if (c->parser.n_calls)
            put_calls(c, out);
        serve_put(out, "},\"logprobs\":");
        put_logprobs(c, out);
        evbuffer_add_printf(out, ",\"finish_reason\":\"%s\"}", serve_finish_word(job, i));
    }
    serve_put(out, "],\"usage\":");
    serve_put_usage(job, out);
    serve_put(out, "}");
}

const struct serve_form serve_form_chat = {
    .choice_begin = choice_begin, .piece = piece, .choice_end = choice_end, .end = end, .whole = whole};
