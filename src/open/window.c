/* SPDX-License-Identifier: MIT
 * window.c - the chunks of a file that is not mapped: absent, being read, or there.
 *
 * One lock guards the state of all chunks of a checkpoint. It is not held while bytes are read: a chunk is marked as
 * being read, and who wants it too waits. Whoever waits holds nothing that the reader waits for. */
#include "open/window.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/memory.h"

#define KEPT ((uint64_t)128 << 20)    /* bytes that are kept although nobody holds them */
#define RUN_MOST ((uint64_t)16 << 20) /* bytes of one read */

enum state { ABSENT, READING, PRESENT };

struct tare_chunk {
    struct tare_window *window;
    struct tare_chunk *before, *after; /* among those kept */
    uint32_t held;                     /* how often */
    enum state state;
};

struct tare_window {
    struct tare_shelf *shelf;
    struct tare_bytes bytes;
    unsigned char *data;
    size_t room; /* of data: whole chunks */
    struct tare_chunk *chunks;
};

/* ---- chunks that are kept -------------------------------------------------------------------------------------- */

static void keep(struct tare_shelf *shelf, struct tare_chunk *chunk)
{
    chunk->before = NULL;
    chunk->after = shelf->first;
    if (shelf->first)
        shelf->first->before = chunk;
    else
        shelf->last = chunk;
    shelf->first = chunk;
    shelf->kept += shelf->chunk;
}

static void unkeep(struct tare_shelf *shelf, struct tare_chunk *chunk)
{
    *(chunk->before ? &chunk->before->after : &shelf->first) = chunk->after;
    *(chunk->after ? &chunk->after->before : &shelf->last) = chunk->before;
    chunk->before = chunk->after = NULL;
    shelf->kept -= shelf->chunk;
}

/* Drops what was not used for longest. As much as was held at one time is kept, since the next tile of a weight often
 * needs the same again. */
static void drop_some(struct tare_shelf *shelf)
{
    const uint64_t most = shelf->eager ? 0 : shelf->most_held > shelf->keep ? shelf->most_held : shelf->keep;
    while (shelf->kept > most && shelf->last) {
        struct tare_chunk *chunk = shelf->last;
        const size_t at = (size_t)(chunk - chunk->window->chunks) * shelf->chunk;
        unkeep(shelf, chunk);
        if (!tare_memory_decommit(chunk->window->data + at, shelf->chunk)) {
            keep(shelf, chunk);
            return;
        }
        chunk->state = ABSENT;
    }
}

bool tare_shelf_open(struct tare_shelf *shelf, size_t chunk, size_t ahead)
{
    *shelf = (struct tare_shelf){.chunk = chunk, .keep = KEPT, .ahead = ahead};
    if (pthread_mutex_init(&shelf->lock, NULL))
        return false;
    if (!pthread_cond_init(&shelf->read, NULL))
        return true;
    pthread_mutex_destroy(&shelf->lock);
    return false;
}

void tare_shelf_keep(struct tare_shelf *shelf, uint64_t keep_bytes)
{
    pthread_mutex_lock(&shelf->lock);
    shelf->keep = keep_bytes > KEPT ? keep_bytes : KEPT;
    drop_some(shelf);
    pthread_mutex_unlock(&shelf->lock);
}

void tare_shelf_release(struct tare_shelf *shelf)
{
    pthread_cond_destroy(&shelf->read);
    pthread_mutex_destroy(&shelf->lock);
}

/* ---- windows --------------------------------------------------------------------------------------------------- */

enum tare_code tare_window_open(struct tare_window **window, struct tare_shelf *shelf, struct tare_bytes *bytes,
                                struct tare_error *err)
{
    const uint64_t n = bytes->size / shelf->chunk + 1;
    struct tare_window *w = calloc(1, sizeof *w);
    *window = w;
    if (!w) {
        tare_bytes_close(bytes);
        return tare_fail_memory(err);
    }
    w->shelf = shelf;
    w->bytes = *bytes;
    if (n < SIZE_MAX / 4 / shelf->chunk) {
        w->room = (size_t)n * shelf->chunk;
        w->chunks = calloc((size_t)n, sizeof *w->chunks);
        w->data = w->chunks ? tare_memory_reserve(w->room) : NULL;
    }
    if (w->data)
        return TARE_OK;
    const enum tare_code code = w->room && !w->chunks
                                    ? tare_fail_memory(err)
                                    : tare_fail(err, TARE_E_MEMORY, w->bytes.name,
                                                "%" PRIu64 " bytes do not fit the address space", w->bytes.size);
    tare_window_free(w);
    *window = NULL;
    return code;
}

void tare_window_free(struct tare_window *window)
{
    if (!window)
        return;
    if (window->data)
        tare_memory_unreserve(window->data, window->room);
    tare_bytes_close(&window->bytes);
    free(window->chunks);
    free(window);
}

const struct tare_bytes *tare_window_bytes(const struct tare_window *window)
{
    return &window->bytes;
}

unsigned char *tare_window_data(const struct tare_window *window)
{
    return window->data;
}

/* One hold of a chunk less. */
static void let_go(struct tare_shelf *shelf, struct tare_chunk *chunk)
{
    if (--chunk->held)
        return;
    shelf->held -= shelf->chunk;
    if (chunk->state == PRESENT)
        keep(shelf, chunk);
}

static void hold(struct tare_shelf *shelf, struct tare_chunk *chunk)
{
    if (chunk->held++)
        return;
    shelf->held += shelf->chunk;
    shelf->most_held = shelf->held > shelf->most_held ? shelf->held : shelf->most_held;
    if (chunk->state == PRESENT)
        unkeep(shelf, chunk);
}

/* Reads chunks [from, end), which are absent. The lock is held, and given up in between. */
static enum tare_code read_run(struct tare_window *w, size_t from, size_t end, struct tare_error *err)
{
    struct tare_shelf *shelf = w->shelf;
    const uint64_t at = (uint64_t)from * shelf->chunk, last = (uint64_t)end * shelf->chunk;
    const size_t n = (size_t)((last < w->bytes.size ? last : w->bytes.size) - at);
    for (size_t i = from; i < end; i++) {
        w->chunks[i].window = w;
        w->chunks[i].state = READING;
    }
    pthread_mutex_unlock(&shelf->lock);
    enum tare_code code = TARE_OK;
    if (!tare_memory_commit(w->data + at, (end - from) * shelf->chunk))
        code = tare_fail_memory(err);
    else if ((code = tare_bytes_read(&w->bytes, w->data + at, n, at, err)))
        tare_memory_decommit(w->data + at, (end - from) * shelf->chunk);
    pthread_mutex_lock(&shelf->lock);
    for (size_t i = from; i < end; i++) {
        w->chunks[i].state = code ? ABSENT : PRESENT;
        if (!code && !w->chunks[i].held)
            keep(shelf, &w->chunks[i]);
    }
    pthread_cond_broadcast(&shelf->read);
    return code;
}

/* The end of the run of absent chunks that begins at `from` and is read at once. */
static size_t end_of_run(const struct tare_window *w, size_t from, size_t end, size_t limit)
{
    const struct tare_shelf *shelf = w->shelf;
    const size_t most = (size_t)(RUN_MOST / shelf->chunk) + 1, more = shelf->ahead / shelf->chunk;
    size_t to = from + 1;
    while (to < limit && to - from < most && w->chunks[to].state == ABSENT && (to < end || to - from < more))
        to++;
    return to;
}

enum tare_code tare_window_hold(struct tare_window *w, uint64_t begin, uint64_t end, uint64_t limit,
                                struct tare_error *err)
{
    struct tare_shelf *shelf = w->shelf;
    if (begin >= end)
        return TARE_OK;
    const size_t first = (size_t)(begin / shelf->chunk), last = (size_t)((end - 1) / shelf->chunk) + 1;
    const size_t furthest = limit > end ? (size_t)((limit - 1) / shelf->chunk) + 1 : last;
    enum tare_code code = TARE_OK;
    pthread_mutex_lock(&shelf->lock);
    for (size_t i = first; i < last; i++)
        hold(shelf, &w->chunks[i]);
    for (size_t i = first; i < last && !code;) {
        if (w->chunks[i].state == PRESENT)
            i++;
        else if (w->chunks[i].state == READING)
            pthread_cond_wait(&shelf->read, &shelf->lock);
        else
            code = read_run(w, i, end_of_run(w, i, last, furthest), err);
    }
    for (size_t i = first; i < last && code; i++)
        let_go(shelf, &w->chunks[i]);
    drop_some(shelf);
    pthread_mutex_unlock(&shelf->lock);
    return code;
}

void tare_window_let_go(struct tare_window *w, uint64_t begin, uint64_t end)
{
    struct tare_shelf *shelf = w->shelf;
    if (begin >= end)
        return;
    pthread_mutex_lock(&shelf->lock);
    for (size_t i = (size_t)(begin / shelf->chunk); i <= (size_t)((end - 1) / shelf->chunk); i++)
        let_go(shelf, &w->chunks[i]);
    drop_some(shelf);
    pthread_mutex_unlock(&shelf->lock);
}
