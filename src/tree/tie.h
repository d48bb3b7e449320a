/* SPDX-License-Identifier: MIT
 * tie.h - stage 5, tie: is the output head the embedding? docs/head.md is the rule; tie.c follows it point by point.
 */
#ifndef TARE_TREE_TIE_H
#define TARE_TREE_TIE_H

#include "module/module.h"
#include "tree/tie_levels.h"
#include "tree/tree.h"

enum tare_decision { TARE_DECISION_LOAD, TARE_DECISION_DROP, TARE_DECISION_PRESERVE };
enum tare_proof { TARE_PROOF_NONE, TARE_PROOF_EQUAL, TARE_PROOF_DIFFERS };

struct tare_head_decision {
    /* After rewriting: "lm_head", "language_model.model.lm_head". */
    const char *prefix;
    /* The level that decided; NULL: none did. */
    const char *owner;
    /* "config:...", "args:...", "none", "target" */
    const char *evidence;
    /* "config.json: tie_word_embeddings"; NULL: there is no such place. */
    const char *where;
    enum tare_decision decision;
    enum tare_proof proof;
    /* An explicit flag decided, not a default. */
    bool by_flag;
    /* It is a plain <prefix>.weight. It is decided like a packed one, but the report does not list it. */
    bool dense;
    /* Where the head differs from the embedding, and by how much; only after a proof that failed. */
    const char *difference;
};

struct tare_tie_result {
    /* In the arena, in the order in which the checkpoint names them first. */
    struct tare_head_decision *heads;
    size_t n;
    /* A head became the model's own although a default said tied: the config of an output must say so. */
    bool untied;
    /* The model is tied, but its text model has no flag that says so: the config of an output must say it there. */
    bool say_tied;
    /* There is neither a head nor a flag, and the authors' default says tied. */
    bool tied_by_default;
    /* The text model's flag says untied, the top (or its default) says tied, and there is no head. */
    bool contradiction;
    /* The model is tied, but its architecture always has a head: the embedding is to be bound to it. */
    bool bind;
    /* The only copy lay under the head's name and was bound to the embedding. */
    const struct tare_entry *bound;
};

/*
 * Decide every head of the list by the rule, from headers. Heads to be dropped are set aside (entry->rule). The tree's
 * head is activated or left out. tie_word_embeddings of another type than boolean or null is refused.
 */
enum tare_code tare_tie_decide(struct tare_tree *tree, struct tare_weights *weights,
                               const struct tare_tie_level *levels, size_t n_levels, struct tare_tie_result *result,
                               struct tare_error *err);

/* After the policy: where bind is set and no head was left, the embedding becomes the head's entry as well. */
enum tare_code tare_tie_bind(struct tare_tree *tree, struct tare_weights *weights, struct tare_tie_result *result,
                             struct tare_error *err);

/* Does the entry belong to the head: <prefix>.weight (dense or packed as asked), or
 * <prefix>.{qweight,qzeros,scales,g_idx}? */
bool tare_head_has(const struct tare_head_decision *head, const struct tare_entry *entry);
/* Take a dropped head back: its entries become those of the tree's head, which becomes active. False: the tree has no
 * such head. */
bool tare_head_restore(struct tare_tree *tree, struct tare_weights *weights, struct tare_head_decision *head);

#endif
