/* SPDX-License-Identifier: MIT
 * rewrite.c - stage 5: the verbs a model's sanitize is written in. They edit names and recipes, never data.
 *
 * Each goes over the list once. An entry that a verb cannot take (a faulty module, a shape without the axis asked for)
 * stays as it is, so that strict loading reports it with its own name and shape.
 */
#include "names/rewrite.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "names/pattern.h"
#include "packing/packing.h"

static bool alive(const struct tare_entry *entry)
{
    return !entry->rule && !entry->absorbed && !entry->hidden;
}

static void out_of_memory(struct tare_weights *w)
{
    if (!w->error.code)
        tare_fail_memory(&w->error);
}

/* "<what><which> (models/x.c)", without printf: a rename makes one for each of many thousand names. */
static const char *sentence(struct tare_weights *w, const char *what, const char *which)
{
    const char *const part[] = {what, which, " (", w->source ? w->source : "", ")"};
    const size_t n = w->source ? 5 : 2;
    size_t size = 0;
    for (size_t i = 0; i < n; i++)
        size += strlen(part[i]);
    char *text = tare_arena_alloc(w->arena, size + 1), *end = text;
    for (size_t i = 0; text && i < n; i++) {
        const size_t length = strlen(part[i]);
        memcpy(end, part[i], length);
        end += length;
    }
    if (!text)
        out_of_memory(w);
    return text;
}

/* The steps of an entry, and one more. */
static const struct tare_step *step(struct tare_weights *w, const struct tare_step *before, const char *text)
{
    struct tare_step *s = text ? tare_arena_alloc(w->arena, sizeof *s) : NULL;
    if (!s) {
        out_of_memory(w);
        return before;
    }
    *s = (struct tare_step){.before = before, .text = text};
    return s;
}

/* Patterns and targets are ours: a target with a wildcard too many is a mistake in a model file. */
static bool read_pair(struct tare_weights *w, const char *text, bool numbered, const char *target,
                      struct tare_pattern *pattern)
{
    *pattern = tare_pattern_read(text, numbered);
    const size_t wanted = tare_pattern_read(target, false).wildcards;
    if (w->error.code)
        return false;
    if (wanted > pattern->wildcards || wanted > TARE_WILDCARDS_MOST)
        tare_fail(&w->error, TARE_E_INTERNAL, w->source, "%s: %zu wildcards, its pattern %s has %zu", target, wanted,
                  text, pattern->wildcards);
    return !w->error.code;
}

/* ---- setting aside ---- */

static void set_aside(struct tare_weights *w, struct tare_entry *entry, const char *why, const char *text)
{
    entry->steps = step(w, entry->steps, text);
    entry->rule = why;
    entry->evidence = w->source;
}

/* `why` may be the caller's own: it is copied at the first match, and the step's text is shared by all. */
static void drop(struct tare_weights *w, const char *pattern, bool leading, const char *within, const char *why)
{
    const struct tare_pattern p = tare_pattern_read(pattern, false);
    const char *own = NULL, *text = NULL;
    for (size_t i = 0; i < w->n && !w->error.code; i++) {
        struct tare_entry *entry = &w->entries[i];
        if (!alive(entry) ||
            !(within ? strstr(entry->name, within) != NULL : tare_pattern_match(&p, entry->name, leading, NULL)))
            continue;
        if (!own) {
            own = tare_arena_text(w->arena, why);
            text = sentence(w, "set aside: ", why);
        }
        if (!own)
            out_of_memory(w);
        else
            set_aside(w, entry, own, text);
    }
}

void tare_drop(struct tare_weights *w, const char *pattern, const char *why)
{
    drop(w, pattern, true, NULL, why);
}

void tare_drop_exact(struct tare_weights *w, const char *pattern, const char *why)
{
    drop(w, pattern, false, NULL, why);
}

void tare_drop_containing(struct tare_weights *w, const char *text, const char *why)
{
    drop(w, "**", false, text, why);
}

/* ---- names ---- */

static void rename_entry(struct tare_weights *w, struct tare_entry *entry, const struct tare_text *name)
{
    const char *own = name->failed ? NULL : tare_arena_copy(w->arena, name->data, name->size);
    if (!own) {
        out_of_memory(w);
        return;
    }
    entry->steps = step(w, entry->steps, sentence(w, "renamed from ", entry->name));
    entry->name = own;
}

void tare_rename(struct tare_weights *w, const char *pattern, const char *target)
{
    struct tare_pattern p;
    struct tare_match match = {0};
    struct tare_text name = {0};
    if (!read_pair(w, pattern, false, target, &p))
        return;
    for (size_t i = 0; i < w->n && !w->error.code; i++) {
        struct tare_entry *entry = &w->entries[i];
        if (!alive(entry) || !tare_pattern_match(&p, entry->name, false, &match))
            continue;
        name.size = 0;
        tare_pattern_expand(&name, target, &match);
        /* "model.**" -> "**" would leave a tensor "model" without a name */
        if (name.failed || (name.size && strcmp(name.data, entry->name)))
            rename_entry(w, entry, &name);
    }
    tare_text_release(&name);
}

void tare_add_prefix(struct tare_weights *w, const char *prefix)
{
    const size_t size = strlen(prefix);
    struct tare_text name = {0};
    for (size_t i = 0; i < w->n && !w->error.code; i++) {
        struct tare_entry *entry = &w->entries[i];
        if (!alive(entry) || (!strncmp(entry->name, prefix, size) && entry->name[size] == '.'))
            continue;
        name.size = 0;
        tare_text_add(&name, prefix, size);
        tare_text_add(&name, ".", 1);
        tare_text_puts(&name, entry->name);
        rename_entry(w, entry, &name);
    }
    tare_text_release(&name);
}

const struct tare_entry *tare_find(const struct tare_weights *w, const char *pattern)
{
    const struct tare_pattern p = tare_pattern_read(pattern, false);
    for (size_t i = 0; i < w->n; i++)
        if (alive(&w->entries[i]) && tare_pattern_match(&p, w->entries[i].name, false, NULL))
            return &w->entries[i];
    return NULL;
}

/* ---- recipes ---- */

/* What stands in the way of a verb: a faulty leaf, whose shape means nothing; a packed one. */
struct leaves {
    bool faulty, packed;
};

static void look(void *user, const struct tare_module *module)
{
    struct leaves *leaves = user;
    leaves->faulty |= module->fault != NULL;
    leaves->packed |= module->packing->decode != NULL;
}

static struct leaves leaves_of(const struct tare_recipe *recipe)
{
    struct leaves leaves = {0};
    tare_recipe_leaves(recipe, look, &leaves);
    return leaves;
}

/* Swap the last two axes of one entry. */
static void swap(struct tare_weights *w, struct tare_entry *entry, const char *text)
{
    const int rank = entry->recipe->rank;
    int *order = tare_arena_array(w->arena, (size_t)rank, sizeof *order);
    if (!order) {
        out_of_memory(w);
        return;
    }
    for (int k = 0; k < rank; k++)
        order[k] = k;
    order[rank - 1] = rank - 2;
    order[rank - 2] = rank - 1;
    entry->recipe = tare_recipe_transpose(w->arena, entry->recipe, order);
    entry->steps = step(w, entry->steps, text);
}

static bool is_convolution(const struct tare_recipe *r)
{
    return r->rank == 3 && r->shape[1] == 1 && r->shape[2] != 1;
}

static bool is_matrix(const struct tare_recipe *r)
{
    return r->rank >= 2;
}

static void transpose(struct tare_weights *w, const char *pattern, bool (*fits)(const struct tare_recipe *),
                      const char *what)
{
    const struct tare_pattern p = tare_pattern_read(pattern, false);
    const char *text = NULL;
    for (size_t i = 0; i < w->n && !w->error.code; i++) {
        struct tare_entry *entry = &w->entries[i];
        if (!alive(entry) || !tare_pattern_match(&p, entry->name, false, NULL) || !fits(entry->recipe))
            continue;
        const struct leaves leaves = leaves_of(entry->recipe);
        if (leaves.faulty || leaves.packed)
            continue;
        if (!text)
            text = sentence(w, what, "");
        swap(w, entry, text);
        if (w->arena->failed)
            out_of_memory(w);
    }
}

void tare_transpose(struct tare_weights *w, const char *pattern)
{
    transpose(w, pattern, is_matrix, "transposed");
}

void tare_conv_channels_last(struct tare_weights *w, const char *pattern)
{
    transpose(w, pattern, is_convolution, "channels moved last");
}

void tare_add(struct tare_weights *w, const char *pattern, double addend)
{
    const struct tare_pattern p = tare_pattern_read(pattern, false);
    const char *text = NULL;
    for (size_t i = 0; i < w->n && !w->error.code; i++) {
        struct tare_entry *entry = &w->entries[i];
        if (!alive(entry) || !tare_pattern_match(&p, entry->name, false, NULL) || leaves_of(entry->recipe).faulty)
            continue;
        if (!text)
            text = tare_arena_format(w->arena, "%.12g added (%s)", addend, w->source ? w->source : "");
        entry->recipe = tare_recipe_add(w->arena, entry->recipe, addend);
        entry->steps = step(w, entry->steps, text);
        if (w->arena->failed)
            out_of_memory(w);
    }
}

/* ---- one into many ---- */

/* Part k of n of `from` along an axis; takes the place of entry `at`. */
static void cut(struct tare_weights *w, const struct tare_entry *from, size_t at, int axis, size_t k, size_t n,
                const struct tare_text *name)
{
    const int64_t each = from->recipe->shape[axis] / (int64_t)n;
    const char *own = name->failed ? NULL : tare_arena_copy(w->arena, name->data, name->size);
    const char *text =
        tare_arena_format(w->arena, "part %zu of %zu of %s (%s)", k + 1, n, from->name, w->source ? w->source : "");
    struct tare_entry *part = &w->entries[at];
    *part = *from;
    part->recipe = tare_recipe_slice(w->arena, from->recipe, axis, (int64_t)k * each, each);
    part->steps = step(w, from->steps, text);
    part->name = own ? own : "";
    if (w->arena->failed || !own)
        out_of_memory(w);
}

void tare_split(struct tare_weights *w, const char *pattern, int axis, const char *const *targets, size_t n)
{
    struct tare_pattern p = {0};
    struct tare_match match = {0};
    struct tare_text name = {0};
    const size_t before = w->n;
    for (size_t k = 0; k < n; k++)
        if (!read_pair(w, pattern, false, targets[k], &p))
            return;
    for (size_t i = 0; i < before && n && !w->error.code; i++) {
        const struct tare_entry from = w->entries[i];
        const int along = axis < 0 ? axis + from.recipe->rank : axis;
        if (!alive(&from) || !tare_pattern_match(&p, from.name, false, &match) || leaves_of(from.recipe).faulty ||
            along < 0 || along >= from.recipe->rank || from.recipe->shape[along] % (int64_t)n)
            continue;
        if (!tare_grow(&w->entries, &w->room, w->n + n - 1, sizeof *w->entries)) {
            out_of_memory(w);
            break;
        }
        for (size_t k = 0; k < n; k++) {
            name.size = 0;
            tare_pattern_expand(&name, targets[k], &match);
            cut(w, &from, k ? w->n++ : i, along, k, n, &name);
        }
    }
    tare_text_release(&name);
}

/* ---- many into one ---- */

/* An entry that matched, and a target with the entries that go there. All three arrays are heap. */
struct member {
    uint32_t group, entry;
    int64_t number;
};
struct group {
    const char *target;
    size_t n, first; /* members; where its slots begin */
};
struct stacking {
    struct tare_map by_target;
    struct member *members;
    size_t n_members, members_room;
    struct group *groups;
    size_t n_groups, groups_room;
};

/* The group of a target, made when it is new; NULL: no memory. */
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

static void gather(struct tare_weights *w, struct stacking *s, const struct tare_pattern *p, const char *target,
                   int64_t n)
{
    struct tare_match match = {0};
    struct tare_text name = {0};
    for (size_t i = 0; i < w->n && !w->error.code; i++) {
        const struct tare_entry *entry = &w->entries[i];
        if (!alive(entry) || !tare_pattern_match(p, entry->name, false, &match) || match.number >= n)
            continue;
        name.size = 0;
        tare_pattern_expand(&name, target, &match);
        struct group *group = group_of(s, w->arena, &name);
        if (!group || !tare_grow(&s->members, &s->members_room, s->n_members + 1, sizeof *s->members)) {
            out_of_memory(w);
            break;
        }
        group->n++;
        s->members[s->n_members++] = (struct member){(uint32_t)(group - s->groups), (uint32_t)i, match.number};
    }
    tare_text_release(&name);
}

/* May the entries in slot[0 .. n) be stacked? Unlike dtypes may not: one of them would be rounded. */
static bool stackable(const struct tare_weights *w, const uint32_t *slot, size_t n)
{
    const struct tare_recipe *first = w->entries[slot[0]].recipe;
    for (size_t i = 0; i < n; i++) {
        const struct tare_recipe *r = w->entries[slot[i]].recipe;
        if (leaves_of(r).faulty || r->rank != first->rank || r->dtype != first->dtype)
            return false;
        for (int k = 0; k < r->rank; k++)
            if (r->shape[k] != first->shape[k])
                return false;
    }
    return true;
}

static void stack(struct tare_weights *w, const char *target, const uint32_t *slot, const struct tare_recipe **inputs,
                  size_t n)
{
    if (!tare_grow(&w->entries, &w->room, w->n + 1, sizeof *w->entries)) {
        out_of_memory(w);
        return;
    }
    const char *source = w->source ? w->source : "";
    const char *text = tare_arena_format(w->arena, "stacked from %zu experts (%s)", n, source);
    const char *into = tare_arena_format(w->arena, "stacked into %s (%s)", target, source);
    const struct tare_entry first = w->entries[slot[0]];
    for (size_t i = 0; i < n; i++) {
        struct tare_entry *entry = &w->entries[slot[i]];
        inputs[i] = entry->recipe;
        entry->absorbed = true;
        entry->steps = step(w, entry->steps, into);
    }
    w->entries[w->n++] = (struct tare_entry){
        .name = target, .recipe = tare_recipe_stack(w->arena, inputs, n), .steps = step(w, first.steps, text)};
    if (w->arena->failed)
        out_of_memory(w);
}

/* Sort the members of groups that may be complete into slots by expert; a number that comes twice spoils its group. */
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

void tare_stack(struct tare_weights *w, const char *pattern, const char *target, int64_t n)
{
    struct tare_pattern p;
    struct stacking s = {0};
    if (n < 1 || !read_pair(w, pattern, true, target, &p))
        return;
    gather(w, &s, &p, target, n);
    if (!w->error.code && (uint64_t)n <= s.n_members) {
        const size_t count = (size_t)n;
        uint32_t *slot = malloc(s.n_members * sizeof *slot);
        const struct tare_recipe **inputs = malloc(count * sizeof *inputs);
        if (!slot || !inputs)
            out_of_memory(w);
        else
            fill_slots(&s, slot, count);
        for (size_t g = 0; g < s.n_groups && !w->error.code; g++)
            if (s.groups[g].n == count && stackable(w, slot + s.groups[g].first, count))
                stack(w, s.groups[g].target, slot + s.groups[g].first, inputs, count);
        free(slot);
        free(inputs);
    }
    tare_map_release(&s.by_target);
    free(s.members);
    free(s.groups);
}
