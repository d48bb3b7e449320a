/* SPDX-License-Identifier: MIT
 * grammar.h - a grammar in the form it runs in, and what its files share. docs/grammar.md has the language.
 *
 *   gbnf.c     text -> rules of bytes; schema*.c  JSON schema -> that text
 *   without.c  rules for texts in which some words do not occur
 *   sound.c    refuses left recursion and rules that no text can end
 *   machine.c  sets of stacks -> states of an automaton over bytes, made as they are met
 *   tokens.c   the vocabulary as a tree of bytes;  mask.c  the ids that a state allows, and the public functions
 */
#ifndef TARE_GRAMMAR_GRAMMAR_H
#define TARE_GRAMMAR_GRAMMAR_H

#include "base/arena.h"
#include "base/map.h"
#include "base/text.h"

#define TARE_GRAMMAR_ITEMS ((size_t)1 << 19) /* most of one grammar */
#define TARE_GRAMMAR_RULES ((size_t)1 << 14)
#define TARE_GRAMMAR_TEXT ((size_t)1 << 20) /* bytes of a grammar or schema */
#define TARE_GRAMMAR_DEPTH 256              /* of groups in a grammar's text, of schemas in a schema */

/* An alternative is a sequence of items that TARE_ITEM_END ends. Classes of characters are ranges of bytes by now. */
struct tare_item {
    enum { TARE_ITEM_END, TARE_ITEM_BYTES, TARE_ITEM_RULE } kind;
    uint32_t low, high; /* BYTES: the range; RULE: low is its number */
};
struct tare_rule {
    char *name; /* owned by the arena */
    size_t size;
    uint32_t *starts; /* item where each alternative begins; owned */
    size_t n, room;
    bool defined;
};
struct tare_rules {
    struct tare_item *items;
    struct tare_rule *rules; /* the first one defined is not special: "root" is */
    size_t n_items, items_room, n_rules, rules_room;
    uint32_t root;
    /* It speaks of special ids, or of text that is free, so that these have bytes too. */
    bool marks;
    struct tare_map names, classes;
    struct tare_arena arena;
};

enum tare_code tare_gbnf_read(struct tare_rules *rules, const char *text, size_t size, struct tare_error *err);
void tare_rules_release(struct tare_rules *rules);
enum tare_code tare_rules_check(const struct tare_rules *rules, struct tare_error *err);
/* The number of a new rule, UINT32_MAX when there are too many or no memory. name may be NULL. */
uint32_t tare_rules_add(struct tare_rules *rules, const char *name, size_t size);
/* Begin an alternative; append to the last one begun. False: too large or no memory. */
bool tare_rules_begin(struct tare_rules *rules, uint32_t rule);
bool tare_rules_put(struct tare_rules *rules, struct tare_item item);

/* A set of code points: sorted ranges that do not touch. */
struct tare_points {
    struct {
        uint32_t low, high;
    } * ranges;
    size_t n, room;
};
bool tare_points_add(struct tare_points *points, uint32_t low, uint32_t high); /* in any order; false: no memory */
bool tare_points_settle(struct tare_points *points, bool negated);             /* sort, join, perhaps turn round */
/* The rule that matches one character of the set in UTF-8; the same set gives the same rule. */
uint32_t tare_points_rule(struct tare_rules *rules, const struct tare_points *points);

/* The rule of all texts in which none of n words occurs, or, of those that are `first`, begins the text; UINT32_MAX when
 * they are too long or no memory. The words' bytes follow one another. */
uint32_t tare_without_rule(struct tare_rules *rules, const unsigned char *words, const size_t *sizes, const bool *first,
                           size_t n);

/* In a grammar with marks a special id has bytes that no text has: a first one, and the digits of its number. */
enum { TARE_MARK_FIRST = 0xff, TARE_MARK_ZERO = 0xf8, TARE_MARK_BASE = 7, TARE_MARK_DIGITS = 8, TARE_MARK_BYTES };
void tare_mark_spell(int32_t id, unsigned char bytes[TARE_MARK_BYTES]);

/* Writes a JSON schema as GBNF; docs/grammar.md says which schemas. */
enum tare_code tare_schema_write(struct tare_text *gbnf, const char *text, size_t size, struct tare_error *err);

/* ---- the machine ------------------------------------------------------------------------------------------------- */

#define TARE_STATE_DEAD 0u           /* no text can continue from here */
#define TARE_STATE_FAILED UINT32_MAX /* memory or a limit ran out */

/* States of an automaton, made as they are met; of one thread. */
struct tare_machine;
enum tare_code tare_machine_open(struct tare_machine **machine, const struct tare_rules *rules, struct tare_error *err);
void tare_machine_free(struct tare_machine *machine);
uint32_t tare_machine_start(struct tare_machine *machine);
uint32_t tare_machine_next(struct tare_machine *machine, uint32_t state, unsigned char byte);
bool tare_machine_complete(const struct tare_machine *machine, uint32_t state); /* may the text end here? */
bool tare_machine_closed(const struct tare_machine *machine, uint32_t state);   /* may it only end here? */
size_t tare_machine_load(const struct tare_machine *machine); /* states; past TARE_MACHINE_FULL it is time to flush */
#define TARE_MACHINE_FULL 4096
/* Forget all states but those in kept[0 .. n), which get new numbers. False: no memory; the machine is only freed
 * then. */
bool tare_machine_flush(struct tare_machine *machine, uint32_t *const *kept, size_t n);

/* ---- the vocabulary ---------------------------------------------------------------------------------------------- */

/* A tree of the tokens' bytes in depth-first order: node i is reached by `byte` after `depth` others, its subtree ends
 * before node `skip`, and the tokens that end there are ids[ids .. ids_end). */
struct tare_token_node {
    uint32_t skip, ids, ids_end, depth;
    unsigned char byte;
};
struct tare_token_tree {
    struct tare_token_node *nodes;
    int32_t *ids;
    size_t n, n_ids, n_vocabulary;
    int32_t *ends; /* ids that end a text */
    size_t n_ends;
    uint32_t *offsets; /* of an id's bytes in `bytes`; n_vocabulary + 1 */
    char *bytes;
    size_t deepest; /* bytes of the longest token */
};
enum tare_code tare_token_tree_make(struct tare_token_tree *tree, const tare_tokenizer *tokenizer, bool marks,
                                    struct tare_error *err);
void tare_token_tree_release(struct tare_token_tree *tree);

#endif
