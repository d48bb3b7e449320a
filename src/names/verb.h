/* SPDX-License-Identifier: MIT
 * verb.h - what the files of verbs share (rewrite.c, verb_*.c).
 *
 * Each verb goes over the list once. An entry that it cannot take (a faulty module, a shape without the axis asked for)
 * stays as it is, so that strict loading reports it with its own name and shape.
 */
#ifndef TARE_NAMES_VERB_H
#define TARE_NAMES_VERB_H

#include "module/pattern.h"
#include "names/rewrite.h"

bool tare_entry_alive(const struct tare_entry *entry);
void tare_verb_no_memory(struct tare_weights *w);
/* The steps of an entry with one more put before them. */
const struct tare_step *tare_verb_step(struct tare_weights *w, const struct tare_step *before, const char *text);
/* Read a pattern and check its target: one with a wildcard too many is a mistake in a model file. */
bool tare_verb_pair(struct tare_weights *w, const char *text, bool numbered, const char *target,
                    struct tare_pattern *pattern);

/* What stands in the way of a verb: a faulty leaf, whose shape means nothing; a packed one. */
struct tare_leaves {
    bool faulty, packed;
};
struct tare_leaves tare_leaves_of(const struct tare_recipe *recipe);

/* Makes a new recipe for an entry. If it returns the one that it was given, the verb leaves the entry alone. */
typedef const struct tare_recipe *tare_edit(struct tare_arena *arena, const struct tare_recipe *recipe,
                                            const void *how);
/* Edits each entry without a fault whose name matches as a whole; packed ones only with packed_too. `what` becomes the
 * text of the step: "transposed". */
void tare_verb_edit(struct tare_weights *w, const char *pattern, bool packed_too, tare_edit *edit, const void *how,
                    const char *what);

#endif
