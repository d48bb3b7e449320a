/* SPDX-License-Identifier: MIT
 * verb_parts.c - verbs that make many entries of one. */
#include <string.h>

#include "names/verb.h"

/* Says how an entry is cut: into equal parts, into parts of given sizes, or into every n-th element. */
struct cutting {
    int axis; /* negative: from the end */
    size_t n;
    const int64_t *sizes;
    bool alternating;
    bool numbered; /* one target for all parts, in which "#" stands for the number of the part */
};

/* Do the parts fill the axis exactly? */
static bool fits(const struct tare_recipe *r, const struct cutting *c, int axis)
{
    int64_t sum = 0;
    if (axis < 0 || axis >= r->rank || !c->n || tare_leaves_of(r).faulty)
        return false;
    if (!c->sizes)
        return r->shape[axis] >= (int64_t)c->n && r->shape[axis] % (int64_t)c->n == 0;
    for (size_t k = 0; k < c->n; k++)
        if (c->sizes[k] < 0 || __builtin_add_overflow(sum, c->sizes[k], &sum))
            return false;
    return sum == r->shape[axis];
}

/* Returns the recipe of part k, which has either the elements k, k + n, .. of the axis or a run of elements. */
static const struct tare_recipe *part(struct tare_arena *arena, const struct tare_recipe *r, const struct cutting *c,
                                      int axis, size_t k)
{
    const int64_t each = r->shape[axis] / (int64_t)c->n;
    int64_t start = (int64_t)k * each;
    if (c->alternating)
        return tare_recipe_alternate(arena, r, axis, (int64_t)k, (int64_t)c->n);
    for (size_t i = 0; c->sizes && i < k; i++)
        start = i ? start + c->sizes[i] : c->sizes[i];
    return tare_recipe_slice(arena, r, axis, start, c->sizes ? c->sizes[k] : each);
}

/* Makes entry `at` part k of `from`. Its steps say so, which `explain` prints. */
static void put(struct tare_weights *w, const struct tare_entry *from, size_t at, const struct cutting *c, int axis,
                size_t k, const struct tare_text *name)
{
    const char *own = name->failed ? NULL : tare_arena_copy(w->arena, name->data, name->size);
    const char *text =
        tare_arena_format(w->arena, "part %zu of %zu of %s (%s)", k + 1, c->n, from->name, w->source ? w->source : "");
    struct tare_entry *to = &w->entries[at];
    *to = *from;
    to->recipe = part(w->arena, from->recipe, c, axis, k);
    to->steps = tare_verb_step(w, from->steps, text);
    to->name = own ? own : "";
    if (w->arena->failed || !own)
        tare_verb_no_memory(w);
}

/* Writes the name of part k: targets[k], or the one target with its "#" replaced by k. */
static void name_part(struct tare_text *name, const char *const *targets, bool by_number, size_t k,
                      const struct tare_match *match)
{
    name->size = 0;
    if (!by_number) {
        tare_pattern_expand(name, targets[k], match);
        return;
    }
    struct tare_text pattern = {0};
    const char *numbered = targets[0];
    const char *number = strchr(numbered, '#');
    tare_text_add(&pattern, numbered, number ? (size_t)(number - numbered) : strlen(numbered));
    if (number)
        tare_text_format(&pattern, "%zu%s", k, number + 1);
    if (pattern.failed)
        name->failed = true;
    else
        tare_pattern_expand(name, pattern.data, match);
    tare_text_release(&pattern);
}

static void split(struct tare_weights *w, const char *pattern, const struct cutting *c, const char *const *targets)
{
    struct tare_pattern p = {0};
    struct tare_match match = {0};
    struct tare_text name = {0};
    const size_t before = w->n;
    for (size_t k = 0; k < (c->numbered ? 1 : c->n); k++)
        if (!tare_verb_pair(w, pattern, false, targets[k], &p))
            return;
    for (size_t i = 0; i < before && c->n && !w->error.code; i++) {
        const struct tare_entry from = w->entries[i];
        const int axis = c->axis < 0 ? c->axis + from.recipe->rank : c->axis;
        if (!tare_entry_alive(&from) || !tare_pattern_match(&p, from.name, false, &match) ||
            !fits(from.recipe, c, axis))
            continue;
        if (!tare_grow(&w->entries, &w->room, w->n + c->n - 1, sizeof *w->entries)) {
            tare_verb_no_memory(w);
            break;
        }
        for (size_t k = 0; k < c->n; k++) {
            name_part(&name, targets, c->numbered, k, &match);
            put(w, &from, k ? w->n++ : i, c, axis, k, &name);
        }
    }
    tare_text_release(&name);
}

void tare_split(struct tare_weights *w, const char *pattern, int axis, const char *const *targets, size_t n)
{
    split(w, pattern, &(struct cutting){.axis = axis, .n = n}, targets);
}

void tare_split_sizes(struct tare_weights *w, const char *pattern, int axis, const char *const *targets,
                      const int64_t *sizes, size_t n)
{
    split(w, pattern, &(struct cutting){.axis = axis, .n = n, .sizes = sizes}, targets);
}

void tare_split_alternating(struct tare_weights *w, const char *pattern, int axis, const char *const *targets, size_t n)
{
    split(w, pattern, &(struct cutting){.axis = axis, .n = n, .alternating = true}, targets);
}

void tare_split_numbered(struct tare_weights *w, const char *pattern, const char *target, int64_t n)
{
    if (n > 0)
        split(w, pattern, &(struct cutting){.axis = 0, .n = (size_t)n, .numbered = true}, &target);
}
