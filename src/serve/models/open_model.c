/* SPDX-License-Identifier: MIT
 * open_model.c - loads a model with what answers need of it: tokenizer, chat template, the family of its tool calls, and
 * an engine. */
#include <stdio.h>
#include <string.h>

#include "serve/server.h"

static const char PLAIN[] = "{%- for message in messages -%}{{ message.role | capitalize }}: {{ message.content }}\n"
                            "{% endfor -%}{%- if add_generation_prompt -%}Assistant:{%- endif -%}";

/* Opens the chat template, and learns how the model writes calls. */
static enum tare_code open_template(struct serve_model *m, struct tare_error *err)
{
    enum tare_code code = tare_template_open(&m->chat, m->source->path, m->source->options, err);
    m->plain = code == TARE_E_ABSENT;
    if (m->plain)
        code = tare_template_from_text(&m->chat, PLAIN, sizeof PLAIN - 1, err);
    if (!code)
        m->family = tool_family_probe(m->plain ? NULL : m->chat, m->tokenizer, &m->describes);
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
