/* SPDX-License-Identifier: MIT
 * open_model.c - loads a model with what answers need of it: tokenizer, chat template, the family of its tool calls, and
 * an engine. */
#include <stdio.h>
#include <string.h>

#include "serve/server.h"

static const char PLAIN[] = "{%- for message in messages -%}{{ message.role | capitalize }}: {{ message.content }}\n"
                            "{% endfor -%}{%- if add_generation_prompt -%}Assistant:{%- endif -%}";

/* Shows the template a tool and a call of it, to see how the model's family writes calls. */
static const struct tool_family *probe_family(const tare_template *chat, bool *describes)
{
    struct tare_template_request request = TARE_TEMPLATE_REQUEST_INIT;
    char *text = NULL;
    size_t size = 0;
    request.messages = "[{\"role\":\"user\",\"content\":\"Hi\"}]";
    request.tools =
        "[{\"type\":\"function\",\"function\":{\"name\":\"probe_it\",\"description\":\"d\",\"parameters\":{"
        "\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\",\"description\":\"e\"}},\"required\":"
        "[\"k\"]}}}]";
    request.clock = "2026-01-01T00:00:00";
    request.add_generation_prompt = true;
    if (tare_template_render(chat, &request, &text, &size, NULL) || !strstr(text, "probe_it")) {
        tare_text_free(text);
        *describes = true;
        return tool_family_of(NULL);
    }
    struct evbuffer *all = evbuffer_new();
    evbuffer_add(all, text, size);
    tare_text_free(text);
    text = NULL;
    request.messages =
        "[{\"role\":\"user\",\"content\":\"Hi\"},{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{"
        "\"id\":\"abcdefghi\",\"type\":\"function\",\"function\":{\"name\":\"probe_it\",\"arguments\":{"
        "\"k\":\"v\"}}}]}]";
    request.add_generation_prompt = false;
    if (!tare_template_render(chat, &request, &text, &size, NULL))
        evbuffer_add(all, text, size);
    tare_text_free(text);
    evbuffer_add(all, "", 1);
    const struct tool_family *family = tool_family_of((const char *)evbuffer_pullup(all, -1));
    evbuffer_free(all);
    return family;
}

/* Opens the chat template, and learns how the model writes calls. */
static enum tare_code open_template(struct serve_model *m, struct tare_error *err)
{
    enum tare_code code = tare_template_open(&m->chat, m->source->path, m->source->options, err);
    m->plain = code == TARE_E_ABSENT;
    if (m->plain)
        code = tare_template_from_text(&m->chat, PLAIN, sizeof PLAIN - 1, err);
    if (!code)
        m->family = m->plain ? tool_family_of(NULL) : probe_family(m->chat, &m->describes);
    return code;
}

static enum tare_code open_engine(struct serve *s, struct serve_model *m, struct tare_error *err)
{
    const struct serve_options *o = s->options;
    const struct serve_engine_options engine = {.model = m->model,
                                                .tokenizer = m->tokenizer,
                                                .context = o->context,
                                                .kv_bits = o->kv_bits,
                                                .exact = o->exact,
                                                .parallel = o->parallel,
                                                .memory = o->memory ? o->memory : s->models.ledger.limit / 4,
                                                .ledger = &s->models.ledger,
                                                .cancel = &s->models.cancel,
                                                .tell = serve_work_tell,
                                                .user = s};
    return serve_engine_open(&m->engine, &engine, err);
}

enum tare_code serve_model_open(struct serve *s, struct serve_model *m, struct tare_error *err)
{
    enum tare_code code = TARE_OK;
    if (!m->tokenizer)
        code = tare_tokenizer_open(&m->tokenizer, m->source->path, m->source->options, err);
    if (!code && !m->chat)
        code = open_template(m, err);
    if (!code)
        code = open_engine(s, m, err);
    if (code)
        return code;
    m->vocabulary = tare_tokenizer_size(m->tokenizer);
    if (m->vocabulary > serve_engine_vocabulary(m->engine))
        m->vocabulary = serve_engine_vocabulary(m->engine);
    return TARE_OK;
}

void serve_model_close(struct serve_model *m)
{
    serve_engine_free(m->engine);
    tare_template_free(m->chat);
    tare_tokenizer_free(m->tokenizer);
    if (m->model != m->source->model)
        tare_model_free(m->model);
    m->engine = NULL;
    m->chat = NULL;
    m->tokenizer = NULL;
    m->model = NULL;
}
