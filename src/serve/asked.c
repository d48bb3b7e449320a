/* SPDX-License-Identifier: MIT
 * asked.c - the fields that requests for a text share. Every number is checked before anything is made of it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "serve/fields.h"
#include "serve/job.h"

#define CHOICES_MOST 16
#define STOPS_MOST 16
#define TOP_MOST 20
/* A bias of 100 must win and one of -100 must ban: beyond what logits reach. */
#define BIAS_WINS 1e4f

void serve_asked_release(struct serve_asked *a)
{
    free(a->bias);
    free(a->stops);
    free(a->stop_sizes);
    tare_grammar_free(a->grammar);
    tare_text_free(a->format);
    for (size_t i = 0; i < a->n_prompts; i++) {
        free(a->prompts[i].ids);
        free(a->prompts[i].text);
    }
    free(a->prompts);
}

static bool take_bias(struct serve_asked *a, const json_t *body, int64_t vocabulary, struct serve_failure *f)
{
    const json_t *map = fields_get(body, "logit_bias"), *value;
    const char *key;
    if (!map)
        return true;
    if (!json_is_object(map))
        return serve_fail(f, 400, "logit_bias", "logit_bias must be an object: {\"ID\": NUMBER}.");
    a->bias = calloc(json_object_size(map) + 1, sizeof *a->bias);
    if (!a->bias)
        return serve_fail(f, 503, NULL, "Out of memory.");
    json_object_foreach((json_t *)(size_t)map, key, value)
    {
        char *end;
        const size_t n = strspn(key, "0123456789");
        const long long id = n && n < 11 && !key[n] ? strtoll(key, &end, 10) : -1;
        if (id < 0 || id >= vocabulary)
            return serve_fail(f, 400, "logit_bias", "logit_bias has the key %s, which is no token id.",
                              serve_quote(key, strlen(key)).text);
        const double v = json_number_value(value);
        if (!json_is_number(value) || !(v >= -100 && v <= 100))
            return serve_fail(f, 400, "logit_bias", "logit_bias[%lld] must be a number from -100 to 100.", id);
        a->bias[a->sampling.n_bias++] = (struct tare_bias){(int32_t)id, v >= 100    ? BIAS_WINS
                                                                        : v <= -100 ? -INFINITY
                                                                                    : (float)v};
    }
    a->sampling.bias = a->bias;
    return true;
}

static bool take_stop(struct serve_asked *a, const json_t *body, struct serve_failure *f)
{
    const json_t *stop = fields_get(body, "stop");
    const size_t n = json_is_array(stop) ? json_array_size(stop) : stop ? 1 : 0;
    if (stop && !json_is_array(stop) && !json_is_string(stop))
        return serve_fail(f, 400, "stop", "stop must be a text or a list of texts.");
    if (n > STOPS_MOST)
        return serve_fail(f, 400, "stop", "stop has %zu texts; at most %d are taken.", n, STOPS_MOST);
    a->stops = calloc(n + 1, sizeof *a->stops);
    a->stop_sizes = calloc(n + 1, sizeof *a->stop_sizes);
    if (!a->stops || !a->stop_sizes)
        return serve_fail(f, 503, NULL, "Out of memory.");
    for (size_t i = 0; i < n; i++) {
        const json_t *text = json_is_array(stop) ? json_array_get(stop, i) : stop;
        if (!json_is_string(text) || json_string_length(text) == 0)
            return serve_fail(f, 400, "stop", "stop has something that is no text, or an empty one.");
        if (json_string_length(text) > 4096)
            return serve_fail(f, 400, "stop", "A text of stop is longer than 4096 bytes.");
        a->stops[i] = json_string_value(text);
        a->stop_sizes[i] = json_string_length(text);
    }
    a->n_stops = n;
    return true;
}

/* A seed that differs from one request to the next, in this process and the next one. */
static uint64_t any_seed(void)
{
    static _Atomic uint64_t counter;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t x = (uint64_t)now.tv_sec * 1000000007u + (uint64_t)now.tv_nsec + ((uint64_t)getpid() << 40) +
                 ++counter * 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static bool take_sampling(struct serve_asked *a, const json_t *body, struct serve_failure *f)
{
    double temperature = 1, top_p = 1, min_p = 0, frequency = 0, presence = 0, repetition = 1;
    int64_t top_k = 0, seed = 0;
    if (!fields_real(body, "temperature", 0, 2, &temperature, f) || !fields_real(body, "top_p", 0, 1, &top_p, f) ||
        !fields_real(body, "min_p", 0, 1, &min_p, f) || !fields_integer(body, "top_k", 0, INT32_MAX, &top_k, f) ||
        !fields_real(body, "frequency_penalty", -2, 2, &frequency, f) ||
        !fields_real(body, "presence_penalty", -2, 2, &presence, f) ||
        !fields_real(body, "repetition_penalty", 0, 2, &repetition, f) ||
        !fields_integer(body, "seed", INT64_MIN, INT64_MAX, &seed, f))
        return false;
    if (repetition <= 0)
        return serve_fail(f, 400, "repetition_penalty", "repetition_penalty must be above 0, at most 2.");
    struct tare_sampling *s = &a->sampling;
    s->temperature = (float)temperature;
    s->top_p = top_p > 0 ? (float)top_p : 1e-30f; /* to the library 0 means off; here it leaves the likeliest */
    s->min_p = (float)min_p;
    s->top_k = (int)top_k;
    s->frequency_penalty = (float)frequency;
    s->presence_penalty = (float)presence;
    s->repetition_penalty = (float)repetition;
    s->penalty_window = -1;
    s->seed = fields_get(body, "seed") ? (uint64_t)seed : any_seed();
    return true;
}

/* The schema of response_format; an empty text: any object; NULL: no format, or a failure. Owned, free(). */
static char *format_schema(const json_t *body, struct serve_failure *f)
{
    const json_t *format = fields_get(body, "response_format");
    if (!format)
        return NULL;
    const char *type = json_string_value(json_object_get(format, "type"));
    if (!json_is_object(format) || !type) {
        serve_fail(f, 400, "response_format", "response_format must be an object with a type.");
        return NULL;
    }
    if (!strcmp(type, "text"))
        return NULL;
    if (!strcmp(type, "json_object"))
        return strdup("{\"type\":\"object\"}");
    const json_t *outer = json_object_get(format, "json_schema"), *schema = json_object_get(outer, "schema");
    if (strcmp(type, "json_schema") != 0)
        serve_fail(f, 400, "response_format",
                   "response_format.type is %s; text, json_object and json_schema are known.",
                   serve_quote(type, strlen(type)).text);
    else if (!json_is_object(outer) || !(json_is_object(schema) || json_is_boolean(schema)))
        serve_fail(f, 400, "response_format", "response_format.json_schema must be an object with a schema.");
    else
        return json_dumps(schema, JSON_COMPACT | JSON_ENCODE_ANY);
    return NULL;
}

/* A schema becomes a grammar at once, so that one that is not understood is refused before any work. What an answer of a chat
 * is to be is known only with its prompt; prepare.c. */
static bool take_format(struct serve_job *job, bool chat)
{
    struct serve_asked *a = &job->asked;
    struct tare_error err = {0};
    char *schema = format_schema(job->body, &job->failure);
    if (!schema)
        return !job->failure.status;
    enum tare_code code = tare_grammar_from_schema(&a->format, schema, strlen(schema), &err);
    if (!code && !chat)
        code = tare_grammar_open(&a->grammar, job->model->tokenizer, TARE_GRAMMAR_GBNF, a->format, strlen(a->format),
                                 &err);
    free(schema);
    return !code || serve_fail(&job->failure, code == TARE_E_MEMORY ? 503 : 400, "response_format",
                               "The schema is not understood: %s%s%.300s", err.where, *err.where ? ": " : "", err.text);
}

static bool take_lengths(struct serve_asked *a, const json_t *body, bool chat, struct serve_failure *f)
{
    a->max_tokens = chat ? -1 : 16;
    if (!fields_integer(body, "max_tokens", 0, INT64_MAX, &a->max_tokens, f) ||
        (chat && !fields_integer(body, "max_completion_tokens", 0, INT64_MAX, &a->max_tokens, f)))
        return false;
    a->n = 1;
    if (!fields_integer(body, "n", 1, CHOICES_MOST, &a->n, f))
        return false;
    a->best_of = a->n;
    if (chat)
        return true;
    if (!fields_integer(body, "best_of", 1, CHOICES_MOST, &a->best_of, f) || !fields_flag(body, "echo", &a->echo, f))
        return false;
    if (a->best_of < a->n)
        return serve_fail(f, 400, "best_of", "best_of must be at least n.");
    return true;
}

static bool take_logprobs(struct serve_asked *a, const json_t *body, bool chat, struct serve_failure *f)
{
    if (!chat) {
        a->top = -1;
        if (!fields_integer(body, "logprobs", 0, TOP_MOST, &a->top, f))
            return false;
        a->logprobs = a->top >= 0;
        a->top = a->top < 0 ? 0 : a->top;
        return true;
    }
    if (!fields_flag(body, "logprobs", &a->logprobs, f) ||
        !fields_integer(body, "top_logprobs", 0, TOP_MOST, &a->top, f))
        return false;
    if (fields_get(body, "top_logprobs") && !a->logprobs)
        return serve_fail(f, 400, "top_logprobs", "top_logprobs needs logprobs: true.");
    return true;
}

static bool take_stream(struct serve_asked *a, const json_t *body, struct serve_failure *f)
{
    const json_t *options = fields_get(body, "stream_options");
    if (!fields_flag(body, "stream", &a->stream, f))
        return false;
    if (options && !json_is_object(options))
        return serve_fail(f, 400, "stream_options", "stream_options must be an object.");
    if (options && !a->stream)
        return serve_fail(f, 400, "stream_options", "stream_options needs stream: true.");
    if (options && !fields_flag(options, "include_usage", &a->include_usage, f))
        return false;
    if (a->stream && a->best_of != a->n)
        return serve_fail(f, 400, "best_of", "best_of must be n in a stream.");
    return true;
}

bool serve_find_model(struct serve_job *job)
{
    const char *name = NULL;
    if (!fields_text(job->body, "model", &name, &job->failure))
        return false;
    job->model = serve_model_find(job->serve, name);
    return job->model || serve_fail_code(&job->failure, 404, "model", "model_not_found",
                                         "There is no model %s here; GET /v1/models lists them.",
                                         serve_quote(name, strlen(name)).text);
}

bool serve_asked_take(struct serve_job *job, bool chat)
{
    struct serve_asked *a = &job->asked;
    const json_t *body = job->body;
    struct serve_failure *f = &job->failure;
    const struct tare_sampling defaults = TARE_SAMPLING_INIT;
    a->sampling = defaults;
    if (!take_lengths(a, body, chat, f) || !take_sampling(a, body, f) ||
        !take_bias(a, body, job->model->vocabulary, f) || !take_stop(a, body, f) || !take_logprobs(a, body, chat, f) ||
        !take_stream(a, body, f) || !fields_flag(body, "ignore_eos", &a->ignore_eos, f))
        return false;
    if (chat && !toolset_take(&a->tools, body, job->model->family, f))
        return false;
    return take_format(job, chat);
}
