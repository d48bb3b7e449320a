/* SPDX-License-Identifier: MIT
 * logprob_json.c - logprobs in the forms of chat and of completions, and what else both forms share. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "serve/job.h"

enum { CHAT, TOKENS, LOGPROBS, TOPS, OFFSETS };

const struct serve_prompt *serve_prompt_of(const struct serve_job *job, size_t choice)
{
    return &job->asked.prompts[choice / (size_t)job->asked.best_of];
}

static void token_bytes(const struct serve_job *job, int32_t id, const char **text, size_t *size)
{
    if (tare_tokenizer_token(job->model->tokenizer, id, text, size, NULL, NULL)) {
        *text = "";
        *size = 0;
    }
}

static bool is_text(const char *text, size_t size)
{
    for (size_t i = 0; i < size;) {
        const unsigned char c = (unsigned char)text[i];
        const size_t n = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
        if (n == 0 || i + n > size)
            return false;
        for (size_t k = 1; k < n; k++)
            if (((unsigned char)text[i + k] & 0xc0) != 0x80)
                return false;
        i += n;
    }
    return true;
}

/* ---- chat -------------------------------------------------------------------------------------------------------- */

static void put_token(const struct serve_job *job, int32_t id, float logprob, struct evbuffer *out)
{
    const char *text;
    size_t size;
    token_bytes(job, id, &text, &size);
    serve_put(out, "{\"token\":");
    serve_put_json(out, text, size);
    serve_put(out, ",\"logprob\":");
    serve_put_real(out, (double)logprob);
    serve_put(out, ",\"bytes\":[");
    for (size_t i = 0; i < size; i++)
        evbuffer_add_printf(out, "%s%u", i ? "," : "", (unsigned char)text[i]);
    serve_put(out, "]");
}

static void take_chat(struct serve_job *job, struct serve_choice *c, const struct serve_event *e)
{
    struct evbuffer *out = c->pending[CHAT];
    serve_put(out, evbuffer_get_length(out) ? "," : "");
    put_token(job, e->id, e->logprob, out);
    serve_put(out, ",\"top_logprobs\":[");
    for (size_t i = 0; i < e->n_top; i++) {
        serve_put(out, i ? "," : "");
        put_token(job, e->top[i].id, e->top[i].logprob, out);
        serve_put(out, "}");
    }
    serve_put(out, "]}");
}

/* ---- completions ------------------------------------------------------------------------------------------------- */

/* A key for a token: its text, its bytes where they are no text, and its number where another one has the same text. */
static void put_key(const struct serve_job *job, int32_t id, const struct tare_logprob *before, size_t n,
                    struct evbuffer *out)
{
    const char *text, *other;
    size_t size, other_size;
    char key[800];
    int used = 0;
    token_bytes(job, id, &text, &size);
    for (size_t i = 0; i < n; i++) {
        token_bytes(job, before[i].id, &other, &other_size);
        if (other_size == size && !memcmp(other, text, size)) {
            evbuffer_add_printf(out, "\"token_id:%" PRId32 "\":", id);
            return;
        }
    }
    if (is_text(text, size)) {
        serve_put_json(out, text, size);
    } else {
        used = snprintf(key, sizeof key, "bytes:");
        for (size_t i = 0; i < size && i < 128; i++)
            used += snprintf(key + used, sizeof key - (size_t)used, "\\x%02x", (unsigned char)text[i]);
        serve_put_json(out, key, (size_t)used);
    }
    serve_put(out, ":");
}

static size_t characters(const char *text, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < size; i++)
        n += ((unsigned char)text[i] & 0xc0) != 0x80;
    return n;
}

/* One row of the four columns. */
static void put_row(struct serve_job *job, struct serve_choice *c, int32_t id, float logprob,
                    const struct tare_logprob *top, size_t n_top, bool first)
{
    const char *piece = "";
    size_t size = 0;
    bool among = false;
    tare_stream_put(c->pieces, id, &piece, &size, NULL);
    for (int i = TOKENS; i <= OFFSETS; i++)
        serve_put(c->pending[i], evbuffer_get_length(c->pending[i]) ? "," : "");
    serve_put_json(c->pending[TOKENS], piece, size);
    evbuffer_add_printf(c->pending[OFFSETS], "%zu", c->offset);
    c->offset += characters(piece, size);
    if (first) {
        serve_put(c->pending[LOGPROBS], "null");
        serve_put(c->pending[TOPS], "null");
        return;
    }
    serve_put_real(c->pending[LOGPROBS], (double)logprob);
    serve_put(c->pending[TOPS], "{");
    for (size_t i = 0; i < n_top; i++) {
        serve_put(c->pending[TOPS], i ? "," : "");
        put_key(job, top[i].id, top, i, c->pending[TOPS]);
        serve_put_real(c->pending[TOPS], (double)top[i].logprob);
        among |= top[i].id == id;
    }
    if (!among) {
        serve_put(c->pending[TOPS], n_top ? "," : "");
        put_key(job, id, top, n_top, c->pending[TOPS]);
        serve_put_real(c->pending[TOPS], (double)logprob);
    }
    serve_put(c->pending[TOPS], "}");
}

void serve_take_logprobs(struct serve_job *job, struct serve_choice *c, const struct serve_event *e)
{
    const bool chat = job->route->form == &serve_form_chat;
    for (size_t i = 0; i < e->n_prompt && !chat; i++)
        put_row(job, c, e->prompt[i].id, e->prompt[i].logprob, e->prompt[i].top, e->prompt[i].n_top,
                isnan(e->prompt[i].logprob));
    if (e->n_prompt)
        serve_commit_logprobs(c);
    if (e->id >= 0 && job->streaming && job->route->form->prompt_scored)
        job->route->form->prompt_scored(job, (size_t)(c - job->choices), job->ready);
    if (e->id < 0 || e->finish == TARE_FINISH_END)
        return;
    if (chat)
        take_chat(job, c, e);
    else
        put_row(job, c, e->id, e->logprob, e->top, e->n_top, false);
}

void serve_commit_logprobs(struct serve_choice *c)
{
    for (int i = 0; i < 5; i++) {
        if (!c->pending[i] || !evbuffer_get_length(c->pending[i]))
            continue;
        serve_put(c->lines[i], evbuffer_get_length(c->lines[i]) ? "," : "");
        evbuffer_add_buffer(c->lines[i], c->pending[i]);
    }
}

/* ---- what forms share -------------------------------------------------------------------------------------------- */

void serve_put_buffer(struct evbuffer *out, struct evbuffer *text, bool quoted)
{
    const size_t size = evbuffer_get_length(text);
    if (quoted)
        serve_put_json(out, size ? (const char *)evbuffer_pullup(text, -1) : "", size);
    else
        evbuffer_add_buffer(out, text);
}

int64_t serve_job_tokens(const struct serve_job *job)
{
    int64_t n = 0;
    for (size_t i = 0; i < job->n_runs; i++)
        n += job->choices[i].tokens;
    return n;
}

int64_t serve_job_prompt_tokens(const struct serve_job *job)
{
    int64_t n = 0;
    for (size_t i = 0; i < job->asked.n_prompts; i++)
        n += (int64_t)job->asked.prompts[i].n;
    return n;
}

const char *serve_finish_word(const struct serve_job *job, size_t choice)
{
    const struct serve_choice *c = &job->choices[choice];
    if (c->parser.n_calls && !c->parser.cut)
        return "tool_calls";
    return c->finish == TARE_FINISH_END || c->finish == TARE_FINISH_STOP || c->finish == TARE_FINISH_GRAMMAR ? "stop"
                                                                                                             : "length";
}

void serve_put_usage(const struct serve_job *job, struct evbuffer *out)
{
    const int64_t prompt = serve_job_prompt_tokens(job), made = serve_job_tokens(job);
    int64_t reasoning = 0;
    for (size_t i = 0; i < job->n_runs; i++)
        reasoning += job->choices[i].reasoning_tokens;
    evbuffer_add_printf(out,
                        "{\"prompt_tokens\":%" PRId64 ",\"completion_tokens\":%" PRId64 ",\"total_tokens\":%" PRId64
                        ",\"prompt_tokens_details\":{\"cached_tokens\":%zu}"
                        ",\"completion_tokens_details\":{\"reasoning_tokens\":%" PRId64 "}}",
                        prompt, made, prompt + made, job->cached, reasoning);
}
