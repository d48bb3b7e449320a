/* SPDX-License-Identifier: MIT
 * generate.h - a text that is being continued, for generate.c, which opens and frees it, and generate_step.c, which
 * steps many of them together.
 */
#ifndef TARE_RUN_SESSION_GENERATE_H
#define TARE_RUN_SESSION_GENERATE_H

#include "kernels/kernels.h"
#include "run/session/stop.h"
#include "text/tokenizer.h"

#define TARE_DRAFT_MOST 64
#define TARE_DRAFT_USUAL (TARE_TILE_TOKENS - 1) /* with the last id they fill one call of the tiles */

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
    size_t prompt; /* the first `prompt` ids were there at the beginning */
    size_t chunk;  /* the most ids of the prompt that one step reads */
    float *rows;   /* logits: row k comes after the k-th id of the last feed that asked for logits */
    size_t row, n_rows;
    int64_t vocabulary, context, most, drawn, guessed, right;
    int32_t draft[TARE_DRAFT_MOST], feed[TARE_DRAFT_MOST + 1]; /* feed: the last id, and guesses */
    size_t draft_most, draft_now, guesses;                     /* guesses: how many the last feed had */
    bool lookup, ignore_ends;
    tare_session *drafter; /* of a smaller model, or NULL; the caller's */
    float *drafter_row;    /* its logits */
    int64_t drafter_vocabulary;
    /* What a step tells of the chosen id, and of the top_most likeliest ones in its place. `raw` keeps the row of
     * logits as it was before it is adjusted. Both NULL when nothing is to be told. */
    size_t top_most;
    float *raw;
    struct tare_logprob *top;
    /* What a step tells of ids of the prompt: up to chunk + 1 of them, and top_most likeliest ones for each. While the
     * prompt is read, prompt_rows has room for the logits of `chunk` ids. All NULL when nothing is to be told. */
    float *prompt_rows;
    struct tare_prompt_logprob *scored;
    struct tare_logprob *scored_top;
    size_t n_scored;
    bool told; /* the first id of the prompt */
    /* Of the present step. */
    int32_t id;
    float logprob;
    size_t n_top;
    size_t fed_now; /* how many ids of the prompt this step feeds */
    int cancelled;  /* read and written atomically */
    enum tare_finish finish;
    struct tare_error error; /* code TARE_OK: none */
};

/* Does of a feed what can fail for one session alone: checks its ids and makes room in its states. Feeds that were
 * prepared fail only all together. */
enum tare_code tare_feed_prepare(const struct tare_feed *feed, struct tare_error *err);
/* As tare_session_feed_each(), and `cancel` replaces the sessions' own. */
enum tare_code tare_feed_run(struct tare_feed *feeds, size_t n, const volatile int *cancel, struct tare_error *err);
const volatile int *tare_session_cancel(const tare_session *session); /* NULL: it has none */
/* Tells whether two sessions may go through one step: they are of one model, and computed in the same way. */
bool tare_session_joins(const tare_session *a, const tare_session *b);
/* The threads that a step of this session runs on. */
struct tare_pool *tare_session_pool(const tare_session *session);

#endif
