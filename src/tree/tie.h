/* SPDX-License-Identifier: MIT
 * tie.h - stage 5, tie: is the output head the embedding? design.md, section 3, is the rule; tie.c follows it point by point.
 */
#ifndef TARE_TREE_TIE_H
#define TARE_TREE_TIE_H

#include "config/args.h"
#include "names/module.h"
#include "tree/tree.h"

enum tare_decision { TARE_DECISION_LOAD, TARE_DECISION_DROP, TARE_DECISION_PRESERVE };
enum tare_proof { TARE_PROOF_NONE, TARE_PROOF_EQUAL, TARE_PROOF_DIFFERS };

/* One level that may answer: a config fragment, and the args of the model it drove. */
struct tare_tie_level {
    const char *owner;                     /* "", "model", "language_model", "language_model.model" */
    const json_t *fragment;                /* NULL: none */
    const char *fragment_path;             /* "" at the top, "text_config" */
    const struct tare_args_info *args_info; /* NULL: has no args */
    const void *args;
};

struct tare_head_decision {
    const char *prefix, *owner, *evidence, *where;
    enum tare_decision decision;
    enum tare_proof proof;
    bool by_flag;   /* an explicit flag, not a default, decided */
    bool dense;     /* a plain head: not part of the report's heads */
};

struct tare_tie_result {
    struct tare_head_decision *heads; /* arena */
    size_t n;
    bool tied;              /* the model has no head of its own */
    bool bound_embedding;   /* the only copy lay under the head's name and was bound to the embedding */
    bool untied_by_proof;   /* a differing head became the model's own although a default said tied */
    const char *evidence;   /* of the model's own head: "config:tie_word_embeddings", "args:...", "none" */
};

#endif
