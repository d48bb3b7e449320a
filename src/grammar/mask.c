/* SPDX-License-Identifier: MIT
 * mask.c - computes which ids may come next. The tree of tokens is walked along with the automaton, and the mask
 * of each state is kept. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "grammar/grammar.h"

struct tare_grammar {
    struct tare_rules rules;
    struct tare_token_tree tree;
};

/* What the states of one text and all its forks use together. */
struct shared {
    const struct tare_grammar *grammar;
    struct tare_machine *machine;
    /* The mask of each state, one bit an id; NULL until it is asked for. */
    uint64_t **masks;
    size_t masks_room, n_masks;
    /* The states along a token, for walk(). */
    uint32_t *path;
    /* Where each fork keeps its state; a flush of the machine renumbers them. */
    uint32_t **kept;
    size_t n_kept, kept_room;
};
struct tare_grammar_state {
    struct shared *shared;
    uint32_t at;
};

#define MASKS_MOST 256

/* ---- grammars ---------------------------------------------------------------------------------------------------- */

enum tare_code tare_grammar_from_schema(char **gbnf, const char *schema, size_t size, struct tare_error *err)
{
    if (!gbnf || !schema)
        return tare_fail_null(err, "tare_grammar_from_schema");
    struct tare_text text = {0};
    enum tare_code code = tare_schema_write(&text, schema, size, err);
    *gbnf = NULL;
    if (!code && text.failed)
        code = tare_fail_memory(err);
    if (code)
        tare_text_release(&text);
    else
        *gbnf = text.data;
    return code;
}

enum tare_code tare_grammar_open(tare_grammar **grammar, const tare_tokenizer *tokenizer, enum tare_grammar_kind kind,
                                 const char *text, size_t size, struct tare_error *err)
{
    if (!grammar || !tokenizer || !text)
        return tare_fail_null(err, "tare_grammar_open");
    struct tare_grammar *g = *grammar = NULL;
    char *made = NULL;
    enum tare_code code = TARE_OK;
    if (kind == TARE_GRAMMAR_SCHEMA && (code = tare_grammar_from_schema(&made, text, size, err)))
        return code;
    if (!(g = calloc(1, sizeof *g)))
        code = tare_fail_memory(err);
    if (!code)
        code = tare_gbnf_read(&g->rules, made ? made : text, made ? strlen(made) : size, err);
    if (!code)
        code = tare_token_tree_make(&g->tree, tokenizer, err);
    free(made);
    if (code)
        tare_grammar_free(g);
    else
        *grammar = g;
    return code;
}

void tare_grammar_free(tare_grammar *g)
{
    if (!g)
        return;
    tare_rules_release(&g->rules);
    tare_token_tree_release(&g->tree);
    free(g);
}

/* ---- states ------------------------------------------------------------------------------------------------------ */

static enum tare_code failed(struct tare_error *err)
{
    return tare_fail(err, TARE_E_MEMORY, "grammar",
                     "the grammar has too many readings of this text at once, or memory ran out");
}

static void forget_masks(struct shared *s)
{
    for (size_t i = 0; i < s->masks_room; i++)
        free(s->masks[i]);
    free(s->masks);
    s->masks = NULL;
    s->masks_room = s->n_masks = 0;
}

/* Flushes the machine when it or the masks have grown too large. Must be called before states are used, since it
 * renumbers them. */
static enum tare_code make_room(struct shared *s, struct tare_error *err)
{
    if (!s->machine)
        return failed(err);
    if (tare_machine_load(s->machine) < TARE_MACHINE_FULL && s->n_masks < MASKS_MOST)
        return TARE_OK;
    forget_masks(s);
    if (tare_machine_flush(s->machine, s->kept, s->n_kept))
        return TARE_OK;
    tare_machine_free(s->machine);
    s->machine = NULL;
    return failed(err);
}

static enum tare_code join(tare_grammar_state *state, struct shared *s, struct tare_error *err)
{
    if (!tare_grow(&s->kept, &s->kept_room, s->n_kept + 1, sizeof(uint32_t *)))
        return tare_fail_memory(err);
    s->kept[s->n_kept++] = &state->at;
    state->shared = s;
    return TARE_OK;
}

static void shared_free(struct shared *s)
{
    if (!s)
        return;
    forget_masks(s);
    tare_machine_free(s->machine);
    free(s->path);
    free(s->kept);
    free(s);
}

enum tare_code tare_grammar_state_open(tare_grammar_state **state, const tare_grammar *grammar, struct tare_error *err)
{
    if (!state || !grammar)
        return tare_fail_null(err, "tare_grammar_state_open");
    struct tare_grammar_state *one = *state = NULL;
    struct shared *s = calloc(1, sizeof *s);
    if (!s || !(s->path = calloc(grammar->tree.deepest + 1, sizeof *s->path)) || !(one = calloc(1, sizeof *one))) {
        shared_free(s);
        return tare_fail_memory(err);
    }
    s->grammar = grammar;
    enum tare_code code = tare_machine_open(&s->machine, &grammar->rules, err);
    if (!code && (one->at = tare_machine_start(s->machine)) == TARE_STATE_FAILED)
        code = failed(err);
    if (!code)
        code = join(one, s, err);
    if (code) {
        shared_free(s);
        free(one);
        return code;
    }
    *state = one;
    return TARE_OK;
}

enum tare_code tare_grammar_state_fork(tare_grammar_state **fork, tare_grammar_state *state, struct tare_error *err)
{
    if (!fork || !state)
        return tare_fail_null(err, "tare_grammar_state_fork");
    struct tare_grammar_state *one = *fork = calloc(1, sizeof *one);
    if (!one)
        return tare_fail_memory(err);
    one->at = state->at;
    const enum tare_code code = join(one, state->shared, err);
    if (code) {
        free(one);
        *fork = NULL;
    }
    return code;
}

void tare_grammar_state_free(tare_grammar_state *state)
{
    if (!state)
        return;
    struct shared *s = state->shared;
    for (size_t i = 0; i < s->n_kept; i++)
        if (s->kept[i] == &state->at)
            s->kept[i] = s->kept[--s->n_kept];
    if (s->n_kept == 0)
        shared_free(s);
    free(state);
}

bool tare_grammar_complete(const tare_grammar_state *state)
{
    if (!state)
        return false;
    return state->shared->machine && tare_machine_complete(state->shared->machine, state->at);
}

bool tare_grammar_closed(const tare_grammar_state *state)
{
    if (!state)
        return false;
    return state->shared->machine && tare_machine_closed(state->shared->machine, state->at);
}

enum tare_code tare_grammar_accept_text(tare_grammar_state *state, const char *text, size_t size,
                                        struct tare_error *err)
{
    if (!state || (!text && size))
        return tare_fail_null(err, "tare_grammar_accept_text");
    struct shared *s = state->shared;
    enum tare_code code = make_room(s, err);
    if (code)
        return code;
    uint32_t at = state->at;
    for (size_t i = 0; i < size; i++) {
        at = tare_machine_next(s->machine, at, (unsigned char)text[i]);
        if (at == TARE_STATE_FAILED)
            return failed(err);
        if (at == TARE_STATE_DEAD)
            return tare_fail(err, TARE_E_ARGUMENT, "grammar", "byte %zu does not go on with the text by the grammar",
                             i);
    }
    state->at = at;
    return TARE_OK;
}

static bool ends(const struct tare_token_tree *tree, int32_t id)
{
    for (size_t i = 0; i < tree->n_ends; i++)
        if (tree->ends[i] == id)
            return true;
    return false;
}

enum tare_code tare_grammar_accept(tare_grammar_state *state, int32_t id, struct tare_error *err)
{
    if (!state)
        return tare_fail_null(err, "tare_grammar_accept");
    const struct tare_token_tree *tree = &state->shared->grammar->tree;
    if (ends(tree, id))
        return tare_grammar_complete(state)
                   ? TARE_OK
                   : tare_fail(err, TARE_E_ARGUMENT, "grammar", "the text is not complete, it cannot end here");
    const size_t n = id >= 0 && (size_t)id < tree->n_vocabulary ? tree->offsets[id + 1] - tree->offsets[id] : 0;
    if (n == 0)
        return tare_fail(err, TARE_E_ARGUMENT, "grammar", "id %ld adds nothing to a text", (long)id);
    return tare_grammar_accept_text(state, tree->bytes + tree->offsets[id], n, err);
}

/* ---- masks ------------------------------------------------------------------------------------------------------- */

/* Nodes come depth-first, and node->skip is the first node past a node's subtree. So a byte that leads nowhere rules
 * out all tokens with that beginning at once. */
static bool walk(struct shared *s, uint32_t from, uint64_t *mask)
{
    const struct tare_token_tree *tree = &s->grammar->tree;
    /* path[d] is the state after d bytes of the token. */
    uint32_t *path = s->path;
    path[0] = from;
    for (uint32_t i = 0; i < tree->n;) {
        const struct tare_token_node *node = &tree->nodes[i];
        const uint32_t next = tare_machine_next(s->machine, path[node->depth], node->byte);
        if (next == TARE_STATE_FAILED)
            return false;
        if (next == TARE_STATE_DEAD) {
            i = node->skip;
            continue;
        }
        path[node->depth + 1] = next;
        for (uint32_t k = node->ids; k < node->ids_end; k++)
            mask[tree->ids[k] / 64] |= (uint64_t)1 << tree->ids[k] % 64;
        i++;
    }
    return true;
}

/* Where the text may end, the ids that end it may come. No token of the tree has such an id. */
static void allow_end(const tare_grammar_state *state, uint64_t *mask)
{
    const struct tare_token_tree *tree = &state->shared->grammar->tree;
    const bool complete = tare_grammar_complete(state);
    for (size_t k = 0; complete && k < tree->n_ends; k++)
        if (tree->ends[k] >= 0 && (size_t)tree->ends[k] < tree->n_vocabulary)
            mask[tree->ends[k] / 64] |= (uint64_t)1 << tree->ends[k] % 64;
}

static enum tare_code mask_of(tare_grammar_state *state, const uint64_t **mask, struct tare_error *err)
{
    struct shared *s = state->shared;
    const enum tare_code code = make_room(s, err);
    if (code)
        return code;
    if (!tare_grow(&s->masks, &s->masks_room, (size_t)state->at + 1, sizeof(uint64_t *)))
        return tare_fail_memory(err);
    if (!s->masks[state->at]) {
        uint64_t *made = calloc(s->grammar->tree.n_vocabulary / 64 + 1, sizeof *made);
        if (!made || !walk(s, state->at, made)) {
            free(made);
            return failed(err);
        }
        allow_end(state, made);
        s->masks[state->at] = made;
        s->n_masks++;
    }
    *mask = s->masks[state->at];
    return TARE_OK;
}

/* Rules out those of n logits, at most 64, whose bit is not set, and returns how many are left. Most words of a mask
 * are all or nothing. */
static int64_t rule_out(float *logits, uint64_t word, int n)
{
    const uint64_t all = n == 64 ? UINT64_MAX : ((uint64_t)1 << n) - 1;
    int64_t left = 0;
    if ((word & all) == all)
        return n;
    for (int i = 0; i < n; i++) {
        const uint64_t bit = word >> i & 1;
        logits[i] = bit ? logits[i] : -INFINITY;
        left += (int64_t)bit;
    }
    return left;
}

enum tare_code tare_grammar_mask(tare_grammar_state *state, float *logits, int64_t vocabulary, int64_t *allowed,
                                 struct tare_error *err)
{
    if (!state || !logits)
        return tare_fail_null(err, "tare_grammar_mask");
    const uint64_t *mask = NULL;
    const enum tare_code code = mask_of(state, &mask, err);
    if (code)
        return code;
    const struct tare_token_tree *tree = &state->shared->grammar->tree;
    const int64_t n = (int64_t)tree->n_vocabulary, known = n < vocabulary ? n : vocabulary;
    const bool complete = tare_grammar_complete(state);
    int64_t count = 0;
    for (int64_t i = 0; i < known; i += 64)
        count += rule_out(logits + i, mask[i / 64], known - i < 64 ? (int)(known - i) : 64);
    for (int64_t i = known; i < vocabulary; i++) { /* rows of the head beyond the vocabulary */
        const bool may = complete && ends(tree, (int32_t)i);
        logits[i] = may ? logits[i] : -INFINITY;
        count += may;
    }
    if (allowed)
        *allowed = count;
    return TARE_OK;
}
