/* SPDX-License-Identifier: MIT
 * prefix_tree.c - a node stands for a beginning that texts have in common. It has the ids by which it continues its
 * parent, the texts that end in it, and its children in the order of their first ids. Every node but the root has a text
 * in it or at least two children, so that a text is found below any node by going to first children. */
#include "serve/engine/prefix_tree.h"

#include <stdlib.h>
#include <string.h>

struct prefix_node {
    struct prefix_node *parent;
    struct prefix_node **children;
    size_t n_children;
    size_t room;
    struct prefix_entry *entries;
    size_t n;
    int32_t *ids;
};

static void free_node(struct prefix_node *node)
{
    free(node->children);
    free(node->ids);
    free(node);
}

void prefix_tree_release(struct prefix_tree *tree)
{
    struct prefix_node *node = tree->root;
    while (node) {
        if (node->n_children) {
            node = node->children[--node->n_children];
            continue;
        }
        struct prefix_node *parent = node->parent;
        free_node(node);
        node = parent;
    }
    *tree = (struct prefix_tree){0};
}

static struct prefix_node *new_node(const int32_t *ids, size_t n)
{
    struct prefix_node *node = calloc(1, sizeof *node);
    if (node && n && !(node->ids = malloc(n * sizeof *ids))) {
        free(node);
        return NULL;
    }
    if (node && n)
        memcpy(node->ids, ids, n * sizeof *ids);
    if (node)
        node->n = n;
    return node;
}

/* The place of the child that begins with an id, or where it belongs. */
static size_t place_of(const struct prefix_node *node, int32_t id)
{
    size_t low = 0, high = node->n_children;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (node->children[middle]->ids[0] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct prefix_node *child_of(const struct prefix_node *node, int32_t id)
{
    const size_t at = place_of(node, id);
    return at < node->n_children && node->children[at]->ids[0] == id ? node->children[at] : NULL;
}

/* Room for one more child, so that adding it cannot fail. */
static bool reserve_child(struct prefix_node *node)
{
    if (node->n_children < node->room)
        return true;
    const size_t room = node->room ? 2 * node->room : 2;
    struct prefix_node **grown = realloc(node->children, room * sizeof(struct prefix_node *));
    if (!grown)
        return false;
    node->children = grown;
    node->room = room;
    return true;
}

static void add_child(struct prefix_node *node, struct prefix_node *child)
{
    const size_t at = place_of(node, child->ids[0]);
    memmove(node->children + at + 1, node->children + at, (node->n_children - at) * sizeof(struct prefix_node *));
    node->children[at] = child;
    node->n_children++;
    child->parent = node;
}

static size_t alike(const int32_t *a, size_t n, const int32_t *b, size_t m)
{
    size_t i = 0;
    while (i < n && i < m && a[i] == b[i])
        i++;
    return i;
}

/* Goes down from the root as long as whole nodes agree. *done: how many ids that took; *child: the node that follows,
 * and *part: how many ids of it agree. */
static struct prefix_node *descend(const struct prefix_tree *tree, const int32_t *ids, size_t n, size_t *done,
                                   struct prefix_node **child, size_t *part)
{
    struct prefix_node *node = tree->root;
    *done = *part = 0;
    while ((*child = *done < n ? child_of(node, ids[*done]) : NULL) != NULL) {
        *part = alike((*child)->ids, (*child)->n, ids + *done, n - *done);
        if (*part < (*child)->n)
            break;
        *done += *part;
        *part = 0;
        node = *child;
    }
    return node;
}

/* Cuts a child in two after `part` of its ids. Returns the new node in the middle, or NULL when memory ran out. */
static struct prefix_node *split(struct prefix_node *child, size_t part)
{
    struct prefix_node *parent = child->parent, *middle = new_node(child->ids, part);
    int32_t *rest = malloc((child->n - part) * sizeof *rest);
    if (!middle || !rest || !reserve_child(middle)) {
        if (middle)
            free_node(middle);
        free(rest);
        return NULL;
    }
    memcpy(rest, child->ids + part, (child->n - part) * sizeof *rest);
    parent->children[place_of(parent, child->ids[0])] = middle;
    middle->parent = parent;
    free(child->ids);
    child->ids = rest;
    child->n -= part;
    add_child(middle, child);
    return middle;
}

/* Restores what every node fulfils, from a node on upwards. Where memory runs out a node stays that could be merged. */
static void tidy(struct prefix_node *node)
{
    while (node->parent && !node->entries && node->n_children == 0) {
        struct prefix_node *parent = node->parent;
        const size_t at = place_of(parent, node->ids[0]);
        parent->n_children--;
        memmove(parent->children + at, parent->children + at + 1,
                (parent->n_children - at) * sizeof(struct prefix_node *));
        free_node(node);
        node = parent;
    }
    if (!node->parent || node->entries || node->n_children != 1)
        return;
    struct prefix_node *child = node->children[0], *parent = node->parent;
    int32_t *joined = malloc((node->n + child->n) * sizeof *joined);
    if (!joined)
        return;
    memcpy(joined, node->ids, node->n * sizeof *joined);
    memcpy(joined + node->n, child->ids, child->n * sizeof *joined);
    parent->children[place_of(parent, node->ids[0])] = child;
    child->parent = parent;
    free(child->ids);
    child->ids = joined;
    child->n += node->n;
    free_node(node);
}

bool prefix_tree_add(struct prefix_tree *tree, struct prefix_entry *entry, const int32_t *ids, size_t n)
{
    size_t done, part;
    struct prefix_node *child, *node, *made;
    if (!tree->root && !(tree->root = new_node(NULL, 0)))
        return false;
    node = descend(tree, ids, n, &done, &child, &part);
    if (part && !(node = split(child, part)))
        return false;
    if (done + part < n) {
        made = new_node(ids + done + part, n - done - part);
        if (!made || !reserve_child(node)) {
            if (made)
                free_node(made);
            tidy(node);
            return false;
        }
        add_child(node, made);
        node = made;
    }
    entry->node = node;
    entry->length = n;
    entry->next = node->entries;
    node->entries = entry;
    tree->n_entries++;
    return true;
}

void prefix_tree_remove(struct prefix_tree *tree, struct prefix_entry *entry)
{
    if (!entry->node)
        return;
    struct prefix_entry **at = &entry->node->entries;
    while (*at != entry)
        at = &(*at)->next;
    *at = entry->next;
    tree->n_entries--;
    tidy(entry->node);
    entry->node = NULL;
    entry->next = NULL;
}

struct prefix_found prefix_tree_find(const struct prefix_tree *tree, const int32_t *ids, size_t n)
{
    struct prefix_found found = {0};
    struct prefix_node *child, *node;
    size_t part;
    if (!tree->root)
        return found;
    node = descend(tree, ids, n, &found.length, &child, &part);
    for (const struct prefix_node *at = node; at && !found.whole; at = at->parent)
        found.whole = at->entries;
    if (part) {
        found.length += part;
        node = child;
    }
    while (found.length && !node->entries && node->n_children)
        node = node->children[0];
    found.entry = found.length ? node->entries : NULL;
    return found;
}

bool prefix_tree_parts(const struct prefix_entry *entry)
{
    return entry->node && entry->node->n_children > 1;
}

size_t prefix_tree_branch(const struct prefix_entry *entry)
{
    const struct prefix_node *parent = entry->node ? entry->node->parent : NULL;
    return parent && parent->parent && !parent->entries && parent->n_children > 1 ? entry->length - entry->node->n : 0;
}

struct prefix_entry *prefix_tree_before(const struct prefix_entry *entry)
{
    const struct prefix_node *node = entry->node ? entry->node->parent : NULL;
    while (node && !node->entries)
        node = node->parent;
    return node ? node->entries : NULL;
}
