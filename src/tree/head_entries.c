/* SPDX-License-Identifier: MIT
 * head_entries.c - the tensors of output heads: which entries are one head, and how a decision changes them. */
#include "tree/head_entries.h"

#include <string.h>

#include "packing/packing.h"

/* The prefix of a head's tensor, or 0: "a.lm_head.qweight" has "a.lm_head". */
static size_t prefix_of(const char *name)
{
    const char *dot = strrchr(name, '.');
    const size_t size = dot ? (size_t)(dot - name) : 0, head = strlen(TARE_HEAD_NAME);
    if (size < head || memcmp(dot - head, TARE_HEAD_NAME, head) != 0 || (size > head && dot[-(long)head - 1] != '.'))
        return 0;
    static const char *const parts[] = {"weight", "qweight", "qzeros", "scales", "g_idx"};
    for (size_t k = 0; k < sizeof parts / sizeof *parts; k++)
        if (!strcmp(dot + 1, parts[k]))
            return size;
    return 0;
}

/* The module that an entry is made of, or the first of several. */
static const struct tare_module *module_of(const struct tare_entry *entry)
{
    const struct tare_recipe *r = entry->recipe;
    while (r->op != TARE_OP_TAKE)
        r = r->inputs[0];
    return r->module;
}

static bool is_weight(const struct tare_entry *entry)
{
    const char *dot = strrchr(entry->name, '.');
    return dot && !strcmp(dot, ".weight");
}

bool tare_head_dense(const struct tare_entry *entry)
{
    return is_weight(entry) && module_of(entry)->packing == &tare_packing_plain;
}

bool tare_head_has(const struct tare_head_decision *head, const struct tare_entry *entry)
{
    const size_t size = prefix_of(entry->name);
    return !entry->absorbed && size && strlen(head->prefix) == size && !memcmp(entry->name, head->prefix, size) &&
           tare_head_dense(entry) == head->dense;
}

enum tare_code tare_heads_collect(const struct tare_weights *w, struct tare_tie_result *result, struct tare_error *err)
{
    /* Prefixes of packed and of dense heads: a hostile checkpoint may name 100,000. */
    struct tare_map known[2] = {{0}, {0}};
    size_t most = 0;
    bool room = true;
    for (size_t i = 0; i < w->n; i++)
        most += !w->entries[i].rule && !w->entries[i].absorbed && prefix_of(w->entries[i].name) > 0;
    result->heads = tare_arena_array(w->arena, most, sizeof *result->heads);
    for (size_t i = 0; most && result->heads && room && i < w->n; i++) {
        const struct tare_entry *entry = &w->entries[i];
        const size_t size = prefix_of(entry->name);
        uint32_t before = TARE_MAP_NONE;
        if (!size || entry->rule || entry->absorbed)
            continue;
        const bool dense = tare_head_dense(entry);
        room = tare_map_put(&known[dense], entry->name, size, (uint32_t)result->n, &before);
        const char *prefix = room && before == TARE_MAP_NONE ? tare_arena_copy(w->arena, entry->name, size) : NULL;
        if (prefix)
            result->heads[result->n++] =
                (struct tare_head_decision){.prefix = prefix, .dense = dense, .evidence = "none"};
    }
    tare_map_release(&known[0]);
    tare_map_release(&known[1]);
    return !room || w->arena->failed ? tare_fail_memory(err) : TARE_OK;
}

void tare_head_activate(struct tare_head *head, bool active)
{
    if (head->weight)
        head->weight->active = active;
    if (head->bias)
        head->bias->active = active;
}

void tare_head_set_aside(struct tare_weights *w, const struct tare_head_decision *head)
{
    for (size_t i = 0; i < w->n; i++) {
        struct tare_entry *entry = &w->entries[i];
        if (entry->rule || !tare_head_has(head, entry))
            continue;
        entry->rule = head->dense ? "redundant output head: the model is tied to its embedding"
                                  : "redundant quantized output head: the model is tied to its embedding";
        entry->evidence = head->evidence;
        entry->redundant = true;
    }
}

void tare_head_take(struct tare_tree *tree, struct tare_weights *w, struct tare_head_decision *head)
{
    for (size_t i = 0; i < w->n; i++) {
        struct tare_entry *entry = &w->entries[i];
        if (!tare_head_has(head, entry) || !is_weight(entry))
            continue;
        entry->rule = entry->evidence = NULL;
        entry->redundant = false;
        entry->name = tree->head.weight->name;
    }
    tare_head_activate(&tree->head, true);
    head->decision = TARE_DECISION_LOAD;
}

bool tare_head_restore(struct tare_tree *tree, struct tare_weights *w, struct tare_head_decision *head)
{
    if (!tree->head.weight || tree->head.kind == TARE_HEAD_NONE)
        return false;
    tare_head_take(tree, w, head);
    return true;
}

void tare_head_bind_only_copy(struct tare_tree *tree, struct tare_weights *w, struct tare_tie_result *result)
{
    const struct tare_parameter *embedding = tree->head.embedding;
    /* Where no name was understood, the embedding may be there under another one. */
    bool known = false, others = false;
    if (!embedding || !embedding->name[0])
        return;
    for (size_t i = 0; i < w->n; i++) {
        const struct tare_entry *entry = &w->entries[i];
        if (!entry->rule && !entry->absorbed && !strcmp(entry->name, embedding->name))
            return;
        if (entry->rule || entry->absorbed || prefix_of(entry->name))
            continue;
        others = true;
        known = known || tare_tree_find(tree, entry->name);
    }
    if (others && !known)
        return;
    for (size_t k = 0; k < result->n && !result->bound; k++) {
        struct tare_head_decision *head = &result->heads[k];
        for (size_t i = 0; head->decision == TARE_DECISION_DROP && i < w->n; i++) {
            struct tare_entry *entry = &w->entries[i];
            if (!tare_head_has(head, entry) || module_of(entry)->fault || !is_weight(entry))
                continue;
            entry->rule = entry->evidence = NULL;
            entry->redundant = false;
            entry->name = embedding->name;
            head->decision = TARE_DECISION_LOAD;
            result->bound = entry;
            break;
        }
    }
}

enum tare_code tare_tie_bind(struct tare_tree *tree, struct tare_weights *w, struct tare_tie_result *result,
                             struct tare_error *err)
{
    const char *name = tree->head.weight ? tree->head.weight->name : "";
    const struct tare_entry *embedding = NULL;
    for (size_t i = 0; result->bind && i < w->n; i++) {
        const struct tare_entry *entry = &w->entries[i];
        if (entry->rule || entry->absorbed)
            continue;
        if (!strcmp(entry->name, name))
            return TARE_OK;
        if (!strcmp(entry->name, tree->head.embedding->name))
            embedding = entry;
    }
    if (!embedding)
        return TARE_OK;
    const struct tare_entry copy = *embedding;
    struct tare_step *step = tare_arena_alloc(w->arena, sizeof *step);
    if (!step || !tare_grow(&w->entries, &w->room, w->n + 1, sizeof *w->entries))
        return tare_fail_memory(err);
    *step = (struct tare_step){copy.steps, "the embedding again, as the head is tied to it (tree/tie.c)"};
    w->entries[w->n++] = (struct tare_entry){.name = name, .recipe = copy.recipe, .steps = step};
    result->bound = NULL; /* It pointed into the list, which may have moved. */
    return TARE_OK;
}
