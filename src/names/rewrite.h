/* SPDX-License-Identifier: MIT
 * rewrite.h - stage 5, rewrite: the verbs a model's sanitize is written in. They edit names and recipes, never data.
 *
 * Names here are those of logical tensors: a packed linear is "a.b.up_proj.weight" like a dense one, so one verb moves
 * both; its bias, if any, is "a.b.up_proj.bias".
 *
 * A pattern is a name in which "*" stands for any characters within one component and "**" for any number of
 * components, also none: "model.layers.*.mlp.**", "**.rotary_emb.inv_freq". Within one component several "*" may stand.
 * In a target each wildcard takes what the wildcard of the same place in the pattern matched, from left to right.
 *
 * Verbs return nothing: the first failure is kept in weights->error. No verb drops an output head: tree/tie.c alone
 * does that. After a verb has renamed or stacked, two live entries may have one name: strict loading reports it.
 */
#ifndef TARE_NAMES_REWRITE_H
#define TARE_NAMES_REWRITE_H

#include "names/module.h"

bool tare_name_matches(const char *pattern, const char *name);

/* Set aside every entry whose name, or some leading part of it that ends at a dot, matches: tare_drop(w,
 * "vision_tower"). */
void tare_drop(struct tare_weights *w, const char *pattern, const char *why);
/* The same, unless shape, for entries whose name matches as a whole: tare_drop_exact(w, "model.h.*.attn.bias", ..). */
void tare_drop_exact(struct tare_weights *w, const char *pattern, const char *why);
/* Set aside every entry that has `text` anywhere in its name. */
void tare_drop_containing(struct tare_weights *w, const char *text, const char *why);
/* Rename entries that match as a whole. */
void tare_rename(struct tare_weights *w, const char *pattern, const char *target);
/* Put prefix in front of every name that does not begin with it and a dot. */
void tare_add_prefix(struct tare_weights *w, const char *prefix);
/* Swap the last two axes of dense entries. Packed ones are (out, in) already and stay. */
void tare_transpose(struct tare_weights *w, const char *pattern);
/* Convolutions: (channels, 1, width) -> (channels, width, 1), where the last axis is not 1 already. */
void tare_conv_channels_last(struct tare_weights *w, const char *pattern);
/* Add a number to every element (rounded in the stored dtype). */
void tare_add(struct tare_weights *w, const char *pattern, double addend);
/*
 * Experts one by one -> one stacked entry. The pattern has one "#", the expert's number 0 .. n - 1:
 *   tare_stack(w, "model.layers.*.mlp.experts.#.up_proj.weight", "model.layers.*.mlp.switch_mlp.up_proj.weight", n)
 * A group of which some numbers are missing stays as it is, and strict loading says which.
 */
void tare_stack(struct tare_weights *w, const char *pattern, const char *target, int64_t n);
/* Cut an entry along an axis (negative: from the end) into equal parts, one target each. A packed entry can be cut by
 * rows (axis -2): its codes stay. */
void tare_split(struct tare_weights *w, const char *pattern, int axis, const char *const *targets, size_t n);

/* For conditions: is there a live entry that matches as a whole? Its first in order of the list, or NULL. */
const struct tare_entry *tare_find(const struct tare_weights *w, const char *pattern);

#endif
