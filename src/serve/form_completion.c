/* SPDX-License-Identifier: MIT
 * form_completion.c - answers of /v1/completions and /v1/embeddings. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "serve/job.h"

static void put_head(const struct serve_job *job, struct evbuffer *out)
{
    evbuffer_add_printf(out,
                        "{\"id\":\"%s\",\"object\":\"text_completion\",\"created\":%" PRId64 ",\"model\":", job->id,
                        (int64_t)job->created);
    serve_put_json(out, job->model->id, strlen(job->model->id));
    evbuffer_add_printf(out, ",\"system_fingerprint\":\"tare-%s\",\"choices\":[", tare_version());
}

static void put_logprobs(struct serve_choice *c, bool stream, struct evbuffer *out)
{
    static const char *const names[] = {"tokens", "token_logprobs", "top_logprobs", "text_offset"};
    if (!c->lines[1] || (stream && !evbuffer_get_length(c->lines[1]))) {
        serve_put(out, "null");
        return;
    }
    for (int i = 0; i < 4; i++) {
        evbuffer_add_printf(out, "%s\"%s\":[", i ? "," : "{", names[i]);
        evbuffer_add_buffer(out, c->lines[i + 1]);
        serve_put(out, "]");
    }
    serve_put(out, "}");
}

static void put_chunk(struct serve_job *job, size_t choice, const char *text, size_t size, const char *finish,
                      struct evbuffer *out)
{
    serve_put(out, "data: ");
    put_head(job, out);
    evbuffer_add_printf(out, "{\"index\":%zu,\"text\":", choice);
    serve_put_json(out, text, size);
    serve_put(out, ",\"logprobs\":");
    put_logprobs(&job->choices[choice], true, out);
    evbuffer_add_printf(out, finish ? ",\"finish_reason\":\"%s\"}]%s}\n\n" : ",\"finish_reason\":null}]%.0s%s}\n\n",
                        finish ? finish : "", job->asked.include_usage ? ",\"usage\":null" : "");
}

/* The prompt comes before all else, in one chunk with its logprobs. */
static void put_echo(struct serve_job *job, size_t choice, struct evbuffer *out)
{
    const struct serve_prompt *prompt = serve_prompt_of(job, choice);
    if (job->asked.echo && prompt->bytes && !job->choices[choice].echoed)
        put_chunk(job, choice, prompt->text, prompt->bytes, NULL, out);
    job->choices[choice].echoed = true;
}

static void choice_begin(struct serve_job *job, size_t choice, struct evbuffer *out)
{
    if (!job->asked.logprobs)
        put_echo(job, choice, out);
}

static void piece(struct serve_job *job, size_t choice, const struct tool_piece *p, struct evbuffer *out)
{
    put_chunk(job, choice, p->text, p->size, NULL, out);
}

static void choice_end(struct serve_job *job, size_t choice, struct evbuffer *out)
{
    put_echo(job, choice, out); /* where no token came */
    put_chunk(job, choice, "", 0, serve_finish_word(job, choice), out);
}

static void end(struct serve_job *job, struct evbuffer *out)
{
    if (job->asked.include_usage) {
        serve_put(out, "data: ");
        put_head(job, out);
        serve_put(out, "],\"usage\":");
        serve_put_usage(job, out);
        serve_put(out, "}\n\n");
    }
    serve_put(out, "data: [DONE]\n\n");
}

static void put_choice(struct serve_job *job, size_t number, size_t choice, struct evbuffer *out)
{
    struct serve_choice *c = &job->choices[choice];
    evbuffer_add_printf(out, "%s{\"index\":%zu,\"text\":", number ? "," : "", number);
    if (job->asked.echo)
        evbuffer_prepend(c->text, serve_prompt_of(job, choice)->text, serve_prompt_of(job, choice)->bytes);
    serve_put_buffer(out, c->text, true);
    serve_put(out, ",\"logprobs\":");
    put_logprobs(c, false, out);
    evbuffer_add_printf(out, ",\"finish_reason\":\"%s\"}", serve_finish_word(job, choice));
}

static double mean(const struct serve_choice *c)
{
    return c->tokens ? c->sum_logprob / (double)c->tokens : -HUGE_VAL;
}

/* Of the texts of one prompt, writes the n with the best mean logprob, the best first. */
static void put_best(struct serve_job *job, size_t first, size_t *number, struct evbuffer *out)
{
    const size_t each = (size_t)job->asked.best_of;
    bool taken[16] = {false};
    for (int64_t k = 0; k < job->asked.n; k++) {
        size_t best = each;
        for (size_t i = 0; i < each; i++)
            if (!taken[i] && (best == each || (job->asked.best_of > job->asked.n &&
                                               mean(&job->choices[first + i]) > mean(&job->choices[first + best]))))
                best = i;
        taken[best] = true;
        put_choice(job, (*number)++, first + best, out);
    }
}

static void whole(struct serve_job *job, struct evbuffer *out)
{
    size_t number = 0;
    put_head(job, out);
    for (size_t p = 0; p < job->asked.n_prompts; p++)
        put_best(job, p * (size_t)job->asked.best_of, &number, out);
    serve_put(out, "],\"usage\":");
    serve_put_usage(job, out);
    serve_put(out, "}");
}

const struct serve_form serve_form_completion = {.choice_begin = choice_begin,
                                                 .prompt_scored = put_echo,
                                                 .piece = piece,
                                                 .choice_end = choice_end,
                                                 .end = end,
                                                 .whole = whole};

/* ---- embeddings -------------------------------------------------------------------------------------------------- */

static void put_base64(const unsigned char *bytes, size_t n, struct evbuffer *out)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    serve_put(out, "\"");
    for (size_t i = 0; i < n; i += 3) {
        const unsigned long word = ((unsigned long)bytes[i] << 16) |
                                   (i + 1 < n ? (unsigned long)bytes[i + 1] << 8 : 0) | (i + 2 < n ? bytes[i + 2] : 0);
        const char four[4] = {letters[word >> 18], letters[word >> 12 & 63], i + 1 < n ? letters[word >> 6 & 63] : '=',
                              i + 2 < n ? letters[word & 63] : '='};
        evbuffer_add(out, four, 4);
    }
    serve_put(out, "\"");
}

/* Writes the sum of the hidden states of a text with length 1. */
static void put_vector(float *v, size_t n, bool base64, struct evbuffer *out)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)v[i] * (double)v[i];
    const double scale = sum > 0 ? 1 / sqrt(sum) : 0;
    for (size_t i = 0; i < n; i++)
        v[i] = (float)(v[i] * scale);
    if (base64) { /* little-endian, on any machine */
        unsigned char *bytes = malloc(4 * n + 1);
        for (size_t i = 0; i < n && bytes; i++) {
            uint32_t word;
            memcpy(&word, &v[i], sizeof word);
            for (int k = 0; k < 4; k++)
                bytes[4 * i + (size_t)k] = (unsigned char)(word >> (8 * k));
        }
        put_base64(bytes, bytes ? 4 * n : 0, out);
        free(bytes);
        return;
    }
    serve_put(out, "[");
    for (size_t i = 0; i < n; i++) {
        serve_put(out, i ? "," : "");
        serve_put_real(out, (double)v[i]);
    }
    serve_put(out, "]");
}

static void whole_embeddings(struct serve_job *job, struct evbuffer *out)
{
    const char *format = json_string_value(json_object_get(job->body, "encoding_format"));
    const size_t width = (size_t)serve_engine_width(job->model->engine);
    serve_put(out, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; i < job->n_runs; i++) {
        evbuffer_add_printf(out, "%s{\"object\":\"embedding\",\"index\":%zu,\"embedding\":", i ? "," : "", i);
        put_vector(job->hidden + i * width, width, format && !strcmp(format, "base64"), out);
        serve_put(out, "}");
    }
    serve_put(out, "],\"model\":");
    serve_put_json(out, job->model->id, strlen(job->model->id));
    const int64_t n = serve_job_prompt_tokens(job);
    evbuffer_add_printf(out, ",\"usage\":{\"prompt_tokens\":%" PRId64 ",\"total_tokens\":%" PRId64 "}}", n, n);
}

const struct serve_form serve_form_embeddings = {.whole = whole_embeddings};
