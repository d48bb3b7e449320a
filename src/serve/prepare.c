/* SPDX-License-Identifier: MIT
 * prepare.c - reads requests in a worker's thread: their prompts become ids, and their texts runs of the engine. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "serve/fields.h"
#include "serve/job.h"
#include "serve/messages.h"

#define PROMPTS_MOST 64
/* OpenAI takes as many; clients send hundreds of texts at once. */
#define INPUTS_MOST 2048
/* A call that is cut is of no use, so one that is required has room for as many tokens, whatever max_tokens says. */
#define CALL_TOKENS 256

typedef enum tare_code encode_fn(const tare_tokenizer *, const char *, size_t, bool, int32_t **, size_t *,
                                 struct tare_error *);

static bool encode_with(encode_fn *encode, struct serve_job *job, const char *text, size_t size, bool special,
                        struct serve_prompt *prompt)
{
    struct tare_error err = {0};
    int32_t *ids = NULL;
    size_t n = 0;
    const enum tare_code code = encode(job->model->tokenizer, text, size, special, &ids, &n, &err);
    if (code)
        return serve_fail(&job->failure, code == TARE_E_MEMORY ? 503 : 400, NULL, "The text is not taken: %s",
                          err.text);
    prompt->ids = malloc((n + 1) * sizeof *prompt->ids);
    prompt->n = n;
    if (prompt->ids && n)
        memcpy(prompt->ids, ids, n * sizeof *ids);
    tare_ids_free(ids);
    return prompt->ids || serve_fail(&job->failure, 503, NULL, "Out of memory.");
}

bool serve_encode(struct serve_job *job, const char *text, size_t size, bool special, struct serve_prompt *prompt)
{
    return encode_with(tare_tokenizer_encode, job, text, size, special, prompt);
}

static bool add_prompts(struct serve_job *job, size_t n)
{
    job->asked.prompts = calloc(n, sizeof *job->asked.prompts);
    job->asked.n_prompts = job->asked.prompts ? n : 0;
    return job->asked.prompts || serve_fail(&job->failure, 503, NULL, "Out of memory.");
}

/* ---- runs -------------------------------------------------------------------------------------------------------- */

static bool check_room(struct serve_job *job, const struct serve_prompt *prompt, int64_t *most)
{
    const struct serve_asked *a = &job->asked;
    const int64_t context = job->model->context, n = (int64_t)prompt->n;
    if (n == 0)
        return serve_fail(&job->failure, 400, a->tools.list || !a->echo ? NULL : "prompt", "The prompt has no tokens.");
    if (n + (a->max_tokens != 0) > context)
        return serve_fail_code(&job->failure, 400, NULL, "context_length_exceeded",
                               "The prompt has %" PRId64 " tokens, and the context of %" PRId64
                               " must have room for one more.",
                               n, context);
    *most = a->max_tokens < 0 || a->max_tokens > context - n ? context : n + a->max_tokens;
    return serve_engine_fits(job->model->engine, *most) ||
           serve_fail(&job->failure, 503, NULL, "The memory for states does not suffice for a text of that length.");
}

static void fill_run(struct serve_job *job, size_t i, size_t of, const struct serve_prompt *prompt, int64_t most)
{
    const struct serve_asked *a = &job->asked;
    const struct tare_generate_options defaults = TARE_GENERATE_OPTIONS_INIT;
    struct serve_run *run = &job->runs[i];
    const size_t number = i - of;
    run->owner = job;
    run->index = i;
    run->client = job->client;
    run->ids = prompt->ids;
    run->n_ids = prompt->n;
    run->most = most;
    run->leader = number ? &job->runs[of] : NULL;
    run->sampling = a->sampling;
    run->sampling.seed += number;
    run->options = defaults;
    run->options.max_tokens = a->max_tokens < 0 ? 0 : a->max_tokens == 0 ? -1 : a->max_tokens;
    run->options.stops = a->stops;
    run->options.n_stops = a->tools.family ? 0 : a->n_stops; /* those of a chat are not of its thoughts and calls */
    run->options.stop_sizes = a->stop_sizes;
    run->options.grammar = a->grammar;
    run->options.ignore_ends = a->ignore_eos;
    run->options.logprobs = a->logprobs || a->best_of > a->n;
    run->options.prompt_logprobs = a->logprobs && a->echo;
    run->options.top_logprobs = a->logprobs ? (int)a->top : 0;
}

static bool open_choice(struct serve_job *job, struct serve_choice *choice)
{
    bool good = (choice->text = evbuffer_new()) && (choice->reasoning = evbuffer_new());
    for (size_t i = 0; i < 5 && job->asked.logprobs; i++)
        good = good && (choice->lines[i] = evbuffer_new()) && (choice->pending[i] = evbuffer_new());
    choice->parser.tools = &job->asked.tools;
    return good || serve_fail(&job->failure, 503, NULL, "Out of memory.");
}

bool serve_make_runs(struct serve_job *job)
{
    const struct serve_asked *a = &job->asked;
    const size_t each = (size_t)a->best_of;
    struct tare_error err = {0};
    job->n_runs = a->n_prompts * each;
    job->runs = calloc(job->n_runs, sizeof *job->runs);
    job->choices = calloc(job->n_runs, sizeof *job->choices);
    if (!job->runs || !job->choices)
        return serve_fail(&job->failure, 503, NULL, "Out of memory.");
    for (size_t p = 0; p < a->n_prompts; p++) {
        int64_t most = 0;
        if (!check_room(job, &a->prompts[p], &most))
            return false;
        for (size_t k = 0; k < each; k++) {
            struct serve_choice *choice = &job->choices[p * each + k];
            fill_run(job, p * each + k, p * each, &a->prompts[p], most);
            if (!open_choice(job, choice))
                return false;
            if (a->logprobs && tare_stream_open(&choice->pieces, job->model->tokenizer, true, &err))
                return serve_fail(&job->failure, 503, NULL, "Out of memory.");
        }
    }
    return true;
}

/* ---- completions ------------------------------------------------------------------------------------------------- */

/* What echo repeats of a prompt that is given in ids. */
static bool decode_prompt(struct serve_job *job, struct serve_prompt *prompt)
{
    struct tare_error err = {0};
    char *text;
    if (tare_tokenizer_decode(job->model->tokenizer, prompt->ids, prompt->n, true, &text, &prompt->bytes, &err))
        return serve_fail(&job->failure, 400, "prompt", "The ids are not decoded: %s", err.text);
    prompt->text = malloc(prompt->bytes + 1);
    if (prompt->text)
        memcpy(prompt->text, text, prompt->bytes);
    tare_text_free(text);
    return prompt->text || serve_fail(&job->failure, 503, NULL, "Out of memory.");
}

static bool take_prompt(struct serve_job *job, const json_t *value, struct serve_prompt *prompt)
{
    if (json_is_array(value))
        return fields_ids(value, "prompt", job->model->vocabulary, true, &prompt->ids, &prompt->n, &job->failure) &&
               decode_prompt(job, prompt);
    if (!json_is_string(value))
        return serve_fail(&job->failure, 400, "prompt",
                          "prompt must be a text, a list of texts, ids, or lists of ids.");
    prompt->bytes = json_string_length(value);
    prompt->text = malloc(prompt->bytes + 1);
    if (!prompt->text)
        return serve_fail(&job->failure, 503, NULL, "Out of memory.");
    memcpy(prompt->text, json_string_value(value), prompt->bytes);
    return serve_encode(job, prompt->text, prompt->bytes, true, prompt);
}

/* A list of texts or of lists has several prompts; a text or a list of ids is one. `input` of embeddings is alike. */
static bool take_prompts(struct serve_job *job, const char *name, size_t most)
{
    const json_t *value = fields_get(job->body, name), *first = json_array_get(value, 0);
    const bool several = json_is_string(first) || json_is_array(first);
    if (!value || (json_is_array(value) && !first))
        return serve_fail(&job->failure, 400, name, "%s is missing or empty.", name);
    const size_t n = several ? json_array_size(value) : 1;
    if (n > most)
        return serve_fail(&job->failure, 400, name, "%s has %zu texts; at most %zu are taken.", name, n, most);
    if (!add_prompts(job, n))
        return false;
    for (size_t i = 0; i < n; i++) {
        const json_t *one = several ? json_array_get(value, i) : value;
        if (several && json_typeof(one) != json_typeof(first))
            return serve_fail(&job->failure, 400, name, "%s mixes texts and ids.", name);
        if (!take_prompt(job, one, &job->asked.prompts[i])) {
            snprintf(job->failure.param, sizeof job->failure.param, "%s", name);
            return false;
        }
    }
    return true;
}

bool serve_prepare_completion(struct serve_job *job)
{
    return serve_find_model(job) && serve_asked_take(job, false) && take_prompts(job, "prompt", PROMPTS_MOST) &&
           serve_make_runs(job);
}

bool serve_prepare_embeddings(struct serve_job *job)
{
    const char *format = "float";
    if (!serve_find_model(job) || !fields_text(job->body, "encoding_format", &format, &job->failure))
        return false;
    if (strcmp(format, "float") && strcmp(format, "base64"))
        return serve_fail(&job->failure, 400, "encoding_format", "encoding_format must be float or base64.");
    job->asked.best_of = job->asked.n = 1;
    job->asked.echo = true;
    if (!take_prompts(job, "input", INPUTS_MOST) || !serve_make_runs(job))
        return false;
    const size_t width = (size_t)serve_engine_width(job->model->engine);
    job->hidden = calloc(job->n_runs * width, sizeof *job->hidden);
    if (!job->hidden)
        return serve_fail(&job->failure, 503, NULL, "Out of memory.");
    for (size_t i = 0; i < job->n_runs; i++)
        job->runs[i].hidden = job->hidden + i * width;
    return true;
}

/* ---- chat -------------------------------------------------------------------------------------------------------- */

/* One try to render messages. */
static enum tare_code render_as(struct serve_job *job, struct tare_template_request *request,
                                const struct messages_form *form, char **text, size_t *size, struct tare_error *err)
{
    char *messages = messages_normal(job->body, form, &job->failure);
    request->messages = messages;
    const enum tare_code code =
        messages ? tare_template_render(job->model->chat, request, text, size, err) : TARE_E_ARGUMENT;
    free(messages);
    return code;
}

bool serve_render(struct serve_job *job, bool tools, char **text, size_t *size)
{
    struct tare_template_request request = TARE_TEMPLATE_REQUEST_INIT;
    struct tare_error err = {0}, again = {0};
    char clock[40] = "";
    const time_t now = time(NULL);
    struct tm tm;
    const json_t *offered = tools ? job->asked.tools.list : NULL;
    struct messages_form form = {.tools = job->model->describes ? offered : NULL,
                                 .plain = job->model->describes || job->model->plain,
                                 .short_ids = tool_family_short_ids(job->model->family)};
    char *variables = NULL, *list = NULL;
    if (!messages_variables(job->body, &variables, &job->failure))
        return false;
    if (localtime_r(&now, &tm) && strftime(clock, sizeof clock, "%Y-%m-%dT%H:%M:%S", &tm))
        request.clock = clock;
    if (offered)
        list = json_dumps(offered, JSON_COMPACT);
    request.tools = list;
    request.variables = variables;
    request.add_generation_prompt = true;
    enum tare_code code = render_as(job, &request, &form, text, size, &err);
    if (code && code != TARE_E_MEMORY && !job->failure.status) { /* what it says of the first form is what counts */
        form.second = true;
        code = render_as(job, &request, &form, text, size, &again) ? code : TARE_OK;
    }
    free(variables);
    free(list);
    return !code || serve_fail(&job->failure, code == TARE_E_MEMORY ? 503 : 400, "messages",
                               "The chat template refuses the messages: %.300s", err.text);
}

/* The prompt as ids. Where it ends within thoughts and a call is required, they are over at once: a model may think for longer
 * than there is room. */
static bool encode_chat(struct serve_job *job, const char *text, size_t size)
{
    struct toolset *tools = &job->asked.tools;
    const bool close = tools->thinking && tools->forced;
    const char *more = close ? tools->think_close : "";
    char *joined = malloc(size + strlen(more) + 3);
    if (!joined)
        return serve_fail(&job->failure, 503, NULL, "Out of memory.");
    memcpy(joined, text, size);
    const int n = snprintf(joined + size, strlen(more) + 3, "%s%s", more, close ? "\n\n" : "");
    const bool good = serve_encode(job, joined, size + (size_t)n, job->model->plain, job->asked.prompts);
    tools->thinking &= !close;
    free(joined);
    return good;
}

bool serve_prepare_chat(struct serve_job *job)
{
    struct serve_asked *a = &job->asked;
    char *text = NULL;
    size_t size = 0;
    if (!serve_find_model(job) || !serve_asked_take(job, true) || !add_prompts(job, 1))
        return false;
    if (a->tools.forced && a->max_tokens >= 0 && a->max_tokens < CALL_TOKENS)
        a->max_tokens = CALL_TOKENS;
    if (!serve_render(job, a->tools.choice != TOOLS_NONE, &text, &size))
        return false;
    toolset_thoughts(&a->tools, text, size);
    const bool good = encode_chat(job, text, size) &&
                      toolset_grammar(&a->tools, job->model->tokenizer, a->format, &a->grammar, &job->failure);
    tare_text_free(text);
    return good && serve_make_runs(job);
}

bool serve_prepare_template(struct serve_job *job)
{
    char *text = NULL;
    size_t size = 0;
    if (!serve_find_model(job) || !toolset_take(&job->asked.tools, job->body, job->model->family, &job->failure) ||
        !serve_render(job, true, &text, &size))
        return false;
    serve_put(job->ready, "{\"prompt\":");
    serve_put_json(job->ready, text, size);
    serve_put(job->ready, "}");
    tare_text_free(text);
    return true;
}

/* ---- ids and texts ----------------------------------------------------------------------------------------------- */

bool serve_prepare_tokenize(struct serve_job *job)
{
    bool special = false, parse = true;
    struct serve_prompt made = {0};
    const json_t *content = fields_get(job->body, "content");
    if (!serve_find_model(job) || !fields_flag(job->body, "add_special", &special, &job->failure) ||
        !fields_flag(job->body, "parse_special", &parse, &job->failure))
        return false;
    if (!json_is_string(content))
        return serve_fail(&job->failure, 400, "content", "content must be a text.");
    encode_fn *const encode = parse ? tare_tokenizer_encode : tare_tokenizer_encode_literal;
    if (!encode_with(encode, job, json_string_value(content), json_string_length(content), special, &made))
        return false;
    serve_put(job->ready, "{\"tokens\":[");
    for (size_t i = 0; i < made.n; i++)
        evbuffer_add_printf(job->ready, "%s%" PRId32, i ? "," : "", made.ids[i]);
    serve_put(job->ready, "]}");
    free(made.ids);
    return true;
}

bool serve_prepare_detokenize(struct serve_job *job)
{
    struct serve_prompt made = {0};
    struct tare_error err = {0};
    char *text = NULL;
    size_t size = 0;
    if (!serve_find_model(job))
        return false;
    bool good = fields_ids(fields_get(job->body, "tokens"), "tokens", job->model->vocabulary, false, &made.ids, &made.n,
                           &job->failure);
    if (good && tare_tokenizer_decode(job->model->tokenizer, made.ids, made.n, false, &text, &size, &err))
        good = serve_fail(&job->failure, 400, "tokens", "The ids are not decoded: %s", err.text);
    if (good) {
        serve_put(job->ready, "{\"content\":");
        serve_put_json(job->ready, text, size);
        serve_put(job->ready, "}");
    }
    free(made.ids);
    tare_text_free(text);
    return good;
}
