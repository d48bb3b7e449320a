/* SPDX-License-Identifier: MIT
 * trie.h - which tokens does a text begin with? A tree of bytes, its edges in one hash table. */
#ifndef TARE_TEXT_TRIE_H
#define TARE_TEXT_TRIE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define TARE_TRIE_NONE UINT32_MAX /* no node, no value */
#define TARE_TRIE_ROOT 0u

/* Zero-initialise; release. */
struct tare_trie {
    struct tare_trie_edge *edges;
    size_t room;         /* a power of two */
    uint32_t first[256]; /* edges of the root */
    uint32_t *values;    /* by node */
    size_t n, n_edges, values_room;
};

/* Add a key; one that is there gets the new value. The empty key is refused silently: no text begins with it. */
enum tare_code tare_trie_add(struct tare_trie *trie, const char *key, size_t size, uint32_t value,
                             struct tare_error *err);
/* The node one byte on, or TARE_TRIE_NONE. */
uint32_t tare_trie_step(const struct tare_trie *trie, uint32_t node, unsigned char byte);
void tare_trie_release(struct tare_trie *trie);

#endif
