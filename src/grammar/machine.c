/* SPDX-License-Identifier: MIT
 * machine.c - what a grammar allows after some text is a set of stacks, which is a state of an automaton over bytes.
 * States and the steps between them are made when they are first met, and kept, so that a text whose states are known
 * costs one look-up for each byte.
 *
 * A stack is a node: an item that waits for a byte, and the stack below it, whose item continues when the alternative
 * ends. There is one node for each pair (item, below), so stacks share their common part and are compared by number.
 * A call that stands last in its alternative pushes nothing, so lists of any length need no depth.
 */
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "grammar/grammar.h"

#define NODES_MOST ((size_t)1 << 21)
#define STATES_MOST ((size_t)1 << 14)
/* The most stacks of one state. */
#define STACKS_MOST 65536
/* Deeper stacks are dropped, so a deeper text cannot continue. */
#define DEPTH_MOST 1000
/* The node below all others; where it is reached, the text is complete. */
#define BOTTOM 0u
#define UNKNOWN UINT32_MAX

struct node {
    uint32_t item;
    uint32_t below;
    uint32_t depth;
    /* The number of the last closure that visited the node. */
    uint32_t seen;
};
struct state {
    /* The tops of the stacks, sorted; owned. */
    uint32_t *nodes;
    uint32_t n;
    /* The next state for each byte; UNKNOWN until it is asked for. */
    uint32_t next[256];
};
/* A hash table of numbers. They are kept plus 1, because 0 marks a free slot. */
struct slots {
    uint32_t *at;
    size_t room, n;
};
struct tare_machine {
    const struct tare_rules *rules;
    struct node *nodes;
    struct state *states;
    size_t n_nodes, nodes_room, n_states, states_room;
    struct slots node_slots, state_slots;
    /* Nodes of the closure that must still be expanded. */
    uint32_t *work;
    /* Nodes of the closure that wait for a byte. */
    uint32_t *tops;
    size_t n_work, work_room, n_tops, tops_room;
    uint32_t closure;
    uint32_t start;
};

/* ---- nodes ------------------------------------------------------------------------------------------------------- */

/* Is more than half of the table free? */
static bool grow_slots(struct slots *slots)
{
    return slots->room > 2 * slots->n;
}

static uint64_t hash_node(uint32_t item, uint32_t below)
{
    const uint64_t key = (uint64_t)item << 32 | below;
    return XXH3_64bits(&key, sizeof key);
}

static bool rehash_nodes(struct tare_machine *m)
{
    const size_t room = m->node_slots.room ? 2 * m->node_slots.room : 1024;
    uint32_t *at = calloc(room, sizeof *at);
    if (!at)
        return false;
    for (size_t i = 1; i < m->n_nodes; i++) {
        size_t k = (size_t)hash_node(m->nodes[i].item, m->nodes[i].below) & (room - 1);
        while (at[k])
            k = (k + 1) & (room - 1);
        at[k] = (uint32_t)i + 1;
    }
    free(m->node_slots.at);
    m->node_slots.at = at;
    m->node_slots.room = room;
    return true;
}

/* Returns the node of a pair and makes it if it is new; UNKNOWN when memory or the limit ran out. */
static uint32_t node_of(struct tare_machine *m, uint32_t item, uint32_t below)
{
    if (!grow_slots(&m->node_slots) && !rehash_nodes(m))
        return UNKNOWN;
    size_t k = (size_t)hash_node(item, below) & (m->node_slots.room - 1);
    for (; m->node_slots.at[k]; k = (k + 1) & (m->node_slots.room - 1)) {
        const struct node *node = &m->nodes[m->node_slots.at[k] - 1];
        if (node->item == item && node->below == below)
            return m->node_slots.at[k] - 1;
    }
    if (m->n_nodes == NODES_MOST || !tare_grow(&m->nodes, &m->nodes_room, m->n_nodes + 1, sizeof *m->nodes))
        return UNKNOWN;
    m->nodes[m->n_nodes] = (struct node){item, below, m->nodes[below].depth + 1, 0};
    m->node_slots.at[k] = (uint32_t)m->n_nodes + 1;
    m->node_slots.n++;
    return (uint32_t)m->n_nodes++;
}

/* ---- closures ---------------------------------------------------------------------------------------------------- */

static bool push(uint32_t **list, size_t *n, size_t *room, uint32_t one)
{
    if (!tare_grow(list, room, *n + 1, sizeof **list))
        return false;
    (*list)[(*n)++] = one;
    return true;
}

/* Adds a node to the closure, once. A node that is too deep is left out. */
static bool visit(struct tare_machine *m, uint32_t node)
{
    if (node == UNKNOWN)
        return false;
    if (m->nodes[node].seen == m->closure || m->nodes[node].depth > DEPTH_MOST)
        return true;
    m->nodes[node].seen = m->closure;
    return push(&m->work, &m->n_work, &m->work_room, node);
}

/* Adds the stack that continues at `item` above `below`. At the end of an alternative that is the item below. */
static bool go_on(struct tare_machine *m, uint32_t item, uint32_t below)
{
    while (m->rules->items[item].kind == TARE_ITEM_END && below != BOTTOM) {
        item = m->nodes[below].item;
        below = m->nodes[below].below;
    }
    if (m->rules->items[item].kind == TARE_ITEM_END)
        return visit(m, BOTTOM);
    return visit(m, node_of(m, item, below));
}

/* Replaces a stack whose item is a rule by the stacks that begin each alternative of that rule. */
static bool call(struct tare_machine *m, uint32_t item, uint32_t below)
{
    const struct tare_rule *rule = &m->rules->rules[m->rules->items[item].low];
    /* What follows the rule waits below. */
    if (m->rules->items[item + 1].kind != TARE_ITEM_END) {
        below = node_of(m, item + 1, below);
        if (below == UNKNOWN)
            return false;
    }
    for (size_t i = 0; i < rule->n; i++)
        if (!go_on(m, rule->starts[i], below))
            return false;
    return true;
}

/* Expands nodes until only those are left that wait for a byte. */
static bool close_over(struct tare_machine *m)
{
    while (m->n_work) {
        const uint32_t node = m->work[--m->n_work];
        const struct node one = m->nodes[node];
        bool ok;
        if (node != BOTTOM && m->rules->items[one.item].kind == TARE_ITEM_RULE)
            ok = call(m, one.item, one.below);
        else
            ok = m->n_tops < STACKS_MOST && push(&m->tops, &m->n_tops, &m->tops_room, node);
        if (!ok)
            return false;
    }
    return true;
}

static void begin(struct tare_machine *m)
{
    m->n_work = m->n_tops = 0;
    /* The counter has wrapped to 0, which marks nodes that were never seen. */
    if (++m->closure == 0) {
        for (size_t i = 0; i < m->n_nodes; i++)
            m->nodes[i].seen = 0;
        m->closure = 1;
    }
}

/* ---- states ------------------------------------------------------------------------------------------------------ */

static uint64_t hash_tops(const uint32_t *nodes, size_t n)
{
    return XXH3_64bits(nodes, n * sizeof *nodes);
}

static bool rehash_states(struct tare_machine *m)
{
    const size_t room = m->state_slots.room ? 2 * m->state_slots.room : 256;
    uint32_t *at = calloc(room, sizeof *at);
    if (!at)
        return false;
    for (size_t i = 1; i < m->n_states; i++) {
        size_t k = (size_t)hash_tops(m->states[i].nodes, m->states[i].n) & (room - 1);
        while (at[k])
            k = (k + 1) & (room - 1);
        at[k] = (uint32_t)i + 1;
    }
    free(m->state_slots.at);
    m->state_slots.at = at;
    m->state_slots.room = room;
    return true;
}

static int by_number(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static uint32_t new_state(struct tare_machine *m, size_t slot)
{
    if (m->n_states == STATES_MOST || !tare_grow(&m->states, &m->states_room, m->n_states + 1, sizeof *m->states))
        return TARE_STATE_FAILED;
    struct state *s = &m->states[m->n_states];
    s->nodes = malloc(m->n_tops * sizeof *s->nodes);
    if (!s->nodes)
        return TARE_STATE_FAILED;
    memcpy(s->nodes, m->tops, m->n_tops * sizeof *s->nodes);
    memset(s->next, 0xff, sizeof s->next);
    s->n = (uint32_t)m->n_tops;
    m->state_slots.at[slot] = (uint32_t)m->n_states + 1;
    m->state_slots.n++;
    return (uint32_t)m->n_states++;
}

/* Completes the closure that was begun and returns its state, a known or a new one. */
static uint32_t settle(struct tare_machine *m)
{
    if (!close_over(m) || (!grow_slots(&m->state_slots) && !rehash_states(m)))
        return TARE_STATE_FAILED;
    if (m->n_tops == 0)
        return TARE_STATE_DEAD;
    qsort(m->tops, m->n_tops, sizeof *m->tops, by_number);
    size_t k = (size_t)hash_tops(m->tops, m->n_tops) & (m->state_slots.room - 1);
    for (; m->state_slots.at[k]; k = (k + 1) & (m->state_slots.room - 1)) {
        const struct state *s = &m->states[m->state_slots.at[k] - 1];
        if (s->n == m->n_tops && !memcmp(s->nodes, m->tops, m->n_tops * sizeof *m->tops))
            return m->state_slots.at[k] - 1;
    }
    return new_state(m, k);
}

/* The next state: each stack whose item accepts the byte continues after that item. */
static uint32_t step(struct tare_machine *m, uint32_t state, unsigned char byte)
{
    begin(m);
    for (uint32_t i = 0; i < m->states[state].n; i++) {
        const uint32_t node = m->states[state].nodes[i];
        const struct tare_item *item = &m->rules->items[m->nodes[node].item];
        if (node != BOTTOM && byte >= item->low && byte <= item->high &&
            !go_on(m, m->nodes[node].item + 1, m->nodes[node].below))
            return TARE_STATE_FAILED;
    }
    const uint32_t next = settle(m);
    if (next != TARE_STATE_FAILED)
        m->states[state].next[byte] = next;
    return next;
}

uint32_t tare_machine_next(struct tare_machine *m, uint32_t state, unsigned char byte)
{
    const uint32_t next = m->states[state].next[byte];
    return next != UNKNOWN ? next : step(m, state, byte);
}

uint32_t tare_machine_start(struct tare_machine *m)
{
    const struct tare_rule *root = &m->rules->rules[m->rules->root];
    begin(m);
    for (size_t i = 0; i < root->n; i++)
        if (!go_on(m, root->starts[i], BOTTOM))
            return TARE_STATE_FAILED;
    return settle(m);
}

/* BOTTOM is node 0, and nodes are sorted, so it can only come first. */
bool tare_machine_complete(const struct tare_machine *m, uint32_t state)
{
    return m->states[state].n && m->states[state].nodes[0] == BOTTOM;
}

bool tare_machine_closed(const struct tare_machine *m, uint32_t state)
{
    return m->states[state].n == 1 && m->states[state].nodes[0] == BOTTOM;
}

size_t tare_machine_load(const struct tare_machine *m)
{
    const size_t by_nodes = m->n_nodes / (NODES_MOST / 2 / TARE_MACHINE_FULL);
    return m->n_states > by_nodes ? m->n_states : by_nodes;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

/* Makes the bottom node and the dead state, from which no byte leads on; both have the number 0. */
static bool prepare(struct tare_machine *m)
{
    if (!tare_grow(&m->nodes, &m->nodes_room, 1, sizeof *m->nodes) ||
        !tare_grow(&m->states, &m->states_room, 1, sizeof *m->states))
        return false;
    m->nodes[0] = (struct node){0};
    m->states[0] = (struct state){0};
    m->n_nodes = m->n_states = 1;
    return true;
}

static void clear(struct tare_machine *m)
{
    for (size_t i = 0; i < m->n_states; i++)
        free(m->states[i].nodes);
    free(m->states);
    free(m->nodes);
    free(m->node_slots.at);
    free(m->state_slots.at);
    free(m->work);
    free(m->tops);
}

enum tare_code tare_machine_open(struct tare_machine **machine, const struct tare_rules *rules, struct tare_error *err)
{
    struct tare_machine *m = *machine = calloc(1, sizeof *m);
    if (!m)
        return tare_fail_memory(err);
    m->rules = rules;
    if (prepare(m))
        return TARE_OK;
    tare_machine_free(m);
    *machine = NULL;
    return tare_fail_memory(err);
}

void tare_machine_free(struct tare_machine *m)
{
    if (!m)
        return;
    clear(m);
    free(m);
}

/* Makes a node of the old machine, and all nodes below it, in the new one. */
static uint32_t carry(struct tare_machine *to, const struct tare_machine *from, uint32_t node)
{
    uint32_t path[DEPTH_MOST + 2], below = BOTTOM;
    size_t n = 0;
    for (; node != BOTTOM; node = from->nodes[node].below)
        path[n++] = from->nodes[node].item;
    while (n && below != UNKNOWN)
        below = node_of(to, path[--n], below);
    return below;
}

/* Makes a new machine that holds only the states in use, and frees the old one. */
bool tare_machine_flush(struct tare_machine *m, uint32_t *const *kept, size_t n)
{
    struct tare_machine fresh = {.rules = m->rules};
    bool ok = prepare(&fresh);
    for (size_t i = 0; i < n; i++) {
        const uint32_t old = *kept[i];
        if (ok)
            begin(&fresh);
        for (uint32_t k = 0; k < m->states[old].n && ok; k++)
            ok = visit(&fresh, carry(&fresh, m, m->states[old].nodes[k]));
        *kept[i] = ok ? settle(&fresh) : TARE_STATE_DEAD;
        if (*kept[i] == TARE_STATE_FAILED) {
            ok = false;
            *kept[i] = TARE_STATE_DEAD;
        }
    }
    clear(m);
    *m = fresh;
    return ok;
}
