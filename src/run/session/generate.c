/* SPDX-License-Identifier: MIT
 * generate.c - opens and frees texts that are continued. generate_step.c continues them. */
#include "run/session/generate.h"

#include <stdlib.h>
#include <string.h>

#include "base/sized.h"
#include "run/session/draft.h"
#include "run/session/logprob.h"

/* Logits of a prompt that are held at once, when its log-probabilities are told: more rows would not be faster. */
#define PROMPT_ROWS_BYTES ((size_t)16 << 20)
/* Ids that go through the model together at most, so that larger parts of a prompt are not faster either. */
#define PROMPT_ROWS_MOST 256

void tare_generate_free(tare_generate *g)
{
    if (!g)
        return;
    if (g->session && tare_session_length(g->session) > (int64_t)g->fed && g->n_rows)
        tare_session_rewind(g->session, (int64_t)g->fed, NULL); /* guesses that nothing has confirmed */
    tare_stream_free(g->stream);
    tare_grammar_state_free(g->grammar);
    tare_stops_release(&g->stops);
    tare_text_release(&g->out);
    free(g->bias);
    free(g->ids);
    free(g->rows);
    tare_draft_release(g);
    free(g->raw);
    free(g->top);
    free(g->prompt_rows);
    free(g->scored);
    free(g->scored_top);
    free(g);
}

const char *tare_finish_name(enum tare_finish finish)
{
    static const char *const names[] = {"none", "end", "stop", "length", "grammar", "stuck", "cancelled", "failed"};
    return (size_t)finish < sizeof names / sizeof *names ? names[finish] : "none";
}

void tare_generate_drafts(const tare_generate *g, int64_t *guessed, int64_t *right)
{
    if (!g || !guessed || !right)
        return;
    *guessed = g->guessed;
    *right = g->right;
}

void tare_generate_cancel(tare_generate *g)
{
    if (!g)
        return;
    __atomic_store_n(&g->cancelled, 1, __ATOMIC_RELAXED);
}

const struct tare_error *tare_generate_error(const tare_generate *g)
{
    if (!g)
        return NULL;
    return &g->error;
}

static enum tare_code copy_sampling(tare_generate *g, const struct tare_sampling *s, struct tare_error *err)
{
    enum tare_code code;
    if ((code = tare_sized_read(&g->sampling, sizeof g->sampling, s, "sampling", err)) ||
        (code = tare_sized_list_check(g->sampling.bias, g->sampling.n_bias, g->sampling.bias_stride, sizeof *g->bias,
                                      "bias", err)))
        return code;
    const size_t n = g->sampling.n_bias;
    g->bias = calloc(n + 1, sizeof *g->bias);
    if (!g->bias)
        return tare_fail_memory(err);
    for (size_t i = 0; i < n; i++)
        memcpy(&g->bias[i], tare_sized_at(g->sampling.bias, i, g->sampling.bias_stride, sizeof *g->bias),
               sizeof *g->bias);
    g->sampling.bias = g->bias;
    g->sampling.bias_stride = sizeof *g->bias;
    return TARE_OK;
}

static enum tare_code copy_text(tare_generate *g, const int32_t *prompt, size_t n, struct tare_error *err)
{
    const size_t before = (size_t)tare_session_length(g->session);
    if (!prompt || n == 0)
        return tare_fail(err, TARE_E_ARGUMENT, "prompt", "the prompt has no ids");
    if (n > (size_t)g->context - before)
        return tare_fail(err, TARE_E_ARGUMENT, "context",
                         "the prompt's %zu tokens do not fit: %zu of the context's %lld are used", n, before,
                         (long long)g->context);
    g->ids = malloc(((size_t)g->context + 1) * sizeof *g->ids);
    g->rows = malloc((g->draft_most + 1) * (size_t)g->vocabulary * sizeof *g->rows);
    if (!g->ids || !g->rows)
        return tare_fail_memory(err);
    if (before)
        memcpy(g->ids, tare_session_ids(g->session), before * sizeof *g->ids);
    memcpy(g->ids + before, prompt, n * sizeof *g->ids);
    g->fed = before;
    g->n = g->prompt = before + n;
    return TARE_OK;
}

/* Feeds the prompt to the stream of text too, since what stands before a piece decides whether it starts with a space.
 */
static enum tare_code open_stream(tare_generate *g, struct tare_error *err)
{
    const char *piece = NULL;
    enum tare_code code = tare_stream_open(&g->stream, g->tokenizer, true, err);
    for (size_t i = 0; i < g->n && !code; i++)
        code = tare_stream_put(g->stream, g->ids[i], &piece, NULL, err);
    return code;
}

/* Makes room for log-probabilities, as many as one step can tell. Those of a prompt limit how much of it a step reads,
 * because each of its ids has a row of logits. */
static enum tare_code open_logprobs(tare_generate *g, const struct tare_generate_options *o, struct tare_error *err)
{
    if (o->top_logprobs < 0 || o->top_logprobs > TARE_LOGPROBS_MOST)
        return tare_fail(err, TARE_E_ARGUMENT, "top_logprobs", "is %d; a step tells of 0 to %d likeliest ids",
                         o->top_logprobs, TARE_LOGPROBS_MOST);
    const size_t columns = (size_t)g->vocabulary, waiting = g->n - g->fed;
    g->top_most = (size_t)o->top_logprobs;
    if (o->logprobs) {
        g->raw = malloc(columns * sizeof *g->raw);
        g->top = calloc(g->top_most + 1, sizeof *g->top);
        if (!g->raw || !g->top)
            return tare_fail_memory(err);
    }
    if (!o->prompt_logprobs)
        return TARE_OK;
    const size_t fit = PROMPT_ROWS_BYTES / (columns * sizeof *g->prompt_rows);
    const size_t most = fit < 1 ? 1 : fit < PROMPT_ROWS_MOST ? fit : PROMPT_ROWS_MOST;
    const size_t rows = most < waiting ? most : waiting;
    g->chunk = rows < g->chunk ? rows : g->chunk;
    g->prompt_rows = malloc(g->chunk * columns * sizeof *g->prompt_rows);
    g->scored = calloc(g->chunk + 1, sizeof *g->scored);
    g->scored_top = calloc((g->chunk + 1) * (g->top_most + 1), sizeof *g->scored_top);
    return g->prompt_rows && g->scored && g->scored_top ? TARE_OK : tare_fail_memory(err);
}

static enum tare_code check_options(const struct tare_generate_options *o, struct tare_error *err)
{
    if (o->max_tokens < -1)
        return tare_fail(err, TARE_E_ARGUMENT, "max_tokens",
                         "is %lld; a number of ids, 0 (until the context is full) or -1 (none) is expected",
                         (long long)o->max_tokens);
    if (o->prompt_chunk < 0)
        return tare_fail(err, TARE_E_ARGUMENT, "prompt_chunk", "is %lld; a number of ids or 0 (all) is expected",
                         (long long)o->prompt_chunk);
    if (o->draft_most < 0)
        return tare_fail(err, TARE_E_ARGUMENT, "draft_most", "is %d; a number of ids or 0 (7) is expected",
                         o->draft_most);
    if ((unsigned)o->draft > TARE_DRAFT_MODEL)
        return tare_fail(err, TARE_E_ARGUMENT, "draft", "is %d; a kind of draft that this version knows is expected",
                         (int)o->draft);
    return TARE_OK;
}

static enum tare_code open_generation(tare_generate *g, const int32_t *prompt, size_t n,
                                      const struct tare_generate_options *o, struct tare_error *err)
{
    enum tare_code code = check_options(o, err);
    if (code)
        return code;
    g->vocabulary = tare_session_vocabulary(g->session);
    g->context = tare_session_context(g->session);
    g->most = o->max_tokens > 0 ? o->max_tokens : o->max_tokens < 0 ? 0 : INT64_MAX;
    g->chunk = o->prompt_chunk > 0 ? (size_t)o->prompt_chunk : SIZE_MAX;
    g->lookup = o->draft == TARE_DRAFT_LOOKUP;
    g->draft_most = o->draft == TARE_DRAFT_NONE       ? 0
                    : o->draft_most == 0              ? TARE_DRAFT_USUAL
                    : o->draft_most < TARE_DRAFT_MOST ? (size_t)o->draft_most
                                                      : TARE_DRAFT_MOST;
    g->draft_now = g->draft_most;
    g->ignore_ends = o->ignore_ends;
    if ((code = copy_sampling(g, o->sampling, err)) || (code = copy_text(g, prompt, n, err)) ||
        (code = tare_stops_open(&g->stops, o->stops, o->stop_sizes, o->n_stops, err)) ||
        (code = open_logprobs(g, o, err)) || (code = open_stream(g, err)) ||
        (o->draft == TARE_DRAFT_MODEL && (code = tare_draft_open(g, o->drafter, err))))
        return code;
    return o->grammar ? tare_grammar_state_open(&g->grammar, o->grammar, err) : TARE_OK;
}

enum tare_code tare_generate_open(tare_generate **generate, tare_session *session, const tare_tokenizer *tokenizer,
                                  const int32_t *prompt, size_t n, const struct tare_generate_options *options,
                                  struct tare_error *err)
{
    struct tare_generate_options own;
    if (generate)
        *generate = NULL;
    if (!generate || !session || !tokenizer)
        return tare_fail(err, TARE_E_ARGUMENT, "", "a text needs a place for it, a session and a tokenizer");
    const enum tare_code bad = tare_sized_read(&own, sizeof own, options, "options", err);
    if (bad)
        return bad;
    tare_generate *g = calloc(1, sizeof *g);
    if (!g)
        return tare_fail_memory(err);
    g->session = session;
    g->tokenizer = tokenizer;
    const enum tare_code code = open_generation(g, prompt, n, &own, err);
    if (code)
        tare_generate_free(g);
    else
        *generate = g;
    return code;
}

void tare_generate_options_init(struct tare_generate_options *options, size_t size)
{
    tare_sized_init(options, size);
}

void tare_generated_init(struct tare_generated *generated, size_t size)
{
    tare_sized_init(generated, size);
}
