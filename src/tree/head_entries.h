/* SPDX-License-Identifier: MIT
 * head_entries.h - what tie.c does to the entries of output heads, once it has decided. */
#ifndef TARE_TREE_HEAD_ENTRIES_H
#define TARE_TREE_HEAD_ENTRIES_H

#include "tree/tie.h"

#define TARE_HEAD_NAME "lm_head"

/* List every live head once in result->heads, its packed and its dense form apart. */
enum tare_code tare_heads_collect(const struct tare_weights *weights, struct tare_tie_result *result,
                                  struct tare_error *err);
/* Is the entry a plain `.weight`? */
bool tare_head_dense(const struct tare_entry *entry);
/* The tree's head and its bias become parameters of the model, or are left out. */
void tare_head_activate(struct tare_head *head, bool active);
/* Point 5: the entries of a dropped head get a rule. Its bias stays until the proof has found it zero. */
void tare_head_set_aside(struct tare_weights *weights, const struct tare_head_decision *head);
/* The weight of a head gets the name of the tree's head, which becomes active. */
void tare_head_take(struct tare_tree *tree, struct tare_weights *weights, struct tare_head_decision *head);
/* AutoAWQ 0.2.7 wrote tied checkpoints whose only copy lies under the head's name: it becomes the embedding. */
void tare_head_bind_only_copy(struct tare_tree *tree, struct tare_weights *weights, struct tare_tie_result *result);

#endif
