/* SPDX-License-Identifier: MIT
 * rewrite.h - stage 5, rewrite: the verbs a model's sanitize is written in. They edit names and recipes, never data.
 *
 * Names here are names of logical tensors: a packed linear is "a.b.up_proj.weight" like a dense one, so one verb moves
 * both; its bias, if any, is "a.b.up_proj.bias".
 *
 * Patterns follow module/pattern.h. In a target each wildcard takes what the wildcard of the same place in the
 * pattern matched, from left to right.
 *
 * Verbs return nothing: the first failure is kept in weights->error. No verb drops an output head: tree/tie.c alone
 * does that. After a verb has renamed or stacked, two live entries may have one name: strict loading reports it.
 */
#ifndef TARE_NAMES_REWRITE_H
#define TARE_NAMES_REWRITE_H

#include "module/module.h"
#include "module/pattern.h"

/* Let the verbs see only names below prefix, and without it ("model.norm" for "language_model.model.norm"), until
 * tare_scope_leave puts it back. So an inner model's sanitize need not know its wrapper. */
void tare_scope_enter(struct tare_weights *w, const char *prefix);
void tare_scope_leave(struct tare_weights *w);

/* ---- setting aside ---- */

/* Set aside every entry whose name, or some leading part of it that ends at a dot, matches: tare_drop(w,
 * "vision_tower"). */
void tare_drop(struct tare_weights *w, const char *pattern, const char *why);
/* The same, unless shape, for entries whose name matches as a whole: tare_drop_exact(w, "model.h.*.attn.bias", ..). */
void tare_drop_exact(struct tare_weights *w, const char *pattern, const char *why);
/* Set aside every entry that has `text` anywhere in its name. */
void tare_drop_containing(struct tare_weights *w, const char *text, const char *why);
/* Set aside what lies below a numbered part from `first` on, one "#" in the pattern: tare_drop_from(w,
 * "model.layers.#", 61, ..); "model.layers.#.self_attn.k_proj" as well. */
void tare_drop_from(struct tare_weights *w, const char *pattern, int64_t first, const char *why);

/* ---- names ---- */

/* Rename entries that match as a whole. */
void tare_rename(struct tare_weights *w, const char *pattern, const char *target);
/* Put prefix in front of every name that does not begin with it and a dot. */
void tare_add_prefix(struct tare_weights *w, const char *prefix);
/* In names that have `text` anywhere, and not `by`, the first `text` becomes `by`: tare_replace(w, ".moe.", ".mlp.").
 */
void tare_replace(struct tare_weights *w, const char *text, const char *by);

/* ---- axes ---- */

/* Swap the last two axes of dense entries. Packed ones are (out, in) already and stay. */
void tare_transpose(struct tare_weights *w, const char *pattern);
/* Swap the last two axes of the logical tensor. A packed one becomes dense: its groups lie along the last axis. */
void tare_swap_axes(struct tare_weights *w, const char *pattern);
/* Another shape over the same elements in order; one number may be -1. Packed ones keep their last axis, or become
 * dense. What does not fit stays as it is. */
void tare_reshape(struct tare_weights *w, const char *pattern, int rank, const int64_t *shape);
/* Axes of length 1 are left out; of one number no axis stays. */
void tare_squeeze(struct tare_weights *w, const char *pattern);
/* Convolutions: (channels, 1, width) -> (channels, width, 1), where the last axis is not 1 already. */
void tare_conv_channels_last(struct tare_weights *w, const char *pattern);
/* ---- values: computed in float32, rounded once in the stored dtype; packed entries become dense ---- */

/* Add a number to every element. */
void tare_add(struct tare_weights *w, const char *pattern, double addend);
/* Multiply every element by a number. 1: nothing is done. */
void tare_multiply(struct tare_weights *w, const char *pattern, double factor);
/* Multiply rows (axis 0) by segments: the first size[0] of them by factor[0], .. The sizes must add up to the rows. */
void tare_multiply_rows(struct tare_weights *w, const char *pattern, const double *factor, const int64_t *size,
                        size_t n);
/* Residual gates (muse_spark): an entry becomes two, float32, TARE_GATE_KEEP and TARE_GATE_TAKE of its elements. */
void tare_residual_gate(struct tare_weights *w, const char *pattern, const char *keep, const char *take);
/* Divide each vector along an axis (0 or -1) of a matrix by its Euclidean norm + 1e-7. */
void tare_divide_by_norm(struct tare_weights *w, const char *pattern, int axis);

/* ---- one into many, many into one ---- */

/*
 * Experts one by one -> one stacked entry. The pattern has one "#", the expert's number 0 .. n - 1:
 *   tare_stack(w, "model.layers.*.mlp.experts.#.up_proj.weight", "model.layers.*.mlp.switch_mlp.up_proj.weight", n)
 * A group of which some numbers are missing stays as it is, and strict loading says which.
 */
void tare_stack(struct tare_weights *w, const char *pattern, const char *target, int64_t n);
/* Cut an entry along an axis (negative: from the end) into equal parts, one target each. A packed entry can be cut by
 * rows (axis -2): its codes stay. */
void tare_split(struct tare_weights *w, const char *pattern, int axis, const char *const *targets, size_t n);

/* A second entry of the same value. */
void tare_copy(struct tare_weights *w, const char *pattern, const char *target);
/* Unequal parts along an axis. Their sizes must add up to it, else the entry stays as it is. */
void tare_split_sizes(struct tare_weights *w, const char *pattern, int axis, const char *const *targets,
                      const int64_t *sizes, size_t n);
/* Part k has the elements k, k + n, k + 2n .. along the axis (gpt_oss: gate and up rows take turns). */
void tare_split_alternating(struct tare_weights *w, const char *pattern, int axis, const char *const *targets,
                            size_t n);
/* n equal parts along the first axis, each a target of its own: "#" is the part's number, 0 .. n - 1. */
void tare_split_numbered(struct tare_weights *w, const char *pattern, const char *target, int64_t n);
/* Several entries one after another along an axis -> one: patterns have the wildcards of the target, each for the same
 * text. Where one of them is missing, or does not fit, all stay. Packed ones keep their codes when rows are joined. */
void tare_join(struct tare_weights *w, const char *const *patterns, size_t n, int axis, const char *target);

/* ---- conditions ---- */

/* Is there a live entry that matches as a whole? Its first in order of the list, or NULL. */
const struct tare_entry *tare_find(const struct tare_weights *w, const char *pattern);

#endif
