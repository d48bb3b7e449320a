/* SPDX-License-Identifier: MIT
 * draft.c - guesses the next ids of texts: from each text itself (lookup.c), or by a smaller model that reads along
 * (Leviathan, Kalman, Matias 2023).
 *
 * A draw is a function of the seed, its number and the logits at its place. The smaller model draws with the numbers
 * that the text's own model will draw with, so that where the two agree on the logits they agree on the id, at any
 * temperature; and a guess is taken only if it is what the text's own model draws. So the text is the one without drafts.
 */
#include "run/session/draft.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "run/session/logprob.h"
#include "run/session/lookup.h"

/* The smaller model stops guessing where its draw had less than this share of its own probability: a guess costs one of
 * its passes, and a place in the larger model's pass. */
static const float SURE = 0.4f;

/* A smaller model's part in the guesses of one step. */
struct guesser {
    tare_generate *g;
    tare_grammar_state *grammar; /* a fork, which goes ahead with the guesses */
    size_t most;
    struct tare_feed feed;
};

/* Returns how many guesses may follow the last id: no more than there is room for, or ids left to choose. */
static size_t room(const tare_generate *g)
{
    const int64_t free_rows = g->context - (int64_t)g->n, left = g->most - g->drawn - 1;
    int64_t most = (int64_t)g->draft_now;
    most = free_rows < most ? free_rows : most;
    most = left < most ? left : most;
    return most > 0 ? (size_t)most : 0;
}

/* Brings the smaller model to where the text is: what it holds beyond their common beginning is forgotten, and the feed
 * is what it lacks. */
static bool align(struct guesser *u)
{
    tare_generate *g = u->g;
    const int32_t *held = tare_session_ids(g->drafter);
    const int64_t length = tare_session_length(g->drafter), context = tare_session_context(g->drafter);
    size_t same = 0;
    while ((int64_t)same < length && same + 1 < g->n && held[same] == g->ids[same])
        same++;
    const int64_t fit = context - (int64_t)g->n + 1; /* the last guess is not fed */
    u->most = fit < (int64_t)u->most ? (size_t)(fit > 0 ? fit : 0) : u->most;
    u->feed =
        (struct tare_feed){.session = g->drafter, .ids = g->ids + same, .n = g->n - same, .logits = g->drafter_row};
    return u->most > 0 && tare_session_rewind(g->drafter, (int64_t)same, NULL) == TARE_OK;
}

static bool begin(struct guesser *u, tare_generate *g)
{
    *u = (struct guesser){.g = g, .most = room(g)};
    if (!u->most || !align(u))
        return false;
    return !g->grammar || tare_grammar_state_fork(&u->grammar, g->grammar, NULL) == TARE_OK;
}

/* Draws from the smaller model's row as the text's own model will from its own. Returns -1 where there is no guess. */
static int32_t draw(const struct guesser *u)
{
    tare_generate *g = u->g;
    float *row = g->drafter_row;
    int64_t allowed = 1;
    int32_t id = -1;
    for (int64_t i = 0; i < g->drafter_vocabulary; i++)
        if (!(row[i] <= FLT_MAX))
            return -1;
    if (tare_sample_adjust(row, g->drafter_vocabulary, &g->sampling, g->ids, g->n + g->guesses, NULL) ||
        (u->grammar && (tare_grammar_mask(u->grammar, row, g->drafter_vocabulary, &allowed, NULL) || !allowed)) ||
        tare_sample(&id, row, g->drafter_vocabulary, &g->sampling, (uint64_t)g->drawn + g->guesses, NULL))
        return -1;
    const double sum = tare_log_sum(row, g->drafter_vocabulary);
    return id < g->vocabulary && tare_logprob_of(row, id, sum) >= logf(SURE) ? id : -1;
}

/* After a feed: takes one guess. Returns whether another one is to follow. */
static bool take(struct guesser *u)
{
    tare_generate *g = u->g;
    const int32_t id = draw(u);
    if (id < 0 || tare_tokenizer_ends(g->tokenizer, id) || (u->grammar && tare_grammar_accept(u->grammar, id, NULL)))
        return false;
    g->ids[g->n + g->guesses] = id; /* not yet of the text; penalties look back over it */
    g->draft[g->guesses++] = id;
    u->feed.ids = g->draft + g->guesses - 1;
    u->feed.n = 1;
    return g->guesses < u->most && !(u->grammar && tare_grammar_closed(u->grammar));
}

/* Feeds those that may go through one pass with the first, and takes their guesses. The others come to the front, and
 * their number is returned. */
static size_t round_of(struct guesser *all, size_t n, struct tare_feed *feeds, struct guesser *with)
{
    size_t joined = 0, others = 0;
    const tare_session *first = all[0].g->drafter;
    for (size_t i = 0; i < n; i++) {
        if (tare_session_joins(first, all[i].g->drafter))
            with[joined++] = all[i];
        else
            all[others++] = all[i];
    }
    bool fed = true;
    for (size_t i = 0; i < joined; i++) {
        feeds[i] = with[i].feed;
        fed = fed && tare_feed_prepare(&feeds[i], NULL) == TARE_OK;
    }
    fed = fed && tare_feed_run(feeds, joined, tare_session_cancel(first), NULL) == TARE_OK;
    for (size_t i = 0; i < joined; i++)
        if (fed && take(&with[i]))
            all[others++] = with[i];
        else
            tare_grammar_state_free(with[i].grammar);
    return others;
}

void tare_draft_each(tare_generate *const *generates, size_t n)
{
    size_t left = 0;
    for (size_t i = 0; i < n; i++)
        if (generates[i]->lookup)
            generates[i]->guesses =
                tare_lookup(generates[i]->ids, generates[i]->n, generates[i]->draft, room(generates[i]));
        else
            left += generates[i]->drafter != NULL;
    struct guesser *all = left ? calloc(2 * left, sizeof *all) : NULL;
    struct tare_feed *feeds = left ? calloc(left, sizeof *feeds) : NULL;
    struct guesser *with = all ? all + left : NULL;
    left = 0;
    for (size_t i = 0; all && feeds && i < n; i++)
        if (generates[i]->drafter) {
            if (begin(&all[left], generates[i]))
                left++;
            else
                tare_grammar_state_free(all[left].grammar);
        }
    while (left)
        left = round_of(all, left, feeds, with);
    free(feeds);
    free(all);
}

enum tare_code tare_draft_open(tare_generate *g, tare_session *drafter, struct tare_error *err)
{
    if (!drafter)
        return tare_fail(err, TARE_E_ARGUMENT, "drafter",
                         "is NULL; TARE_DRAFT_MODEL needs the session of a smaller model");
    if (drafter == g->session)
        return tare_fail(err, TARE_E_ARGUMENT, "drafter", "is the text's own session; a smaller model's is expected");
    g->drafter_vocabulary = tare_session_vocabulary(drafter);
    g->drafter_row = malloc((size_t)g->drafter_vocabulary * sizeof *g->drafter_row);
    if (!g->drafter_row)
        return tare_fail_memory(err);
    g->drafter = drafter;
    return TARE_OK;
}

void tare_draft_release(tare_generate *g)
{
    free(g->drafter_row);
}
