/* SPDX-License-Identifier: MIT
 * prefix_tree.h - which of many texts begins as a given one does, and for how long. A radix tree over ids: texts that
 * begin alike share a path. To look a text up takes time for what it has in common with the others, not for their
 * number. */
#ifndef TARE_SERVE_PREFIX_TREE_H
#define TARE_SERVE_PREFIX_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct prefix_node;

/* A text in a tree. It is a part of something of the caller's. */
struct prefix_entry {
    /* NULL: it is in no tree. */
    struct prefix_node *node;
    struct prefix_entry *next;
    /* Ids of the text. */
    size_t length;
};

struct prefix_tree {
    struct prefix_node *root;
    size_t n_entries;
};

/* All zero is an empty tree. The entries are left alone. */
void prefix_tree_release(struct prefix_tree *tree);

/* Adds a text of n ids, at least one; they are copied. Equal texts may be added more than once. Returns false when memory
 * ran out; the tree is then as it was. */
bool prefix_tree_add(struct prefix_tree *tree, struct prefix_entry *entry, const int32_t *ids, size_t n);

/* Takes a text out, if it is in the tree. */
void prefix_tree_remove(struct prefix_tree *tree, struct prefix_entry *entry);

struct prefix_found {
    /* The longest beginning that a text of the tree shares. */
    size_t length;
    /* A text with that beginning, one that ends there where there is one; NULL: nothing is shared. */
    struct prefix_entry *entry;
    /* The longest text that the given one begins with as a whole; NULL: there is none. */
    struct prefix_entry *whole;
};
struct prefix_found prefix_tree_find(const struct prefix_tree *tree, const int32_t *ids, size_t n);

/* Do texts part where this one ends: do others go on from there in more than one way? */
bool prefix_tree_parts(const struct prefix_entry *entry);

/* How many ids of this text others share up to the place where they part from it, if no text ends there; else 0. */
size_t prefix_tree_branch(const struct prefix_entry *entry);

/* The longest text of the tree that is a true beginning of this one; NULL: there is none. */
struct prefix_entry *prefix_tree_before(const struct prefix_entry *entry);

#endif
