/* SPDX-License-Identifier: MIT
 * state_cache.c - states that are found by how their texts begin, counted by what they share, and let go by their last use. */
#include "serve/engine/state_cache.h"

#include <stdlib.h>

#include "serve/engine/rows.h"

/* Ids that two prompts have in common, for which one waits until the other has read them. */
#define WORTH_WAITING 192
/* Ids before a place where texts part, for which a state of their own is kept. */
#define WORTH_KEEPING 32
/* A fork shares rows by chunks of as many positions, and memory is had by chunks. */
#define CHUNK 128

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static int64_t chunks_up(int64_t positions)
{
    return (positions + CHUNK - 1) / CHUNK * CHUNK;
}

/* Sums, of which there are two turns, the ids, and about as much again for what leads to the rows. */
static uint64_t fixed_bytes(const tare_session *root)
{
    return 2 * tare_session_bytes(root, 0) + 2 * (uint64_t)tare_session_context(root) * sizeof(int32_t);
}

uint64_t serve_cache_bytes(const tare_session *root, int64_t ids)
{
    const uint64_t rows = tare_session_bytes(root, chunks_up(ids)), fixed = fixed_bytes(root);
    return rows > UINT64_MAX / 2 || fixed > UINT64_MAX / 2 ? UINT64_MAX : rows + fixed;
}

void serve_cache_init(struct serve_cache *c, const tare_session *root, uint64_t limit, struct serve_ledger *ledger)
{
    const uint64_t one = serve_cache_bytes(root, tare_session_context(root));
    *c = (struct serve_cache){.root = root,
                              .sums = tare_session_bytes(root, 0) > 0,
                              .fixed = fixed_bytes(root),
                              .limit = limit,
                              .base = one < limit ? one : limit,
                              .ledger = ledger};
}

/* What the ledger counts of `used`. */
static uint64_t counted(const struct serve_cache *c, uint64_t used)
{
    return used > c->base ? used : c->base;
}

static void charge(struct serve_cache *c, uint64_t bytes)
{
    const uint64_t now = bytes < c->promised ? bytes : c->promised, before = counted(c, c->used);
    c->promised -= now;
    c->used += bytes - now;
    serve_ledger_add(c->ledger, counted(c, c->used) - before);
}

static void give(struct serve_cache *c, uint64_t bytes)
{
    const uint64_t before = counted(c, c->used);
    c->used -= bytes;
    serve_ledger_give(c->ledger, before - counted(c, c->used));
}

static uint64_t row_bytes(const struct serve_cache *c, int64_t from, int64_t to)
{
    return tare_session_bytes(c->root, to) - tare_session_bytes(c->root, from);
}

static void let_rows_go(struct serve_cache *c, struct serve_rows *rows)
{
    int64_t from, to;
    while (rows) { /* one that others hold ends it */
        struct serve_rows *above = serve_rows_release(rows, &from, &to);
        give(c, row_bytes(c, from, to));
        rows = above;
    }
}

/* ---- the kept ones ----------------------------------------------------------------------------------------------- */

static void unlink_state(struct serve_cache *c, struct serve_state *s)
{
    if (!s->kept)
        return;
    *(s->newer ? &s->newer->older : &c->newest) = s->older;
    *(s->older ? &s->older->newer : &c->oldest) = s->newer;
    s->kept = false;
    c->n_kept--;
}

static void link_newest(struct serve_cache *c, struct serve_state *s)
{
    s->newer = NULL;
    s->older = c->newest;
    *(c->newest ? &c->newest->newer : &c->oldest) = s;
    c->newest = s;
    s->kept = true;
    c->n_kept++;
}

void serve_cache_drop(struct serve_cache *c, struct serve_state *s)
{
    if (!s)
        return;
    unlink_state(c, s);
    prefix_tree_remove(s->fed ? &c->reading : &c->held, &s->entry);
    tare_session_free(s->session);
    let_rows_go(c, s->rows);
    give(c, c->fixed);
    free(s);
}

void serve_cache_trim(struct serve_cache *c)
{
    while (c->oldest)
        serve_cache_drop(c, c->oldest);
}

void serve_cache_release(struct serve_cache *c)
{
    serve_cache_trim(c);
    prefix_tree_release(&c->held);
    prefix_tree_release(&c->reading);
}

/* Lets the oldest kept state go, but for `spare`. */
static bool evict(struct serve_cache *c, const struct serve_state *spare)
{
    struct serve_state *s = c->oldest && c->oldest == spare ? c->oldest->newer : c->oldest;
    if (!s)
        return false;
    serve_cache_drop(c, s);
    c->evicted++;
    return true;
}

/* Takes bytes, for which kept states go. */
static bool room(struct serve_cache *c, uint64_t bytes, const struct serve_state *spare)
{
    for (;;) {
        if (bytes <= c->limit && c->used <= c->limit - bytes &&
            serve_ledger_take(c->ledger, counted(c, c->used + bytes) - counted(c, c->used))) {
            c->used += bytes;
            c->promised += bytes;
            return true;
        }
        if (!evict(c, spare))
            return false;
    }
}

/* Gives back what was promised and not needed. */
static void settle(struct serve_cache *c)
{
    const uint64_t rest = c->promised;
    c->promised = 0;
    give(c, rest);
}

/* ---- finding ----------------------------------------------------------------------------------------------------- */

static struct serve_state *state_of(struct prefix_entry *entry)
{
    return (struct serve_state *)entry;
}

struct serve_beginning serve_cache_find(struct serve_cache *c, const int32_t *ids, size_t n)
{
    struct serve_beginning best = {0};
    if (n < 2)
        return best;
    const size_t most = n - 1; /* one id is left to feed, for its logits */
    const struct prefix_found held = prefix_tree_find(&c->held, ids, most),
                              read = prefix_tree_find(&c->reading, ids, most);
    if (c->sums) {
        const size_t common = held.length > read.length ? held.length : read.length;
        best.state = state_of(held.whole);
        best.length = held.whole ? held.whole->length : 0;
        best.branch = common >= best.length + WORTH_KEEPING ? common : 0;
    } else {
        const size_t fed = read.entry ? *state_of(read.entry)->fed : 0, part = fed < read.length ? fed : read.length;
        best.state = state_of(part > held.length ? read.entry : held.entry);
        best.length = part > held.length ? part : held.length;
    }
    if (best.state && best.state->kept) {
        unlink_state(c, best.state);
        link_newest(c, best.state);
    }
    return best;
}

bool serve_cache_being_read(const struct serve_cache *c, const int32_t *ids, size_t n)
{
    if (c->sums)
        return false;
    const struct prefix_found read = prefix_tree_find(&c->reading, ids, n);
    return read.length >= WORTH_WAITING && read.length > n / 2 && *state_of(read.entry)->fed < read.length &&
           prefix_tree_find(&c->held, ids, n).length < read.length;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

/* Whole chunks are shared; the one in which a text parts from another is copied. */
static int64_t shared_of(const struct serve_beginning *from)
{
    return from->state ? (int64_t)from->length / CHUNK * CHUNK : 0;
}

bool serve_cache_room(struct serve_cache *c, const struct serve_beginning *from, int64_t most)
{
    return room(c, c->fixed + row_bytes(c, shared_of(from), chunks_up(most)), from->state);
}

void serve_cache_forget(struct serve_cache *c, struct serve_beginning *from)
{
    if (from->state && from->state->kept)
        serve_cache_drop(c, from->state);
    *from = (struct serve_beginning){.branch = from->branch};
}

/* The session begins as another one and has room for `most` ids; 0: for none more than it holds. */
static enum tare_code open_session(const struct serve_cache *c, struct serve_state *s,
                                   const struct serve_beginning *from, int64_t most, struct tare_error *err)
{
    enum tare_code code = tare_session_fork(&s->session, from->state ? from->state->session : c->root, err);
    if (!code && tare_session_length(s->session) > (int64_t)from->length)
        code = tare_session_rewind(s->session, (int64_t)from->length, err);
    return code || !most ? code : tare_session_reserve(s->session, most, err);
}

enum tare_code serve_cache_open(struct serve_cache *c, struct serve_state **state, const struct serve_beginning *from,
                                int64_t most, struct tare_error *err)
{
    const int64_t shared = shared_of(from), end = chunks_up(most ? most : (int64_t)from->length);
    struct serve_state *s = *state = calloc(1, sizeof *s);
    enum tare_code code = TARE_E_MEMORY;
    if (s) {
        charge(c, c->fixed);
        s->rows = serve_rows_open(from->state ? from->state->rows : NULL, shared, end);
        if (s->rows)
            charge(c, row_bytes(c, shared, end));
        code = s->rows ? open_session(c, s, from, most, err) : TARE_E_MEMORY;
    }
    settle(c);
    c->lookups += !code && most;
    c->hits += !code && most && from->length;
    if (!code)
        return TARE_OK;
    serve_cache_drop(c, s);
    *state = NULL;
    if (err && !err->code)
        *err = (struct tare_error){.code = code, .text = "out of memory"};
    return code;
}

void serve_cache_reads(struct serve_cache *c, struct serve_state *s, const int32_t *ids, size_t n, const size_t *fed)
{
    if (prefix_tree_add(&c->reading, &s->entry, ids, n))
        s->fed = fed;
}

void serve_cache_has_read(struct serve_cache *c, struct serve_state *s, const int32_t *ids, size_t n)
{
    if (!s->fed)
        return;
    prefix_tree_remove(&c->reading, &s->entry);
    s->fed = NULL;
    if (!c->sums) /* its sums have gone on by then */
        (void)!prefix_tree_add(&c->held, &s->entry, ids, n);
}

/* ---- keeping ----------------------------------------------------------------------------------------------------- */

/* A state that ends where another one goes on, the only one, is of no use beside it: the other can be rewound. */
static void drop_covered(struct serve_cache *c, struct serve_state *s)
{
    struct prefix_entry *other;
    while ((other = s->entry.next) != NULL && state_of(other)->kept) /* an equal text */
        serve_cache_drop(c, state_of(other));
    while (!c->sums && (other = prefix_tree_before(&s->entry)) != NULL && state_of(other)->kept &&
           !prefix_tree_parts(other))
        serve_cache_drop(c, state_of(other));
}

/* Puts a state that no text uses among those that are kept; its session ends where its ids do. */
static bool keep(struct serve_cache *c, struct serve_state *s)
{
    const size_t n = (size_t)tare_session_length(s->session);
    if (!prefix_tree_add(&c->held, &s->entry, tare_session_ids(s->session), n)) {
        serve_cache_drop(c, s);
        return false;
    }
    link_newest(c, s);
    drop_covered(c, s);
    return true;
}

/* Keeps a state of the first `length` ids of another one. */
static void keep_part(struct serve_cache *c, struct serve_state *of, size_t length)
{
    const struct serve_beginning from = {.state = of, .length = length};
    struct serve_state *s;
    if (serve_cache_room(c, &from, (int64_t)length) && !serve_cache_open(c, &s, &from, 0, NULL))
        keep(c, s);
}

void serve_cache_branch(struct serve_cache *c, struct serve_state *s)
{
    keep_part(c, s, (size_t)tare_session_length(s->session));
}

/* Lets go of what was reserved past the end of a text: a fork has no part of that. */
static bool cut(struct serve_cache *c, struct serve_state *s)
{
    tare_session *whole = s->session;
    const int64_t n = chunks_up(tare_session_length(whole));
    if (tare_session_fork(&s->session, whole, NULL)) {
        s->session = whole;
        return false;
    }
    tare_session_free(whole);
    give(c, row_bytes(c, n, serve_rows_shorten(s->rows, n)));
    return true;
}

void serve_cache_keep(struct serve_cache *c, struct serve_state *s)
{
    prefix_tree_remove(s->fed ? &c->reading : &c->held, &s->entry);
    s->fed = NULL;
    if (tare_session_length(s->session) < 2 || !cut(c, s)) {
        serve_cache_drop(c, s);
        return;
    }
    const size_t branch = keep(c, s) && !c->sums ? prefix_tree_branch(&s->entry) : 0;
    if (branch >= WORTH_KEEPING)
        keep_part(c, s, branch);
}
