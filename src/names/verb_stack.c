/* SPDX-License-Identifier: MIT
 * verb_stack.c - verbs that make one entry of many. */
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "names/verb.h"

/*
 * A member is an entry that matched; a group is a target with the members that go there. `first` is where the slots of
 * the group begin in the array that fill_slots() makes. The arrays of a stacking lie on the heap.
 */
struct member {
    uint32_t group, entry;
    int64_t number;
};
struct group {
    const char *target;
    size_t n, first; /* n members */
};
struct stacking {
    struct tare_map by_target;
    struct member *members;
    size_t n_members, members_room;
    struct group *groups;
    size_t n_groups, groups_room;
};

/* Returns the group of a target and makes it if it is new; NULL when memory ran out. */
static struct group *group_of(struct stacking *s, struct tare_arena *arena, const struct tare_text *target)
{
    const uint32_t known = target->failed ? TARE_MAP_NONE : tare_map_get(&s->by_target, target->data, target->size);
    if (known != TARE_MAP_NONE)
        return &s->groups[known];
    const char *own = target->failed ? NULL : tare_arena_copy(arena, target->data, target->size);
    if (!own || !tare_grow(&s->groups, &s->groups_room, s->n_groups + 1, sizeof *s->groups) ||
        !tare_map_put(&s->by_target, own, target->size, (uint32_t)s->n_groups, NULL))
        return NULL;
    s->groups[s->n_groups] = (struct group){.target = own};
    return &s->groups[s->n_groups++];
}

/*
 * Adds every entry that matches as a member of the group of its target. Its number within the group is `number`, or,
 * when that is -1, what "#" stands for in its name; then entries with a number of n or more are left alone.
 */
static void gather(struct tare_weights *w, struct stacking *s, const struct tare_pattern *p, const char *target,
                   int64_t n, int64_t number)
{
    struct tare_match match = {0};
    struct tare_text name = {0};
    for (size_t i = 0; i < w->n && !w->error.code; i++) {
        const struct tare_entry *entry = &w->entries[i];
        if (!tare_entry_alive(entry) || !tare_pattern_match(p, entry->name, false, &match) ||
            (number < 0 && match.number >= n))
            continue;
        name.size = 0;
        tare_pattern_expand(&name, target, &match);
        struct group *group = group_of(s, w->arena, &name);
        if (!group || !tare_grow(&s->members, &s->members_room, s->n_members + 1, sizeof *s->members)) {
            tare_verb_no_memory(w);
            break;
        }
        group->n++;
        s->members[s->n_members++] =
            (struct member){(uint32_t)(group - s->groups), (uint32_t)i, number < 0 ? match.number : number};
    }
    tare_text_release(&name);
}

/* How entries become one: stacked along a new first axis, or joined along an axis that they have (-1 is the last one).
 */
struct combining {
    bool join;
    int axis;
};

/* Can the entries in slot[0 .. n) be combined? Not when their dtypes differ, because one of them would be rounded. */
static bool fits(const struct tare_weights *w, const struct combining *c, const uint32_t *slot, size_t n)
{
    const struct tare_recipe *first = w->entries[slot[0]].recipe;
    const int axis = !c->join ? -1 : c->axis < 0 ? c->axis + first->rank : c->axis;
    if (c->join && (axis < 0 || axis >= first->rank))
        return false;
    for (size_t i = 0; i < n; i++) {
        const struct tare_recipe *r = w->entries[slot[i]].recipe;
        if (tare_leaves_of(r).faulty || r->rank != first->rank || r->dtype != first->dtype)
            return false;
        for (int k = 0; k < r->rank; k++)
            if (k != axis && r->shape[k] != first->shape[k])
                return false;
    }
    return true;
}

/* Appends the combined entry. Its inputs stay in the list as absorbed ones, so that explain can follow them. */
static void combine(struct tare_weights *w, const struct combining *c, const char *target, const uint32_t *slot,
                    const struct tare_recipe **inputs, size_t n)
{
    if (!tare_grow(&w->entries, &w->room, w->n + 1, sizeof *w->entries)) {
        tare_verb_no_memory(w);
        return;
    }
    const char *source = w->source ? w->source : "";
    const char *text = tare_arena_format(w->arena, "%s %zu%s (%s)", c->join ? "joined from" : "stacked from", n,
                                         c->join ? "" : " experts", source);
    const char *into = tare_arena_format(w->arena, "%s into %s (%s)", c->join ? "joined" : "stacked", target, source);
    const struct tare_entry first = w->entries[slot[0]];
    for (size_t i = 0; i < n; i++) {
        struct tare_entry *entry = &w->entries[slot[i]];
        inputs[i] = entry->recipe;
        entry->absorbed = true;
        entry->steps = tare_verb_step(w, entry->steps, into);
    }
    const int axis = c->axis < 0 ? c->axis + inputs[0]->rank : c->axis;
    w->entries[w->n++] = (struct tare_entry){.name = target,
                                             .recipe = c->join ? tare_recipe_join(w->arena, inputs, n, axis)
                                                               : tare_recipe_stack(w->arena, inputs, n),
                                             .steps = tare_verb_step(w, first.steps, text)};
    if (w->arena->failed)
        tare_verb_no_memory(w);
}

/*
 * Sorts members into the slots of their group, by number. Only a group of exactly n members can be complete; if a
 * number comes twice, another is missing, and n = 0 marks the group as unusable.
 */
static void fill_slots(struct stacking *s, uint32_t *slot, size_t n)
{
    size_t first = 0;
    for (size_t g = 0; g < s->n_groups; g++) {
        s->groups[g].first = first;
        first += s->groups[g].n;
    }
    for (size_t i = 0; i < s->n_members; i++)
        slot[i] = TARE_MAP_NONE;
    for (size_t i = 0; i < s->n_members; i++) {
        struct group *group = &s->groups[s->members[i].group];
        if (group->n != n)
            continue;
        uint32_t *place = &slot[group->first + (size_t)s->members[i].number];
        if (*place == TARE_MAP_NONE)
            *place = s->members[i].entry;
        else
            group->n = 0;
    }
}

/* Combines each group that has all of its n members, and frees the stacking. */
static void combine_groups(struct tare_weights *w, struct stacking *s, const struct combining *c, size_t n)
{
    if (!w->error.code && n <= s->n_members) {
        uint32_t *slot = malloc(s->n_members * sizeof *slot);
        const struct tare_recipe **inputs = malloc(n * sizeof *inputs);
        if (!slot || !inputs)
            tare_verb_no_memory(w);
        else
            fill_slots(s, slot, n);
        for (size_t g = 0; g < s->n_groups && !w->error.code; g++)
            if (s->groups[g].n == n && fits(w, c, slot + s->groups[g].first, n))
                combine(w, c, s->groups[g].target, slot + s->groups[g].first, inputs, n);
        free(slot);
        free(inputs);
    }
    tare_map_release(&s->by_target);
    free(s->members);
    free(s->groups);
}

void tare_stack(struct tare_weights *w, const char *pattern, const char *target, int64_t n)
{
    struct tare_pattern p;
    struct stacking s = {0};
    if (n < 1 || !tare_verb_pair(w, pattern, true, target, &p))
        return;
    gather(w, &s, &p, target, n, -1);
    combine_groups(w, &s, &(struct combining){.join = false}, (size_t)n);
}

void tare_join(struct tare_weights *w, const char *const *patterns, size_t n, int axis, const char *target)
{
    struct stacking s = {0};
    for (size_t k = 0; k < n; k++) {
        struct tare_pattern p;
        if (tare_verb_pair(w, patterns[k], false, target, &p))
            gather(w, &s, &p, target, (int64_t)n, (int64_t)k);
    }
    if (n > 0)
        combine_groups(w, &s, &(struct combining){.join = true, .axis = axis}, n);
}
