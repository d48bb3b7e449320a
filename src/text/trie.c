/* SPDX-License-Identifier: MIT
 * trie.c - a tree of bytes that answers which tokens a text begins with. */
#include "text/trie.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

/* A node's number and a byte must fit in 32 bits together. */
#define NODES_MOST ((size_t)1 << 24)

struct tare_trie_edge {
    uint32_t from; /* node << 8 | byte */
    /* TARE_TRIE_NONE in a free slot. */
    uint32_t to;
};

static size_t start_of(uint32_t from, size_t room)
{
    const uint32_t x = (from ^ from >> 15) * 0x9e3779b1u;
    return (size_t)(x ^ x >> 13) & (room - 1);
}

/* Returns the slot of an edge, or the free slot where it belongs (open addressing with linear probing). */
static struct tare_trie_edge *edge_of(const struct tare_trie *trie, uint32_t from)
{
    size_t at = start_of(from, trie->room);
    while (trie->edges[at].to != TARE_TRIE_NONE && trie->edges[at].from != from)
        at = (at + 1) & (trie->room - 1);
    return &trie->edges[at];
}

uint32_t tare_trie_step(const struct tare_trie *trie, uint32_t node, unsigned char byte)
{
    if (node == TARE_TRIE_ROOT)
        return trie->n ? trie->first[byte] : TARE_TRIE_NONE;
    return edge_of(trie, node << 8 | byte)->to;
}

/* Keeps half of the table free, so that a search ends soon. */
static bool reserve(struct tare_trie *trie)
{
    if (trie->room && trie->n_edges < trie->room / 2)
        return true;
    struct tare_trie old = *trie;
    const size_t room = old.room ? 2 * old.room : 1024;
    struct tare_trie_edge *edges = malloc(room * sizeof *edges);
    if (!edges)
        return false;
    memset(edges, 0xff, room * sizeof *edges);
    trie->edges = edges;
    trie->room = room;
    for (size_t i = 0; i < old.room; i++)
        if (old.edges[i].to != TARE_TRIE_NONE)
            *edge_of(trie, old.edges[i].from) = old.edges[i];
    free(old.edges);
    return true;
}

static bool new_node(struct tare_trie *trie, uint32_t *node)
{
    if (!tare_grow(&trie->values, &trie->values_room, trie->n + 1, sizeof *trie->values))
        return false;
    *node = (uint32_t)trie->n;
    trie->values[trie->n++] = TARE_TRIE_NONE;
    return true;
}

/* Edges of the root, which every search takes first, are in the array `first`; all others are in the hash table. */
enum tare_code tare_trie_add(struct tare_trie *trie, const char *key, size_t size, uint32_t value,
                             struct tare_error *err)
{
    uint32_t node = TARE_TRIE_ROOT;
    if (!trie->n) {
        memset(trie->first, 0xff, sizeof trie->first);
        if (!new_node(trie, &node))
            return tare_fail_memory(err);
    }
    for (size_t i = 0; i < size; i++) {
        const unsigned char byte = (unsigned char)key[i];
        uint32_t next;
        if (!reserve(trie))
            return tare_fail_memory(err);
        next = tare_trie_step(trie, node, byte);
        if (next == TARE_TRIE_NONE) {
            if (trie->n >= NODES_MOST)
                return tare_fail(err, TARE_E_FORMAT, "tokenizer.json",
                                 "the vocabulary is too large: its tokens have more than %zu different beginnings",
                                 NODES_MOST);
            if (!new_node(trie, &next))
                return tare_fail_memory(err);
            if (node == TARE_TRIE_ROOT) {
                trie->first[byte] = next;
            } else {
                *edge_of(trie, node << 8 | byte) = (struct tare_trie_edge){node << 8 | byte, next};
                trie->n_edges++;
            }
        }
        node = next;
    }
    if (size)
        trie->values[node] = value;
    return TARE_OK;
}

void tare_trie_release(struct tare_trie *trie)
{
    free(trie->edges);
    free(trie->values);
    *trie = (struct tare_trie){0};
}
