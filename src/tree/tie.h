/* SPDX-License-Identifier: MIT
 * tie.h - stage 5, tie: is the output head the embedding? docs/head.md is the rule; tie.c follows it point by point. */
#ifndef TARE_TREE_TIE_H
#define TARE_TREE_TIE_H

#include "config/args.h"
#include "module/module.h"
#include "tree/tree.h"

enum tare_decision { TARE_DECISION_LOAD, TARE_DECISION_DROP, TARE_DECISION_PRESERVE };
enum tare_proof { TARE_PROOF_NONE, TARE_PROOF_EQUAL, TARE_PROOF_DIFFERS };

/* One level that may answer: a config fragment, and the args of the model it drove. */
struct tare_tie_level {
    const char *owner;                      /* "", "model", "language_model", "language_model.model" */
    const json_t *fragment;                 /* NULL: none */
    const json_t *written;                  /* the same as config.json has it; NULL: no wrapper has touched it */
    const char *fragment_path;              /* "" at the top, "text_config" */
    const struct tare_args_info *args_info; /* NULL: has no args */
    const void *args;
    bool filled;     /* the flag in fragment was written there by the wrapper: it decides, but nobody has said it */
    bool tied_usual; /* transformers takes a silent config of this model for tied */
};

struct tare_head_decision {
    const char *prefix;   /* after rewriting: "lm_head", "language_model.model.lm_head" */
    const char *owner;    /* the level that decided; NULL: none did */
    const char *evidence; /* "config:...", "args:...", "none", "target" */
    const char *where;    /* "config.json: tie_word_embeddings"; NULL: none */
    enum tare_decision decision;
    enum tare_proof proof;
    bool by_flag;           /* an explicit flag, not a default, decided */
    bool dense;             /* a plain <prefix>.weight: decided alike, not among the report's heads */
    const char *difference; /* of a proof that failed: where, and by how much */
};

struct tare_tie_result {
    struct tare_head_decision *heads; /* arena; in order of their prefixes' first entry */
    size_t n;
    bool untied;   /* a head became the model's own although a default said tied: the output's config must say so */
    bool say_tied; /* tied, but not by the text model's own flag: the output's config has to say it there */
    bool tied_by_default; /* no head, no flag: the authors' default says tied */
    bool contradiction;   /* the text model's flag says untied, the top (or its default) tied, and there is no head */
    bool bind; /* tied by a flag, but the architecture always has a head: the embedding is to be bound to it */
    const struct tare_entry *bound; /* the only copy lay under the head's name and was bound to the embedding */
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
