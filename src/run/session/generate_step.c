/* SPDX-License-Identifier: MIT
 * generate_step.c - continues texts: feeds ids to their sessions, all in one pass over the weights, chooses the next id
 * of each, and gives out its piece of text.
 *
 * With drafts, the chosen id and the guesses after it are fed in one step, which gives a row of logits for each. The
 * row after the id decides what comes next. As long as that is what was guessed, the row after the guess decides again.
 * At the first wrong guess the session is rewound to before it.
 *
 * What a text becomes does not depend on the texts beside it: logits do not, and all else belongs to one text.
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/pool.h"
#include "base/sized.h"
#include "run/session/draft.h"
#include "run/session/logprob.h"

/* ---- what is fed ------------------------------------------------------------------------------------------------- */

/* Says what the text's session is to be fed: the next part of the prompt, or the last id and guesses. */
static struct tare_feed next_feed(tare_generate *g)
{
    const size_t waiting = g->n - g->fed;
    if (g->fed < g->prompt) {
        const size_t n = g->fed_now = waiting < g->chunk ? waiting : g->chunk;
        return (struct tare_feed){.session = g->session,
                                  .ids = g->ids + g->fed,
                                  .n = n,
                                  .all = g->prompt_rows,
                                  .logits = g->prompt_rows ? g->prompt_rows
                                            : n == waiting ? g->rows
                                                           : NULL,
                                  .later = waiting - n};
    }
    g->feed[0] = g->ids[g->fed];
    memcpy(g->feed + 1, g->draft, g->guesses * sizeof *g->feed);
    return (struct tare_feed){
        .session = g->session, .ids = g->feed, .n = g->guesses + 1, .all = true, .logits = g->rows};
}

/* After a feed: the rows of logits are there. */
static void keep_feed(tare_generate *g)
{
    const size_t from = g->fed;
    if (g->fed < g->prompt) {
        g->fed += g->fed_now;
        g->guesses = 0;
    } else {
        g->fed = g->n;
        g->guessed += (int64_t)g->guesses;
    }
    if (g->fed < g->n)
        return;
    if (from < g->prompt && g->prompt_rows) {
        const size_t columns = (size_t)g->vocabulary;
        memcpy(g->rows, g->prompt_rows + (g->fed_now - 1) * columns, columns * sizeof *g->rows);
    }
    g->row = 0;
    g->n_rows = g->guesses + 1;
}

/* Notes how far the session has come when a feed has failed: a part of a long prompt may have gone through, or guesses
 * that nobody will confirm. */
static void note_length(tare_generate *g)
{
    if (tare_session_length(g->session) > (int64_t)g->n)
        tare_session_rewind(g->session, (int64_t)g->n, NULL);
    g->fed = (size_t)tare_session_length(g->session);
    g->n_rows = g->row = 0;
}

/* ---- choosing an id ---------------------------------------------------------------------------------------------- */

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

/* Tells the log-probability of each id of the prompt that the rows of this feed predict. The first id of the prompt is
 * told with the first feed, and no row predicts it. */
static enum tare_code score_prompt(tare_generate *g)
{
    const size_t first = g->fed - g->fed_now; /* the id whose row comes first */
    if (!g->told) {
        g->told = true;
        g->scored[g->n_scored++] = (struct tare_prompt_logprob){.id = g->ids[first], .logprob = NAN};
    }
    for (size_t k = 0; k < g->fed_now && first + k + 1 < g->prompt; k++) {
        const float *row = g->prompt_rows + k * (size_t)g->vocabulary;
        const int32_t id = g->ids[first + k + 1];
        struct tare_logprob *top = g->scored_top + g->n_scored * g->top_most;
        const enum tare_code code = check_row(row, g->vocabulary, &g->error);
        if (code)
            return code;
        if (id >= g->vocabulary)
            return tare_fail(&g->error, TARE_E_ARGUMENT, "prompt", "id %ld has no logit: the head has %lld rows",
                             (long)id, (long long)g->vocabulary);
        const double sum = tare_log_sum(row, g->vocabulary);
        const size_t n_top = tare_logprobs_top(row, g->vocabulary, sum, g->top_most, top);
        g->scored[g->n_scored++] = (struct tare_prompt_logprob){id, tare_logprob_of(row, id, sum), n_top, top};
    }
    return TARE_OK;
}

/* Chooses the next id; g->id stays -1 where the grammar leaves none. */
static enum tare_code choose(tare_generate *g)
{
    float *logits = g->rows + g->row * (size_t)g->vocabulary;
    int64_t allowed = 1;
    double sum = 0;
    enum tare_code code = check_row(logits, g->vocabulary, &g->error);
    if (!code && g->raw) {
        memcpy(g->raw, logits, (size_t)g->vocabulary * sizeof *logits);
        sum = tare_log_sum(logits, g->vocabulary);
        g->n_top = tare_logprobs_top(logits, g->vocabulary, sum, g->top_most, g->top);
    }
    if (!code)
        code = tare_sample_adjust(logits, g->vocabulary, &g->sampling, g->ids, g->n, &g->error);
    for (size_t i = 0; g->ignore_ends && i < g->tokenizer->n_ends; i++)
        if (g->tokenizer->ends[i] < g->vocabulary)
            logits[g->tokenizer->ends[i]] = -INFINITY;
    if (!code && g->grammar)
        code = tare_grammar_mask(g->grammar, logits, g->vocabulary, &allowed, &g->error);
    if (code || !allowed)
        return code;
    int32_t id = -1;
    code = tare_sample(&id, logits, g->vocabulary, &g->sampling, (uint64_t)g->drawn, &g->error);
    if (code || (g->grammar && !(logits[id] > -INFINITY)))
        return code; /* what the grammar allows is ruled out by a bias, or is not a number */
    g->id = id;
    if (g->raw)
        g->logprob = tare_logprob_of(g->raw, id, sum);
    return TARE_OK;
}

/* What one text computes by itself, so that threads share the texts. */
static void read_rows(void *user, size_t i, int worker)
{
    tare_generate *g = ((tare_generate *const *)user)[i];
    (void)worker;
    if (g->finish || g->error.code)
        return;
    if (g->fed_now && g->prompt_rows && score_prompt(g))
        return;
    if (g->row < g->n_rows && g->most > 0)
        choose(g);
}

/* ---- what comes of it -------------------------------------------------------------------------------------------- */

/* Compares the chosen id with the guess. If it was right, the next row is the one to read; otherwise the session is
 * rewound to before the guesses. */
static enum tare_code settle(tare_generate *g, int32_t id)
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
    return left ? tare_session_rewind(g->session, (int64_t)g->fed, &g->error) : TARE_OK;
}

/* Ends the text: gives out what was held back, and leaves no guesses in the session. */
static enum tare_code finish(tare_generate *g, enum tare_finish why)
{
    const char *piece = "";
    size_t size = 0;
    bool found = why == TARE_FINISH_STOP;
    enum tare_code code = TARE_OK;
    g->finish = why;
    if (!found && !(code = tare_stream_end(g->stream, &piece, &size, &g->error)) &&
        !(code = tare_stops_put(&g->stops, piece, size, &g->out, &found, &g->error))) {
        if (found)
            g->finish = TARE_FINISH_STOP;
        else
            code = tare_stops_end(&g->stops, &g->out, &g->error);
    }
    if (!code && tare_session_length(g->session) > (int64_t)g->fed)
        code = tare_session_rewind(g->session, (int64_t)g->fed, &g->error);
    g->n_rows = g->row = 0;
    return code;
}

static enum tare_code say(tare_generate *g, int32_t id)
{
    const char *piece = NULL;
    size_t size = 0;
    bool found = false;
    enum tare_code code;
    if ((code = tare_stream_put(g->stream, id, &piece, &size, &g->error)) ||
        (code = tare_stops_put(&g->stops, piece, size, &g->out, &found, &g->error)))
        return code;
    if (found)
        return finish(g, TARE_FINISH_STOP);
    if (g->grammar && tare_grammar_closed(g->grammar))
        return finish(g, TARE_FINISH_GRAMMAR);
    if (g->drawn >= g->most || (int64_t)g->n > g->context)
        return finish(g, TARE_FINISH_LENGTH);
    return TARE_OK;
}

/* Continues the text by the id that was chosen. */
static enum tare_code take_id(tare_generate *g)
{
    enum tare_code code;
    if (g->most <= 0)
        return finish(g, TARE_FINISH_LENGTH);
    if (g->id < 0)
        return finish(g, g->grammar && tare_grammar_complete(g->grammar) ? TARE_FINISH_GRAMMAR : TARE_FINISH_STUCK);
    if (!g->ignore_ends && tare_tokenizer_ends(g->tokenizer, g->id))
        return finish(g, TARE_FINISH_END);
    if (g->grammar && (code = tare_grammar_accept(g->grammar, g->id, &g->error)))
        return code;
    code = settle(g, g->id);
    return code ? code : say(g, g->id);
}

/* ---- one step of many texts -------------------------------------------------------------------------------------- */

static void fail(tare_generate *g)
{
    g->finish = TARE_FINISH_FAILED;
    note_length(g);
}

static void begin(tare_generate *g)
{
    g->out.size = 0;
    tare_text_add(&g->out, "", 0);
    g->id = -1;
    g->logprob = NAN;
    g->n_top = g->n_scored = g->fed_now = 0;
    if (g->prompt_rows && g->fed >= g->prompt) {
        free(g->prompt_rows); /* the prompt has been read */
        g->prompt_rows = NULL;
    }
    if (!g->finish && __atomic_load_n(&g->cancelled, __ATOMIC_RELAXED) && finish(g, TARE_FINISH_CANCELLED))
        fail(g);
}

/* What is fed in a step, and to which texts. */
struct round {
    struct tare_feed *feeds;
    tare_generate **of;
    size_t n;
};

/* Makes guesses for the texts that will feed their last id in this step. */
static void guess(struct round *round, tare_generate *const *generates, size_t n)
{
    size_t guessing = 0;
    for (size_t i = 0; i < n; i++) {
        tare_generate *g = generates[i];
        if (g->finish || g->row < g->n_rows || g->fed < g->prompt)
            continue;
        g->guesses = 0;
        if (g->draft_most)
            round->of[guessing++] = g;
    }
    if (guessing)
        tare_draft_each(round->of, guessing);
}

/* Collects the feeds of all texts that have no row of logits left. A text whose feed would fail ends with its error. */
static void collect(struct round *round, tare_generate *const *generates, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        tare_generate *g = generates[i];
        if (g->finish || g->row < g->n_rows)
            continue;
        struct tare_feed *feed = &round->feeds[round->n];
        *feed = next_feed(g);
        const volatile int *cancel = tare_session_cancel(g->session);
        if (cancel && __atomic_load_n(cancel, __ATOMIC_RELAXED)) {
            if (finish(g, TARE_FINISH_CANCELLED))
                fail(g);
        } else if (tare_feed_prepare(feed, &g->error)) {
            fail(g);
        } else {
            round->of[round->n++] = g;
        }
    }
}

/* Returns the flag that ends the whole feed: that of the sessions, if all have the same one. */
static const volatile int *shared_cancel(const struct round *round)
{
    const volatile int *cancel = tare_session_cancel(round->of[0]->session);
    for (size_t i = 1; i < round->n && cancel; i++)
        if (tare_session_cancel(round->of[i]->session) != cancel)
            cancel = NULL;
    return cancel;
}

static void feed(struct round *round)
{
    struct tare_error err = {0};
    if (!round->n)
        return;
    const enum tare_code code = tare_feed_run(round->feeds, round->n, shared_cancel(round), &err);
    for (size_t i = 0; i < round->n; i++) {
        tare_generate *g = round->of[i];
        if (!code) {
            keep_feed(g);
            continue;
        }
        note_length(g);
        g->fed_now = 0;
        if (code != TARE_E_CANCELLED)
            g->error = err;
        if (code != TARE_E_CANCELLED || finish(g, TARE_FINISH_CANCELLED))
            fail(g);
    }
}

static void end(tare_generate *g)
{
    if (!g->finish && !g->error.code && g->row < g->n_rows)
        (void)take_id(g);
    if (!g->error.code && g->out.failed)
        (void)tare_fail_memory(&g->error);
    if (g->error.code && g->finish != TARE_FINISH_FAILED)
        fail(g);
    if (g->out.data)
        g->out.data[g->out.size] = '\0';
}

static void tell(const tare_generate *g, struct tare_generated *step)
{
    const struct tare_generated made = {.text = g->out.data ? g->out.data : "",
                                        .bytes = g->out.size,
                                        .id = g->id,
                                        .finish = g->finish,
                                        .code = g->error.code,
                                        .waiting = g->finish || g->fed >= g->prompt ? 0 : g->prompt - g->fed,
                                        .logprob = g->logprob,
                                        .top = g->top,
                                        .n_top = g->n_top,
                                        .top_stride = sizeof *g->top,
                                        .prompt = g->scored,
                                        .n_prompt = g->n_scored,
                                        .prompt_stride = sizeof *g->scored,
                                        .stop = g->finish == TARE_FINISH_STOP ? g->stops.found : 0};
    tare_sized_write(step, &made, sizeof made);
}

/* Returns where the step of text i goes. */
static struct tare_generated *step_at(struct tare_generated *steps, size_t i, size_t stride)
{
    return (struct tare_generated *)(void *)((unsigned char *)steps + i * (stride ? stride : sizeof *steps));
}

/* Does a text use a session of the other one, as its own or to guess with? */
static bool shares(const tare_generate *a, const tare_generate *b)
{
    return a->session == b->session || a->session == b->drafter || (a->drafter && a->drafter == b->drafter) ||
           a->drafter == b->session;
}

static enum tare_code check(tare_generate *const *generates, size_t n, struct tare_generated *steps, size_t stride,
                            struct tare_error *err)
{
    enum tare_code code = TARE_OK;
    if (!generates || !n)
        return tare_fail(err, TARE_E_ARGUMENT, "generates", "no texts were given");
    for (size_t i = 0; i < n && !code; i++) {
        if (!generates[i] || !generates[0] || !tare_session_joins(generates[0]->session, generates[i]->session))
            return tare_fail(err, TARE_E_ARGUMENT, "generates",
                             "the texts of one step are of one model and computed alike; number %zu is not", i);
        for (size_t k = 0; k < i; k++)
            if (shares(generates[k], generates[i]))
                return tare_fail(err, TARE_E_ARGUMENT, "generates",
                                 "a session has one text at a time; number %zu comes twice", i);
        code = tare_sized_check(steps ? step_at(steps, i, stride) : NULL, "steps", err);
    }
    return code;
}

static void step_all(struct round *round, tare_generate *const *generates, size_t n)
{
    for (size_t i = 0; i < n; i++)
        begin(generates[i]);
    guess(round, generates, n);
    collect(round, generates, n);
    feed(round);
    if (n > 1)
        tare_pool_run(tare_session_pool(generates[0]->session), n, read_rows, (void *)(uintptr_t)generates);
    else
        read_rows((void *)(uintptr_t)generates, 0, 0);
    for (size_t i = 0; i < n; i++)
        end(generates[i]);
}

enum tare_code tare_generate_each(tare_generate *const *generates, size_t n, struct tare_generated *steps,
                                  size_t stride, struct tare_error *err)
{
    const enum tare_code code = check(generates, n, steps, stride, err);
    if (code)
        return code;
    struct round round = {.feeds = calloc(n, sizeof *round.feeds), .of = calloc(n, sizeof(tare_generate *))};
    const bool room = round.feeds && round.of;
    if (room)
        step_all(&round, generates, n);
    free(round.feeds);
    free(round.of);
    if (!room)
        return tare_fail_memory(err);
    for (size_t i = 0; i < n; i++)
        tell(generates[i], step_at(steps, i, stride));
    return TARE_OK;
}

enum tare_code tare_generate_next(tare_generate *g, struct tare_generated *step, struct tare_error *err)
{
    struct tare_feed one_feed;
    tare_generate *one = NULL;
    const enum tare_code code = check(&g, 1, step, 0, err);
    if (code)
        return code;
    step_all(&(struct round){.feeds = &one_feed, .of = &one}, &g, 1);
    tell(g, step);
    if (g->error.code && err)
        *err = g->error;
    return g->error.code;
}
