/* SPDX-License-Identifier: MIT
 * scope.c - narrows the list to the names below a prefix while an inner model's sanitize runs.
 *
 * Entering a scope takes the prefix off these names and hides all other entries; leaving it puts the prefix back, also
 * on entries that were renamed or made in between. */
#include "names/rewrite.h"

#include <string.h>

void tare_scope_enter(struct tare_weights *w, const char *prefix)
{
    const size_t size = strlen(prefix);
    w->scope = prefix;
    for (size_t i = 0; i < w->n; i++) {
        struct tare_entry *entry = &w->entries[i];
        if (!entry->rule && !entry->absorbed && !strncmp(entry->name, prefix, size) && entry->name[size] == '.')
            entry->name += size + 1;
        else
            entry->hidden = true;
    }
}

void tare_scope_leave(struct tare_weights *w)
{
    const size_t size = strlen(w->scope);
    for (size_t i = 0; i < w->n; i++) {
        struct tare_entry *entry = &w->entries[i];
        char *own = entry->hidden ? NULL : tare_arena_alloc(w->arena, size + strlen(entry->name) + 2);
        if (own) {
            memcpy(own, w->scope, size);
            own[size] = '.';
            memcpy(own + size + 1, entry->name, strlen(entry->name) + 1);
            entry->name = own;
        } else if (!entry->hidden && !w->error.code) {
            tare_fail_memory(&w->error);
        }
        entry->hidden = false;
    }
    w->scope = NULL;
}
