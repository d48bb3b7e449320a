/* SPDX-License-Identifier: MIT
 * verb_copy.c - one more name for an entry. */
#include "names/rewrite.h"

#include <string.h>

void tare_copy(struct tare_weights *w, const char *name, const char *target)
{
    const struct tare_entry *found = w->error.code ? NULL : tare_find(w, name);
    if (!found)
        return;
    struct tare_entry copy = *found;
    const char *text = tare_arena_format(w->arena, "copy of %s (%s)", name, w->source ? w->source : "");
    struct tare_step *step = tare_arena_alloc(w->arena, sizeof *step);
    copy.name = tare_arena_copy(w->arena, target, strlen(target));
    if (!copy.name || !step || !text || !tare_grow(&w->entries, &w->room, w->n + 1, sizeof *w->entries)) {
        tare_fail_memory(&w->error);
        return;
    }
    *step = (struct tare_step){.before = copy.steps, .text = text};
    copy.steps = step;
    w->entries[w->n++] = copy;
}
