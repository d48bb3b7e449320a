/* SPDX-License-Identifier: MIT
 * state_cache.h - the states of a model's texts: those that are being made, and those that are kept for prompts that begin
 * alike. It knows which state a prompt can continue, what all of them take of memory, and which one goes first. Of the
 * engine's thread. */
#ifndef TARE_SERVE_STATE_CACHE_H
#define TARE_SERVE_STATE_CACHE_H

#include "serve/engine/ledger.h"
#include "serve/engine/prefix_tree.h"
#include "tare.h"

struct serve_rows;

/* What a model remembers of a text. */
struct serve_state {
    /* The first member: the trees give it back. */
    struct prefix_entry entry;
    tare_session *session;
    struct serve_rows *rows;
    /* Among those that are kept, by their last use. */
    struct serve_state *newer;
    struct serve_state *older;
    bool kept;
    /* Of a text whose prompt is being read: how many ids are; else NULL. */
    const size_t *fed;
};

struct serve_cache {
    /* An empty session, which tells what states take. */
    const tare_session *root;
    /* The model has sums, which cannot be rewound: a state is of use to texts that begin with the whole of it. */
    bool sums;
    /* Bytes that a state takes before it holds an id. */
    uint64_t fixed;
    uint64_t limit;
    /* Bytes of the ledger that are this cache's in any case, so that it can always make one text. */
    uint64_t base;
    uint64_t used;
    /* Of `used`, what serve_cache_room() took and no state has yet. */
    uint64_t promised;
    struct serve_ledger *ledger;
    /* States that hold what their path says, and prompts that are being read. */
    struct prefix_tree held;
    struct prefix_tree reading;
    struct serve_state *newest;
    struct serve_state *oldest;
    size_t n_kept;
    /* So far: prompts that were looked up, that continued a state, and states that had to go. */
    uint64_t lookups;
    uint64_t hits;
    uint64_t evicted;
};

/* root and ledger are borrowed. */
void serve_cache_init(struct serve_cache *cache, const tare_session *root, uint64_t limit, struct serve_ledger *ledger);
void serve_cache_release(struct serve_cache *cache);
/* What a text of that many ids takes. */
uint64_t serve_cache_bytes(const tare_session *root, int64_t ids);

/* How a prompt can begin. */
struct serve_beginning {
    /* NULL: from nothing. */
    struct serve_state *state;
    size_t length;
    /* Where a state should be kept on the way, since texts part there; 0: nowhere. */
    size_t branch;
};
struct serve_beginning serve_cache_find(struct serve_cache *cache, const int32_t *ids, size_t n);
/* Is most of the prompt being read by another text? Then it is better to wait until that is done, and to go on from there,
 * than to read it at the same time. */
bool serve_cache_being_read(const struct serve_cache *cache, const int32_t *ids, size_t n);

/* Takes the memory for a text of up to `most` ids, for which kept states may go, but not the one that it begins with. */
bool serve_cache_room(struct serve_cache *cache, const struct serve_beginning *from, int64_t most);
/* Lets the kept state go that a text would begin with. */
void serve_cache_forget(struct serve_cache *cache, struct serve_beginning *from);
/* Opens a state; its session holds from->length ids and has room for `most`. */
enum tare_code serve_cache_open(struct serve_cache *cache, struct serve_state **state,
                                const struct serve_beginning *from, int64_t most, struct tare_error *err);
/* `fed` counts the ids of the prompt that are read. */
void serve_cache_reads(struct serve_cache *cache, struct serve_state *state, const int32_t *ids, size_t n,
                       const size_t *fed);
/* The prompt was read. */
void serve_cache_has_read(struct serve_cache *cache, struct serve_state *state, const int32_t *ids, size_t n);
/* Keeps a copy of a state as it is now, if there is memory for it. */
void serve_cache_branch(struct serve_cache *cache, struct serve_state *state);
/* Takes over the state of a text that ended: keeps it, or frees it. */
void serve_cache_keep(struct serve_cache *cache, struct serve_state *state);
/* NULL is fine. */
void serve_cache_drop(struct serve_cache *cache, struct serve_state *state);
/* Lets all kept states go. */
void serve_cache_trim(struct serve_cache *cache);

#endif
