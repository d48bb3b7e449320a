/* SPDX-License-Identifier: MIT
 * rewrite.c - stage 5: verbs that set entries aside and rename them, and what all verbs share. */
#include "names/rewrite.h"

#include <stdlib.h>
#include <string.h>

#include "names/verb.h"

bool tare_entry_alive(const struct tare_entry *entry)
{
    return !entry->rule && !entry->absorbed && !entry->hidden;
}

void tare_verb_no_memory(struct tare_weights *w)
{
    if (!w->error.code)
        tare_fail_memory(&w->error);
}

/* "<what><which> (models/NAME.c)", without printf: a rename makes one for each of many thousand names. */
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
        tare_verb_no_memory(w);
    return text;
}

const struct tare_step *tare_verb_step(struct tare_weights *w, const struct tare_step *before, const char *text)
{
    struct tare_step *s = text ? tare_arena_alloc(w->arena, sizeof *s) : NULL;
    if (!s) {
        tare_verb_no_memory(w);
        return before;
    }
    *s = (struct tare_step){.before = before, .text = text};
    return s;
}

bool tare_verb_pair(struct tare_weights *w, const char *text, bool numbered, const char *target,
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
    entry->steps = tare_verb_step(w, entry->steps, text);
    entry->rule = why;
    entry->evidence = w->source;
}

/* Which entries a drop sets aside. */
struct dropping {
    const char *pattern; /* NULL: any name with `within` in it */
    const char *within;
    /* A match also covers the entries below it: "a.b" also means "a.b.weight". */
    bool leading;
    bool numbered; /* only entries whose "#" is at least `first` */
    int64_t first;
};

static bool means(const struct dropping *d, const struct tare_pattern *p, const char *name)
{
    struct tare_match match = {0};
    if (!d->pattern)
        return strstr(name, d->within) != NULL;
    return tare_pattern_match(p, name, d->leading, &match) && (!d->numbered || match.number >= d->first);
}

/* `why` is borrowed: the first match copies it into the arena, and all entries share that copy and the text of the
 * step. */
static void drop(struct tare_weights *w, const struct dropping *d, const char *why)
{
    const struct tare_pattern p = tare_pattern_read(d->pattern ? d->pattern : "**", d->numbered);
    const char *own = NULL, *text = NULL;
    for (size_t i = 0; i < w->n && !w->error.code; i++) {
        struct tare_entry *entry = &w->entries[i];
        if (!tare_entry_alive(entry) || !means(d, &p, entry->name))
            continue;
        if (!own) {
            own = tare_arena_text(w->arena, why);
            text = sentence(w, "set aside: ", why);
        }
        if (!own)
            tare_verb_no_memory(w);
        else
            set_aside(w, entry, own, text);
    }
}

void tare_drop(struct tare_weights *w, const char *pattern, const char *why)
{
    drop(w, &(struct dropping){.pattern = pattern, .leading = true}, why);
}

void tare_drop_from(struct tare_weights *w, const char *pattern, int64_t first, const char *why)
{
    drop(w, &(struct dropping){.pattern = pattern, .leading = true, .numbered = true, .first = first}, why);
}

void tare_drop_exact(struct tare_weights *w, const char *pattern, const char *why)
{
    drop(w, &(struct dropping){.pattern = pattern}, why);
}

void tare_drop_containing(struct tare_weights *w, const char *text, const char *why)
{
    drop(w, &(struct dropping){.within = text}, why);
}

/* ---- names ---- */

/* Gives an entry a copy of `name` in the arena and records the old name as a step. */
static void rename_entry(struct tare_weights *w, struct tare_entry *entry, const struct tare_text *name)
{
    const char *own = name->failed ? NULL : tare_arena_copy(w->arena, name->data, name->size);
    if (!own) {
        tare_verb_no_memory(w);
        return;
    }
    entry->steps = tare_verb_step(w, entry->steps, sentence(w, "renamed from ", entry->name));
    entry->name = own;
}

void tare_rename(struct tare_weights *w, const char *pattern, const char *target)
{
    struct tare_pattern p;
    struct tare_match match = {0};
    struct tare_text name = {0};
    if (!tare_verb_pair(w, pattern, false, target, &p))
        return;
    for (size_t i = 0; i < w->n && !w->error.code; i++) {
        struct tare_entry *entry = &w->entries[i];
        if (!tare_entry_alive(entry) || !tare_pattern_match(&p, entry->name, false, &match))
            continue;
        name.size = 0;
        tare_pattern_expand(&name, target, &match);
        /* renaming "model.**" to "**" would leave a tensor called "model" without a name: it keeps its own */
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
        if (!tare_entry_alive(entry) || (!strncmp(entry->name, prefix, size) && entry->name[size] == '.'))
            continue;
        name.size = 0;
        tare_text_add(&name, prefix, size);
        tare_text_add(&name, ".", 1);
        tare_text_puts(&name, entry->name);
        rename_entry(w, entry, &name);
    }
    tare_text_release(&name);
}

void tare_replace(struct tare_weights *w, const char *text, const char *by)
{
    struct tare_text name = {0};
    for (size_t i = 0; i < w->n && !w->error.code; i++) {
        struct tare_entry *entry = &w->entries[i];
        const char *at = tare_entry_alive(entry) ? strstr(entry->name, text) : NULL;
        if (!at || strstr(entry->name, by))
            continue;
        name.size = 0;
        tare_text_add(&name, entry->name, (size_t)(at - entry->name));
        tare_text_puts(&name, by);
        tare_text_puts(&name, at + strlen(text));
        rename_entry(w, entry, &name);
    }
    tare_text_release(&name);
}

void tare_copy(struct tare_weights *w, const char *pattern, const char *target)
{
    struct tare_pattern p;
    struct tare_match match = {0};
    struct tare_text name = {0};
    const size_t before = w->n;
    if (!tare_verb_pair(w, pattern, false, target, &p))
        return;
    for (size_t i = 0; i < before && !w->error.code; i++) {
        if (!tare_entry_alive(&w->entries[i]) || !tare_pattern_match(&p, w->entries[i].name, false, &match))
            continue;
        name.size = 0;
        tare_pattern_expand(&name, target, &match);
        if (!tare_grow(&w->entries, &w->room, w->n + 1, sizeof *w->entries)) {
            tare_verb_no_memory(w);
            break;
        }
        w->entries[w->n] = w->entries[i];
        rename_entry(w, &w->entries[w->n++], &name);
    }
    tare_text_release(&name);
}

const struct tare_entry *tare_find(const struct tare_weights *w, const char *pattern)
{
    const struct tare_pattern p = tare_pattern_read(pattern, false);
    for (size_t i = 0; i < w->n; i++)
        if (tare_entry_alive(&w->entries[i]) && tare_pattern_match(&p, w->entries[i].name, false, NULL))
            return &w->entries[i];
    return NULL;
}

/* ---- recipes ---- */

static void look(void *user, const struct tare_module *module)
{
    struct tare_leaves *leaves = user;
    leaves->faulty |= module->fault != NULL;
    leaves->packed |= module->packed;
}

struct tare_leaves tare_leaves_of(const struct tare_recipe *recipe)
{
    struct tare_leaves leaves = {0};
    tare_recipe_leaves(recipe, look, &leaves);
    return leaves;
}

void tare_verb_edit(struct tare_weights *w, const char *pattern, bool packed_too, tare_edit *edit, const void *how,
                    const char *what)
{
    const struct tare_pattern p = tare_pattern_read(pattern, false);
    const char *text = NULL;
    for (size_t i = 0; i < w->n && !w->error.code; i++) {
        struct tare_entry *entry = &w->entries[i];
        if (!tare_entry_alive(entry) || !tare_pattern_match(&p, entry->name, false, NULL))
            continue;
        const struct tare_leaves leaves = tare_leaves_of(entry->recipe);
        const struct tare_recipe *made =
            leaves.faulty || (leaves.packed && !packed_too) ? entry->recipe : edit(w->arena, entry->recipe, how);
        if (made == entry->recipe)
            continue;
        if (!text)
            text = sentence(w, what, "");
        entry->recipe = made;
        entry->steps = tare_verb_step(w, entry->steps, text);
        if (w->arena->failed)
            tare_verb_no_memory(w);
    }
}
