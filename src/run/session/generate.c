/* SPDX-License-Identifier: MIT
 * generate.c - continues a text: feeds ids to the session, chooses the next one, and gives out its piece of text.
 *
 * With drafts, the chosen id and the guesses after it are fed in one step, which gives a row of logits for each. The
 * row after the id decides what comes next. As long as that is what was guessed, the row after the guess decides again.
 * At the first wrong guess the session is rewound to before it.
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/sized.h"
#include "run/session/lookup.h"
#include "run/session/stop.h"
#include "text/tokenizer.h"

#define DRAFT_MOST 64

struct tare_generate {
    tare_session *session;
    const tare_tokenizer *tokenizer;
    tare_stream *stream;
    tare_grammar_state *grammar;
    struct tare_stops stops;
    struct tare_sampling sampling;
    struct tare_bias *bias;
    struct tare_text out;
    int32_t *ids;  /* the whole text; there is room for the context and one id more */
    size_t n, fed; /* the session holds the first `fed` ids, and after them the guesses whose rows are left */
    float *rows;   /* logits: row k comes after the k-th id of the last feed that asked for logits */
    size_t row, n_rows;
    int64_t vocabulary, context, most, drawn, guessed, right;
    int32_t draft[DRAFT_MOST];
    size_t draft_most, draft_now;
    bool lookup, ignore_ends;
    enum tare_finish finish;
};

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
    free(g);
}

const char *tare_finish_name(enum tare_finish finish)
{
    static const char *const names[] = {"none", "end", "stop", "length", "grammar", "stuck", "cancelled"};
    return (size_t)finish < sizeof names / sizeof *names ? names[finish] : "none";
}

void tare_generate_drafts(const tare_generate *g, int64_t *guessed, int64_t *right)
{
    *guessed = g->guessed;
    *right = g->right;
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
    g->n = before + n;
    return TARE_OK;
}

/* Feeds the prompt to the stream of text too, since what stands before a piece decides whether it starts with a space.
 */
static enum tare_code open_stream(tare_generate *g, struct tare_error *err)
{
    const char *piece = NULL;
    enum tare_code code = tare_stream_open(&g->stream, g->tokenizer, true, err);
    for (size_t i = 0; i < g->n && !code; i++)
        code = tare_stream_put(g->stream, g->ids[i], &piece, err);
    return code;
}

static enum tare_code open_generation(tare_generate *g, const int32_t *prompt, size_t n,
                                      const struct tare_generate_options *o, struct tare_error *err)
{
    enum tare_code code;
    g->vocabulary = tare_session_vocabulary(g->session);
    g->context = tare_session_context(g->session);
    g->most = o->max_tokens > 0 ? o->max_tokens : INT64_MAX;
    g->lookup = o->draft == TARE_DRAFT_LOOKUP;
    g->draft_most = !g->lookup                   ? 0
                    : o->draft_most <= 0         ? 8
                    : o->draft_most < DRAFT_MOST ? (size_t)o->draft_most
                                                 : DRAFT_MOST;
    g->draft_now = g->draft_most;
    g->ignore_ends = o->ignore_ends;
    if ((code = copy_sampling(g, o->sampling, err)) || (code = copy_text(g, prompt, n, err)) ||
        (code = tare_stops_open(&g->stops, o->stops, o->n_stops, err)) || (code = open_stream(g, err)))
        return code;
    return o->grammar ? tare_grammar_state_open(&g->grammar, o->grammar, err) : TARE_OK;
}

enum tare_code tare_generate_open(tare_generate **generation, tare_session *session, const tare_tokenizer *tokenizer,
                                  const int32_t *prompt, size_t n, const struct tare_generate_options *options,
                                  struct tare_error *err)
{
    struct tare_generate_options own;
    if (generation)
        *generation = NULL;
    if (!generation || !session || !tokenizer)
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
        *generation = g;
    return code;
}

/* Provides a row of logits for the next id: one that is left from the last feed, or one of a new feed. */
static enum tare_code have_row(tare_generate *g, struct tare_error *err)
{
    if (g->row < g->n_rows)
        return TARE_OK;
    int32_t feed[DRAFT_MOST + 1];
    const size_t waiting = g->n - g->fed;
    const int64_t room = g->context - (int64_t)g->n, left = g->most - g->drawn - 1;
    size_t guesses = g->draft_now;
    if (waiting != 1) /* the prompt */
        guesses = 0;
    guesses = room < (int64_t)guesses ? (size_t)room : guesses;
    guesses = left < (int64_t)guesses ? (size_t)(left > 0 ? left : 0) : guesses;
    if (guesses)
        guesses = tare_lookup(g->ids, g->n, g->draft, guesses);
    enum tare_code code;
    if (guesses) {
        feed[0] = g->ids[g->fed];
        memcpy(feed + 1, g->draft, guesses * sizeof *feed);
        code = tare_session_feed(g->session, feed, guesses + 1, true, g->rows, err);
    } else {
        code = tare_session_feed(g->session, g->ids + g->fed, waiting, false, g->rows, err);
    }
    if (code)
        return code;
    g->fed = g->n;
    g->row = 0;
    g->n_rows = guesses + 1;
    g->guessed += (int64_t)guesses;
    return TARE_OK;
}

/* Refuses a row with a NaN or +INFINITY, which comes from bad weights. -INFINITY is how a model rules an id out. */
static enum tare_code check_row(const float *logits, int64_t n, struct tare_error *err)
{
    int64_t strange = 0;
    for (int64_t i = 0; i < n; i++)
        strange += !(logits[i] <= FLT_MAX);
    return strange == 0 ? TARE_OK
                        : tare_fail(err, TARE_E_FORMAT, "logits",
                                    "%lld of %lld are no finite numbers: the weights hold NaN or infinity; tare verify "
                                    "says where",
                                    (long long)strange, (long long)n);
}

/* Chooses the next id; *id is -1 where the grammar leaves none. */
static enum tare_code choose(tare_generate *g, int32_t *id, struct tare_error *err)
{
    float *logits = g->rows + g->row * (size_t)g->vocabulary;
    int64_t allowed = 1;
    enum tare_code code = check_row(logits, g->vocabulary, err);
    if (!code)
        code = tare_sample_adjust(logits, g->vocabulary, &g->sampling, g->ids, g->n, err);
    for (size_t i = 0; g->ignore_ends && i < g->tokenizer->n_ends; i++)
        if (g->tokenizer->ends[i] < g->vocabulary)
            logits[g->tokenizer->ends[i]] = -INFINITY;
    if (!code && g->grammar)
        code = tare_grammar_mask(g->grammar, logits, g->vocabulary, &allowed, err);
    *id = -1;
    if (!code && allowed)
        code = tare_sample(id, logits, g->vocabulary, &g->sampling, (uint64_t)g->drawn, err);
    if (*id >= 0 && g->grammar && !(logits[*id] > -INFINITY))
        *id = -1; /* what the grammar allows is ruled out by a bias, or is not a number */
    return code;
}

/* Compares the chosen id with the guess. If it was right, the next row is the one to read; otherwise the session is
 * rewound to before the guesses. */
static enum tare_code settle(tare_generate *g, int32_t id, struct tare_error *err)
{
    const size_t guesses = g->n_rows - 1;
    g->ids[g->n++] = id;
    g->drawn++;
    if (g->row < guesses && g->draft[g->row] == id) {
        g->right++;
        g->fed++;
        g->row++;
        if (g->row == guesses && g->draft_now < g->draft_most)
            g->draft_now = 2 * g->draft_now < g->draft_most ? 2 * g->draft_now : g->draft_most;
        return TARE_OK;
    }
    if (g->row < guesses && g->row == 0 && g->draft_now > 1)
        g->draft_now /= 2; /* a wrong guess costs time, so fewer are made until they are right again */
    const bool left = g->row < guesses;
    g->n_rows = g->row = 0;
    return left ? tare_session_rewind(g->session, (int64_t)g->fed, err) : TARE_OK;
}

/* Ends the text: gives out what was held back, and leaves no guesses in the session. */
static enum tare_code finish(tare_generate *g, enum tare_finish why, struct tare_error *err)
{
    const char *piece = "";
    bool found = why == TARE_FINISH_STOP;
    enum tare_code code = TARE_OK;
    g->finish = why;
    if (!found && !(code = tare_stream_end(g->stream, &piece, err)) &&
        !(code = tare_stops_put(&g->stops, piece, strlen(piece), &g->out, &found, err))) {
        if (found)
            g->finish = TARE_FINISH_STOP;
        else
            code = tare_stops_end(&g->stops, &g->out, err);
    }
    if (!code && tare_session_length(g->session) > (int64_t)g->fed)
        code = tare_session_rewind(g->session, (int64_t)g->fed, err);
    g->n_rows = g->row = 0;
    return code;
}

static enum tare_code say(tare_generate *g, int32_t id, struct tare_error *err)
{
    const char *piece = NULL;
    bool found = false;
    enum tare_code code;
    if ((code = tare_stream_put(g->stream, id, &piece, err)) ||
        (code = tare_stops_put(&g->stops, piece, strlen(piece), &g->out, &found, err)))
        return code;
    if (found)
        return finish(g, TARE_FINISH_STOP, err);
    if (g->grammar && tare_grammar_closed(g->grammar))
        return finish(g, TARE_FINISH_GRAMMAR, err);
    if (g->drawn >= g->most || (int64_t)g->n > g->context)
        return finish(g, TARE_FINISH_LENGTH, err);
    return TARE_OK;
}

static enum tare_code go_on(tare_generate *g, int32_t *id, struct tare_error *err)
{
    enum tare_code code = have_row(g, err);
    if (code == TARE_E_CANCELLED) {
        g->fed = (size_t)tare_session_length(g->session); /* a part of a long prompt has gone through */
        return finish(g, TARE_FINISH_CANCELLED, err);
    }
    int32_t chosen = -1;
    if (code || (code = choose(g, &chosen, err)))
        return code;
    if (chosen < 0)
        return finish(g, g->grammar && tare_grammar_complete(g->grammar) ? TARE_FINISH_GRAMMAR : TARE_FINISH_STUCK,
                      err);
    *id = chosen;
    if (!g->ignore_ends && tare_tokenizer_ends(g->tokenizer, chosen))
        return finish(g, TARE_FINISH_END, err);
    if (g->grammar && (code = tare_grammar_accept(g->grammar, chosen, err)))
        return code;
    code = settle(g, chosen, err);
    return code ? code : say(g, chosen, err);
}

enum tare_code tare_generate_next(tare_generate *g, struct tare_generated *step, struct tare_error *err)
{
    if (!g)
        return tare_fail(err, TARE_E_ARGUMENT, "", "no text was given");
    enum tare_code code = tare_sized_check(step, "step", err);
    if (code)
        return code;
    int32_t id = -1;
    g->out.size = 0;
    tare_text_add(&g->out, "", 0);
    if (!g->finish) {
        code = go_on(g, &id, err);
        if (!code && g->out.failed)
            code = tare_fail_memory(err);
        if (code)
            g->finish = TARE_FINISH_CANCELLED;
    }
    if (g->out.data)
        g->out.data[g->out.size] = '\0';
    const struct tare_generated made = {
        .text = g->out.data ? g->out.data : "", .bytes = g->out.size, .id = id, .finish = g->finish};
    tare_sized_write(step, &made, sizeof made);
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
