/* SPDX-License-Identifier: MIT
 * tie.c - is the output head the embedding? The rule is docs/head.md, and its points have the same numbers here.
 *
 * Points 1 to 3, who is asked and what they answer, are tie_levels.c. Here the answers become facts, one bit each, and
 * two tables turn facts into decisions: one for the head that the model declares, one for every head that the
 * checkpoint has beside it. In both, the first row whose facts hold decides.
 */
#include "tree/tie.h"

#include <string.h>

#include "tree/head_entries.h"

/* Does a row hold: are all facts of `all` there, and none of `none`? */
static bool holds(unsigned facts, unsigned all, unsigned none)
{
    return (facts & all) == all && !(facts & none);
}

/* ---- the head that the model declares ---- */

enum {
    /* Point 2: a flag of the head's owner says tied. */
    OWNER_TIED = 1,
    /* Point 2: a flag of the head's owner says untied, and somebody wrote it, not a wrapper's code. */
    OWNER_UNTIED = 2,
    /* The owner is the text model of a wrapper. */
    IN_WRAPPER = 4,
    /* The checkpoint has nothing of this head, and no packed head under another prefix. */
    ABSENT = 8,
    /* The flag at the top of config.json is true. */
    TOP_TIED = 16,
    /* There is no true or false at the top: the flag is absent or null. */
    TOP_SILENT = 32,
    TOP_NULL = 64,
    /* transformers takes a silent config of this model for tied. */
    USUALLY_TIED = 128
};

/* What a row concludes. */
enum {
    TIED = 1,
    /* Nobody said so: the authors' default did. */
    BY_DEFAULT = 2,
    /* The text model's flag says otherwise. */
    CONTRADICTED = 4
};

/*
 * Wrappers' authors build the head by the flag at the top of config.json, whatever the text model says, and a
 * checkpoint without any head agrees with them: so the top overrules an untied text model (rows 2 to 4). Where nobody
 * says anything and there is no head, the authors' default counts, or the model could not run at all (row 7).
 */
static const struct {
    unsigned all, none, conclusion;
} declared[] = {
    /* point 2 */ {OWNER_TIED, 0, TIED},
    /* point 2 */ {OWNER_UNTIED | IN_WRAPPER | ABSENT | TOP_TIED, 0, TIED | CONTRADICTED},
    /* point 2 */
    {OWNER_UNTIED | IN_WRAPPER | ABSENT | TOP_SILENT | USUALLY_TIED, TOP_NULL, TIED | BY_DEFAULT | CONTRADICTED},
    /* point 2 */ {OWNER_UNTIED | IN_WRAPPER | ABSENT | TOP_SILENT | USUALLY_TIED, 0, CONTRADICTED},
    /* point 2 */ {OWNER_UNTIED, 0, 0},
    /* point 2 */ {ABSENT | TOP_TIED, 0, TIED},
    /* point 3 */ {ABSENT | TOP_SILENT | USUALLY_TIED, TOP_NULL, TIED | BY_DEFAULT},
    /* point 3 */ {0, 0, 0},
};

/* What the checkpoint has under the name of the tree's head. */
struct present {
    /* There is a tensor of it, if only a remainder of a packed one. */
    bool any;
    /* There is a plain <head>.weight, also where the head has another name than lm_head (gpt_neox: embed_out). */
    bool dense;
    /* There is a packed head under another prefix, and nothing tells whose it is. */
    bool packed_elsewhere;
};

static struct present present(const struct tare_head *head, const struct tare_weights *w,
                              const struct tare_tie_result *result)
{
    struct present p = {false, false, false};
    for (size_t k = 0; k < result->n; k++) {
        const bool own = !strcmp(result->heads[k].prefix, head->prefix);
        p.any |= own;
        p.packed_elsewhere |= !own && !result->heads[k].dense;
    }
    for (size_t i = 0; i < w->n; i++) {
        const struct tare_entry *entry = &w->entries[i];
        if (entry->rule || entry->absorbed || strcmp(entry->name, head->weight->name) != 0)
            continue;
        p.any = true;
        p.dense |= tare_head_dense(entry);
    }
    return p;
}

static unsigned declared_facts(const struct tare_tie_level *levels, const struct tare_tie_answer *own, bool absent)
{
    const int top = tare_tie_flag(levels[0].fragment);
    const bool in_wrapper = own->given && *own->owner && strcmp(own->owner, "model") != 0;
    unsigned facts = 0;
    facts |= own->given && own->by_flag && own->tied ? OWNER_TIED : 0;
    facts |= own->given && own->by_flag && !own->tied && !own->filled ? OWNER_UNTIED : 0;
    facts |= in_wrapper ? IN_WRAPPER : 0;
    facts |= absent ? ABSENT : 0;
    facts |= top == 1 ? TOP_TIED : 0;
    facts |= top < 0 ? TOP_SILENT : 0;
    facts |= top < 0 && json_object_get(levels[0].fragment, TARE_TIE_FIELD) ? TOP_NULL : 0;
    facts |= levels[0].tied_usual ? USUALLY_TIED : 0;
    return facts;
}

/*
 * Is the declared head a parameter of the model? Point 4: the content of the checkpoint decides where the architecture
 * says so, unless a flag says tied. An architecture that always has a head gets the embedding for one (tare_tie_bind),
 * so that its own loader finds it; not where a packed head lies elsewhere, which may be the missing one.
 */
static void settle_tree(struct tare_tree *tree, const struct tare_weights *w, const struct tare_tie_level *levels,
                        size_t n, struct tare_tie_result *result)
{
    struct tare_head *head = &tree->head;
    size_t row = 0;
    if (!head->prefix || !head->weight->active || head->kind == TARE_HEAD_NONE)
        return;
    const struct present there = present(head, w, result);
    const struct tare_tie_answer own = tare_tie_ask(levels, n, head->prefix, false, tree->arena);
    const unsigned facts = declared_facts(levels, &own, !there.any && !there.packed_elsewhere);
    while (!holds(facts, declared[row].all, declared[row].none)) /* the last row always holds */
        row++;
    const unsigned conclusion = declared[row].conclusion;
    result->contradiction = conclusion & CONTRADICTED;
    result->tied_by_default = conclusion & BY_DEFAULT;
    if (head->kind == TARE_HEAD_CONTENT) {
        tare_head_activate(head, there.dense && !(facts & OWNER_TIED));
    } else if (head->kind == TARE_HEAD_OWN && conclusion & TIED) {
        result->bind = !there.packed_elsewhere;
    } else if (facts & ABSENT && conclusion & TIED) {
        tare_head_activate(head, false);
        result->say_tied = !(facts & OWNER_TIED);
    }
}

/* ---- every head that the checkpoint has ---- */

enum {
    /* It is a parameter of the model as it stands. */
    PARAMETER = 1,
    /* Points 1 to 4: what was answered for its owner, and whether a flag did. */
    ANSWER_TIED = 2,
    ANSWER_BY_FLAG = 4,
    DENSE = 8,
    /* It lies at the top of a wrapper whose own text model has a head, and the checkpoint has nothing of that one. */
    OUTSIDE = 16,
    /* The model wants that head of the text model. */
    WANTED = 32,
    /* A flag of the text model answers for that head. */
    TEXT_BY_FLAG = 64,
    /* mlx-lm's architecture has no head, but its authors' code has one of this name. */
    AUTHORS_HEAD = 128
};

enum outcome { LOAD, DROP, TAKE, PRESERVE };

/* TAKE: it becomes the model's own head, under the name that the tree has for it. */
static const struct {
    unsigned all, none;
    enum outcome outcome;
} candidates[] = {
    /* point 1 */ {PARAMETER, 0, LOAD},
    /* point 5 */ {ANSWER_TIED, 0, DROP},
    /* point 6 */ {DENSE | OUTSIDE | WANTED, 0, TAKE},
    /* point 6 */ {DENSE | OUTSIDE | ANSWER_BY_FLAG, TEXT_BY_FLAG, TAKE},
    /* point 6 */ {DENSE | AUTHORS_HEAD | ANSWER_BY_FLAG, 0, TAKE},
    /* point 5 */ {0, 0, PRESERVE},
};

/* Where the rule looks for the text model's head: below "language_model" in a wrapper, whatever its prefix is. */
static const char *text_head(const struct tare_tree *tree, const struct tare_tie_level *levels, size_t n)
{
    if (n < 3 || !levels[2].fragment)
        return tree->head.prefix ? tree->head.prefix : TARE_HEAD_NAME;
    const char *name = tare_arena_format(tree->arena, "%s.%s", levels[2].owner, TARE_HEAD_NAME);
    return name ? name : TARE_HEAD_NAME;
}

static bool is_target(const struct tare_tree *tree, const struct tare_head_decision *head, struct tare_arena *arena)
{
    const char *name = tare_arena_format(arena, "%s.weight", head->prefix);
    const struct tare_parameter *p = name ? tare_tree_find(tree, name) : NULL;
    return p && p->active;
}

/* A head of this name, and its answer: what point 6 asks of a dense one that is not tied. */
static unsigned dense_facts(const struct tare_tree *tree, const struct tare_weights *w,
                            const struct tare_tie_level *levels, size_t n, const struct tare_head_decision *head,
                            const struct tare_tie_result *result)
{
    const struct tare_head *own = &tree->head;
    const bool at_top = !strcmp(head->prefix, TARE_HEAD_NAME);
    unsigned facts = DENSE;
    if (at_top && own->prefix && strcmp(own->prefix, TARE_HEAD_NAME) != 0 && !present(own, w, result).any) {
        const struct tare_tie_answer text = tare_tie_ask(levels, n, text_head(tree, levels, n), true, tree->arena);
        facts |= OUTSIDE | (own->weight->active ? WANTED : 0) | (text.by_flag ? TEXT_BY_FLAG : 0);
    }
    if (own->kind == TARE_HEAD_NONE && own->weight &&
        (at_top || !strcmp(head->prefix, "model." TARE_HEAD_NAME) || !strcmp(head->prefix, own->prefix)))
        facts |= AUTHORS_HEAD;
    return facts;
}

/* Points 1 to 4 for a head that is no parameter of the model as it stands. */
static struct tare_tie_answer answer_for(const struct tare_tree *tree, const struct tare_tie_level *levels, size_t n,
                                         const struct tare_head_decision *head)
{
    struct tare_tie_answer answer = tare_tie_ask(levels, n, head->prefix, head->dense, tree->arena);
    /* Point 6: a dense head at the top of a wrapper is that of its text model. */
    if (!answer.given && head->dense && !strcmp(head->prefix, TARE_HEAD_NAME))
        answer = tare_tie_ask(levels, n, text_head(tree, levels, n), true, tree->arena);
    if (tree->head.kind == TARE_HEAD_CONTENT && !answer.by_flag) /* point 4: a default does not count */
        answer = (struct tare_tie_answer){.evidence = "none"};
    return answer;
}

static void decide(struct tare_tree *tree, struct tare_weights *w, const struct tare_tie_level *levels, size_t n,
                   struct tare_head_decision *head, struct tare_tie_result *result)
{
    unsigned facts = PARAMETER;
    size_t row = 0;
    if (is_target(tree, head, tree->arena) && !(head->dense && result->bind)) {
        head->evidence = "target";
    } else {
        const struct tare_tie_answer answer = answer_for(tree, levels, n, head);
        head->owner = answer.owner;
        head->evidence = answer.evidence;
        head->where = answer.where;
        head->by_flag = answer.by_flag;
        facts = (answer.given && answer.tied ? ANSWER_TIED : 0) | (answer.by_flag ? ANSWER_BY_FLAG : 0);
        if (head->dense && !(facts & ANSWER_TIED))
            facts |= dense_facts(tree, w, levels, n, head, result);
    }
    while (!holds(facts, candidates[row].all, candidates[row].none)) /* the last row always holds */
        row++;
    static const enum tare_decision decisions[] = {[LOAD] = TARE_DECISION_LOAD,
                                                   [DROP] = TARE_DECISION_DROP,
                                                   [TAKE] = TARE_DECISION_LOAD,
                                                   [PRESERVE] = TARE_DECISION_PRESERVE};
    head->decision = decisions[candidates[row].outcome];
    if (candidates[row].outcome == DROP)
        tare_head_set_aside(w, head);
    if (candidates[row].outcome != TAKE)
        return;
    result->untied |= !tree->head.weight->active;
    tare_head_take(tree, w, head);
}

enum tare_code tare_tie_decide(struct tare_tree *tree, struct tare_weights *weights,
                               const struct tare_tie_level *levels, size_t n_levels, struct tare_tie_result *result,
                               struct tare_error *err)
{
    *result = (struct tare_tie_result){0};
    enum tare_code code = tare_tie_check(levels, n_levels, tree->arena, err);
    if (!code)
        code = tare_heads_collect(weights, result, err);
    if (code)
        return code;
    settle_tree(tree, weights, levels, n_levels, result);
    for (size_t k = 0; k < result->n; k++)
        decide(tree, weights, levels, n_levels, &result->heads[k], result);
    tare_head_bind_only_copy(tree, weights, result);
    for (size_t k = 0; tree->head.kind == TARE_HEAD_COPIED && k < result->n; k++)
        if (!result->heads[k].dense && result->heads[k].decision == TARE_DECISION_DROP)
            tare_head_activate(&tree->head, true);
    return tree->arena->failed ? tare_fail_memory(err) : TARE_OK;
}
