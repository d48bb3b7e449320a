/* SPDX-License-Identifier: MIT
 * sound.c - what a grammar must not do: begin with itself, or have a rule that no text can end.
 *
 * A rule that stands first in an alternative (after what can be empty) is on the left edge. A cycle of left edges
 * makes stacks that grow for ever, unless each of its edges is also the last item: then nothing is pushed. So a cycle
 * with an edge that is not last is refused.
 */
#include <stdlib.h>

#include "grammar/grammar.h"

struct look {
    const struct tare_rules *rules;
    /* Rules that the empty text satisfies. */
    bool *nullable;
    /* Rules that some text can end. */
    bool *ends;
    /* Tarjan's algorithm for strongly connected components, without recursion. `path` is the path of the search,
     * `open` holds the nodes that have no component yet. */
    uint32_t *index, *low, *component, *path, *open; /* path: of the search; open: nodes without a component yet */
    uint32_t *alternative, *item;                    /* where the search stands in each rule */
    size_t n_path, n_open;
    uint32_t next, n_components;
};

static const struct tare_item *items_of(const struct look *l, uint32_t rule, size_t alternative)
{
    return l->rules->items + l->rules->rules[rule].starts[alternative];
}

/* Does some alternative consist only of rules for which `of` holds, and of bytes if `bytes` allows them? */
static bool holds(const struct look *l, uint32_t rule, const bool *of, bool bytes)
{
    for (size_t k = 0; k < l->rules->rules[rule].n; k++) {
        const struct tare_item *i = items_of(l, rule, k);
        while (i->kind == TARE_ITEM_BYTES ? bytes : i->kind == TARE_ITEM_RULE && of[i->low])
            i++;
        if (i->kind == TARE_ITEM_END)
            return true;
    }
    return false;
}

/* Computes the least set of rules for which holds() is true, by repeating until nothing changes. */
static void find(const struct look *l, bool *of, bool bytes)
{
    const uint32_t n = (uint32_t)l->rules->n_rules;
    /* The rules are taken forwards and backwards, so that chains in either order take few rounds. */
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t turn = 0; turn < 2 * n; turn++) {
            const uint32_t rule = turn < n ? turn : 2 * n - 1 - turn;
            if (!of[rule] && holds(l, rule, of, bytes))
                changed = of[rule] = true;
        }
    }
}

/* Finds the next left edge of a rule, from where the search stands. Returns false when there is none. An edge goes to
 * a rule that is first or that follows only rules that can be empty. */
static bool next_edge(struct look *l, uint32_t rule, uint32_t *to, bool *last)
{
    for (; l->alternative[rule] < l->rules->rules[rule].n; l->alternative[rule]++, l->item[rule] = 0) {
        const struct tare_item *i = items_of(l, rule, l->alternative[rule]) + l->item[rule];
        const bool passed = l->item[rule] == 0 || l->nullable[i[-1].low];
        if (i->kind != TARE_ITEM_RULE || !passed)
            continue;
        l->item[rule]++;
        *to = i->low;
        *last = i[1].kind == TARE_ITEM_END;
        return true;
    }
    return false;
}

/* A rule whose low number is its own index closes a component: all open nodes above it belong to it. */
static void leave(struct look *l, uint32_t rule)
{
    if (l->low[rule] == l->index[rule]) {
        uint32_t one;
        do {
            one = l->open[--l->n_open];
            l->component[one] = l->n_components;
        } while (one != rule);
        l->n_components++;
    }
    l->n_path--;
    if (l->n_path && l->low[rule] < l->low[l->path[l->n_path - 1]])
        l->low[l->path[l->n_path - 1]] = l->low[rule];
}

static void enter(struct look *l, uint32_t rule)
{
    l->index[rule] = l->low[rule] = ++l->next;
    l->path[l->n_path++] = rule;
    l->open[l->n_open++] = rule;
}

static void search(struct look *l, uint32_t from)
{
    uint32_t to;
    bool last;
    enter(l, from);
    while (l->n_path) {
        const uint32_t rule = l->path[l->n_path - 1];
        if (!next_edge(l, rule, &to, &last))
            leave(l, rule);
        else if (!l->index[to])
            enter(l, to);
        else if (l->component[to] == UINT32_MAX && l->index[to] < l->low[rule])
            l->low[rule] = l->index[to];
    }
}

static const char *name_of(const struct tare_rules *rules, uint32_t rule)
{
    return rules->rules[rule].name ? rules->rules[rule].name : "a group";
}

static enum tare_code judge(struct look *l, struct tare_error *err)
{
    const uint32_t n = (uint32_t)l->rules->n_rules;
    find(l, l->nullable, false);
    find(l, l->ends, true);
    for (uint32_t i = 0; i < n; i++)
        l->component[i] = UINT32_MAX;
    for (uint32_t i = 0; i < n; i++)
        if (!l->index[i])
            search(l, i);
    for (uint32_t rule = 0; rule < n; rule++) {
        uint32_t to;
        bool last;
        if (!l->ends[rule])
            return tare_fail(err, TARE_E_FORMAT, "grammar", "no text is whole by the rule \"%.100s\": it needs itself",
                             name_of(l->rules, rule));
        l->alternative[rule] = l->item[rule] = 0;
        while (next_edge(l, rule, &to, &last))
            if (!last && l->component[to] == l->component[rule])
                return tare_fail(err, TARE_E_FORMAT, "grammar",
                                 "left recursion: the rule \"%.100s\" can begin with itself", name_of(l->rules, rule));
    }
    return TARE_OK;
}

enum tare_code tare_rules_check(const struct tare_rules *rules, struct tare_error *err)
{
    const size_t n = rules->n_rules;
    struct look l = {.rules = rules};
    bool *flags = calloc(2 * n, sizeof *flags);
    uint32_t *numbers = calloc(7 * n, sizeof *numbers);
    enum tare_code code = TARE_E_MEMORY;
    if (flags && numbers) {
        l.nullable = flags;
        l.ends = flags + n;
        l.index = numbers;
        l.low = numbers + n;
        l.component = numbers + 2 * n;
        l.path = numbers + 3 * n;
        l.open = numbers + 4 * n;
        l.alternative = numbers + 5 * n;
        l.item = numbers + 6 * n;
        code = judge(&l, err);
    } else {
        tare_fail_memory(err);
    }
    free(flags);
    free(numbers);
    return code;
}
