/* SPDX-License-Identifier: MIT
 * without.c - rules for any bytes in which some words do not occur, so that a grammar may leave a text free until a mark
 * begins what it knows. A state is the longest end of the text that a word begins with (Aho and Corasick, 1975). */
#include <stdlib.h>
#include <string.h>

#include "grammar/grammar.h"

#define STATES_MOST 4096
#define NONE UINT32_MAX

struct state {
    uint32_t next[256];
    uint32_t fallback;
    /* A word ends here, so no text may come here. */
    bool dead;
    uint32_t rule;
};
struct automaton {
    struct state *states;
    size_t n, room;
};

static uint32_t add_state(struct automaton *a)
{
    if (a->n == STATES_MOST || !tare_grow(&a->states, &a->room, a->n + 1, sizeof *a->states))
        return NONE;
    struct state *s = &a->states[a->n];
    memset(s, 0, sizeof *s);
    memset(s->next, 0xff, sizeof s->next);
    return (uint32_t)a->n++;
}

static bool add_word(struct automaton *a, const unsigned char *word, size_t size)
{
    uint32_t at = 0;
    for (size_t i = 0; i < size; i++) {
        if (a->states[at].next[word[i]] == NONE) {
            const uint32_t made = add_state(a);
            if (made == NONE)
                return false;
            a->states[at].next[word[i]] = made;
        }
        at = a->states[at].next[word[i]];
    }
    a->states[at].dead = size > 0;
    return true;
}

/* Fills in the steps that leave all words, in order of depth: `queue` has room for all states. */
static void complete(struct automaton *a, uint32_t *queue)
{
    size_t n = 0;
    for (int byte = 0; byte < 256; byte++) {
        uint32_t *next = &a->states[0].next[byte];
        if (*next == NONE)
            *next = 0;
        else
            queue[n++] = *next;
    }
    for (size_t i = 0; i < n; i++) {
        struct state *s = &a->states[queue[i]];
        const struct state *back = &a->states[s->fallback];
        s->dead |= back->dead;
        for (int byte = 0; byte < 256; byte++) {
            if (s->next[byte] == NONE) {
                s->next[byte] = back->next[byte];
            } else {
                a->states[s->next[byte]].fallback = back->next[byte];
                queue[n++] = s->next[byte];
            }
        }
    }
}

/* Makes the states of texts that begin as a word that may not come first, which are copies of the states that such a text is
 * in otherwise. `start` is the state of the empty text. */
static bool add_anchored(struct automaton *a, uint32_t start, const unsigned char *word, size_t size)
{
    uint32_t at = start, otherwise = 0;
    for (size_t i = 0; i < size; i++) {
        otherwise = a->states[otherwise].next[word[i]];
        uint32_t next = a->states[at].next[word[i]];
        if (next <= start) { /* no word that may not come first has gone this way */
            if ((next = add_state(a)) == NONE)
                return false;
            a->states[next] = a->states[otherwise];
            a->states[at].next[word[i]] = next;
        }
        at = next;
    }
    a->states[at].dead |= size > 0;
    return true;
}

/* Builds the automaton; *start is where a text begins. */
static bool build(struct automaton *a, const unsigned char *words, const size_t *sizes, const bool *first, size_t n,
                  uint32_t *start)
{
    const unsigned char *word = words;
    bool ok = add_state(a) == 0;
    for (size_t i = 0; i < n && ok; word += sizes[i++])
        ok = first[i] || add_word(a, word, sizes[i]);
    uint32_t *queue = ok ? malloc(a->n * sizeof *queue) : NULL;
    if (!queue)
        return false;
    complete(a, queue);
    free(queue);
    *start = add_state(a);
    if (*start == NONE)
        return false;
    a->states[*start] = a->states[0];
    word = words;
    for (size_t i = 0; i < n && ok; word += sizes[i++])
        ok = !first[i] || add_anchored(a, *start, word, sizes[i]);
    return ok;
}

/* The rule of a state: nothing more, or a byte of a range and the rule of the state it leads to. */
static bool put_state(struct tare_rules *rules, const struct automaton *a, uint32_t number)
{
    const struct state *s = &a->states[number];
    bool ok = tare_rules_begin(rules, s->rule) && tare_rules_put(rules, (struct tare_item){0});
    for (uint32_t low = 0, high; low < 256 && ok; low = high + 1) {
        for (high = low; high < 255 && s->next[high + 1] == s->next[low];)
            high++;
        if (a->states[s->next[low]].dead)
            continue;
        ok = tare_rules_begin(rules, s->rule) &&
             tare_rules_put(rules, (struct tare_item){TARE_ITEM_BYTES, low, high}) &&
             tare_rules_put(rules, (struct tare_item){TARE_ITEM_RULE, a->states[s->next[low]].rule, 0}) &&
             tare_rules_put(rules, (struct tare_item){0});
    }
    rules->rules[s->rule].defined = true;
    return ok;
}

uint32_t tare_without_rule(struct tare_rules *rules, const unsigned char *words, const size_t *sizes, const bool *first,
                           size_t n)
{
    struct automaton a = {0};
    uint32_t start = 0, made = NONE;
    bool ok = build(&a, words, sizes, first, n, &start);
    for (size_t i = 0; i < a.n && ok; i++)
        ok = a.states[i].dead || (a.states[i].rule = tare_rules_add(rules, NULL, 0)) != NONE;
    for (size_t i = 0; i < a.n && ok; i++)
        ok = a.states[i].dead || put_state(rules, &a, (uint32_t)i);
    if (ok)
        made = a.states[start].rule;
    free(a.states);
    return made;
}
