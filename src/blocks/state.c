/* SPDX-License-Identifier: MIT
 * state.c - rows by chunks of positions, so that memory grows with the text and nothing moves; sums in two turns. */
#include "blocks/state.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK TARE_STATE_TOGETHER

/* Rows [CHUNK * i, CHUNK * (i + 1)) of all planes: (planes, CHUNK, row_bytes). */
struct chunk {
    int holders; /* how many states share it; atomic */
    _Alignas(16) unsigned char rows[];
};

struct part {
    struct tare_state_part is;
    enum tare_cache cache;
    size_t row_bytes;      /* ROWS */
    struct chunk **chunks; /* ROWS */
    int64_t n_chunks, chunk_room;
    float *sums; /* SUM: (2, planes * width), written by turns */
};

struct tare_state {
    int n;
    struct part parts[];
};

static int64_t numbers(const struct part *p)
{
    return p->is.planes * p->is.width;
}

static int64_t rows_of(const struct part *p, int64_t length)
{
    return length > 0 ? (length - 1) / p->is.stride + 1 : 0;
}

static void let_go(struct chunk *c)
{
    if (c && __atomic_sub_fetch(&c->holders, 1, __ATOMIC_ACQ_REL) == 0)
        free(c);
}

static bool chunk_bytes(const struct part *p, size_t *bytes)
{
    size_t rows;
    return !__builtin_mul_overflow((size_t)p->is.planes, (size_t)CHUNK, &rows) &&
           !__builtin_mul_overflow(rows, p->row_bytes, bytes) && *bytes <= SIZE_MAX / 4;
}

static struct chunk *new_chunk(const struct part *p)
{
    size_t bytes;
    struct chunk *c = chunk_bytes(p, &bytes) ? malloc(sizeof *c + bytes) : NULL;
    if (c)
        c->holders = 1;
    return c;
}

static bool open_part(struct part *p, int64_t context)
{
    const int64_t n = numbers(p), stride = p->is.stride > 1 ? p->is.stride : 1;
    p->is.stride = stride;
    p->row_bytes = tare_cache_row(p->cache, p->is.width);
    if (p->is.kind == TARE_STATE_SUM)
        return (uint64_t)n < SIZE_MAX / 16 && (p->sums = calloc((size_t)n + 1, 2 * sizeof *p->sums));
    p->chunk_room = context / stride / CHUNK + 1;
    return (p->chunks = calloc((size_t)p->chunk_room, sizeof *p->chunks)) != NULL;
}

enum tare_code tare_state_open(struct tare_state **state, const struct tare_state_part *parts, int n, int64_t context,
                               struct tare_error *err)
{
    struct tare_state *s = calloc(1, sizeof *s + (size_t)n * sizeof *s->parts);
    *state = NULL;
    if (!s)
        return tare_fail_memory(err);
    for (int i = 0; i < n; i++) {
        s->n = i + 1;
        s->parts[i].is = parts[i];
        int64_t product;
        if (__builtin_mul_overflow(parts[i].planes, parts[i].width, &product) || product < 0 ||
            !open_part(&s->parts[i], context)) {
            tare_state_free(s);
            return tare_fail_memory(err);
        }
    }
    *state = s;
    return TARE_OK;
}

void tare_state_keep(struct tare_state *s, enum tare_cache cache)
{
    for (int i = 0; i < s->n; i++)
        if (s->parts[i].is.kind == TARE_STATE_ROWS) {
            s->parts[i].cache = cache;
            s->parts[i].row_bytes = tare_cache_row(cache, s->parts[i].is.width);
        }
}

void tare_state_free(struct tare_state *s)
{
    for (int i = 0; s && i < s->n; i++) {
        for (int64_t k = 0; k < s->parts[i].n_chunks; k++)
            let_go(s->parts[i].chunks[k]);
        free(s->parts[i].chunks);
        free(s->parts[i].sums);
    }
    free(s);
}

/* Replaces a chunk that another state shares, since it is about to be written: by a copy where it holds rows of this one. */
static bool own_chunk(const struct part *p, struct chunk **c, bool holds)
{
    if (__atomic_load_n(&(*c)->holders, __ATOMIC_ACQUIRE) == 1)
        return true;
    struct chunk *copy = new_chunk(p);
    if (!copy)
        return false;
    if (holds)
        memcpy(copy->rows, (*c)->rows, (size_t)(p->is.planes * CHUNK) * p->row_bytes);
    let_go(*c);
    *c = copy;
    return true;
}

static bool reserve_part(struct part *p, int64_t length, int64_t n)
{
    const int64_t rows = rows_of(p, n), held = rows_of(p, length);
    for (int64_t i = length / p->is.stride / CHUNK; i < p->n_chunks && i * CHUNK < rows; i++)
        if (!own_chunk(p, &p->chunks[i], i * CHUNK < held))
            return false;
    for (; p->n_chunks * CHUNK < rows && p->n_chunks < p->chunk_room; p->n_chunks++)
        if (!(p->chunks[p->n_chunks] = new_chunk(p)))
            return false;
    return true;
}

enum tare_code tare_state_reserve(struct tare_state *s, int64_t length, int64_t n, struct tare_error *err)
{
    for (int i = 0; i < s->n; i++)
        if (s->parts[i].is.kind == TARE_STATE_ROWS && !reserve_part(&s->parts[i], length, n))
            return tare_fail_memory(err);
    return TARE_OK;
}

/* Of the chunks only those with rows: what was reserved past them is the first state's alone. */
static void share_part(struct part *to, const struct part *from, int64_t length)
{
    const int64_t rows = rows_of(from, length);
    to->cache = from->cache;
    to->row_bytes = from->row_bytes;
    if (from->is.kind == TARE_STATE_SUM)
        memcpy(to->sums, from->sums, (size_t)numbers(from) * 2 * sizeof *to->sums);
    for (int64_t k = 0; k < from->n_chunks && k * CHUNK < rows; k++, to->n_chunks++) {
        __atomic_add_fetch(&from->chunks[k]->holders, 1, __ATOMIC_RELAXED);
        to->chunks[k] = from->chunks[k];
    }
}

enum tare_code tare_state_fork(struct tare_state **fork, const struct tare_state *s, int64_t length,
                               struct tare_error *err)
{
    struct tare_state_part parts[TARE_STATE_PARTS];
    int64_t chunks = 0;
    for (int i = 0; i < s->n; i++) {
        const int64_t rows = (s->parts[i].chunk_room - 1) * CHUNK * s->parts[i].is.stride; /* open_part() adds one */
        parts[i] = s->parts[i].is;
        chunks = rows > chunks ? rows : chunks;
    }
    const enum tare_code code = tare_state_open(fork, parts, s->n, chunks, err);
    for (int i = 0; code == TARE_OK && i < s->n; i++)
        share_part(&(*fork)->parts[i], &s->parts[i], length);
    return code;
}

void tare_state_rewind(struct tare_state *s, int64_t length)
{
    for (int i = 0; i < s->n; i++) {
        struct part *p = &s->parts[i];
        const int64_t kept = (rows_of(p, length) + CHUNK - 1) / CHUNK;
        while (p->n_chunks > kept && __atomic_load_n(&p->chunks[p->n_chunks - 1]->holders, __ATOMIC_ACQUIRE) > 1)
            let_go(p->chunks[--p->n_chunks]);
    }
}

bool tare_state_sums(const struct tare_state *s)
{
    for (int i = 0; i < s->n; i++)
        if (s->parts[i].is.kind == TARE_STATE_SUM)
            return true;
    return false;
}

void tare_state_clear(struct tare_state *s, int turn)
{
    for (int i = 0; i < s->n; i++)
        if (s->parts[i].is.kind == TARE_STATE_SUM)
            memset(s->parts[i].sums + turn * numbers(&s->parts[i]), 0, (size_t)numbers(&s->parts[i]) * sizeof(float));
}

static unsigned char *row_at(const struct part *p, int64_t row, int64_t plane)
{
    return p->chunks[row / CHUNK]->rows + (size_t)(plane * CHUNK + row % CHUNK) * p->row_bytes;
}

static struct tare_rows rows_at(const struct part *p, int64_t row, int64_t plane, int64_t n)
{
    return (struct tare_rows){p->cache, row_at(p, row, plane), n, p->is.width};
}

/* How many of n rows from `row` on lie in the same chunk. */
static int64_t together(int64_t row, int64_t n)
{
    const int64_t left = CHUNK - row % CHUNK;
    return n < left ? n : left;
}

static bool visit_rows(const struct part *p, int64_t rows, tare_state_visit *visit, void *user)
{
    bool fine = true;
    for (int64_t row = 0, n; row < rows && fine; row += n) {
        n = together(row, rows - row);
        for (int64_t plane = 0; plane < p->is.planes && fine; plane++)
            fine = visit(user, row_at(p, row, plane), (size_t)n * p->row_bytes);
    }
    return fine;
}

bool tare_state_bytes(struct tare_state *s, int64_t length, int turn, tare_state_visit *visit, void *user)
{
    bool fine = true;
    for (int i = 0; i < s->n && fine; i++) {
        const struct part *p = &s->parts[i];
        fine = p->is.kind == TARE_STATE_SUM
                   ? visit(user, p->sums + turn * numbers(p), (size_t)numbers(p) * sizeof(float))
                   : visit_rows(p, rows_of(p, length), visit, user);
    }
    return fine;
}

uint64_t tare_state_size(const struct tare_state *s, int64_t length)
{
    uint64_t size = 0;
    for (int i = 0; i < s->n; i++) {
        const struct part *p = &s->parts[i];
        const bool rows = p->is.kind == TARE_STATE_ROWS;
        const uint64_t n = rows ? (uint64_t)rows_of(p, length) : (uint64_t)numbers(p);
        uint64_t bytes = rows ? (uint64_t)p->is.planes * p->row_bytes : sizeof(float);
        if (__builtin_mul_overflow(n, bytes, &bytes) || __builtin_add_overflow(size, bytes, &size))
            return UINT64_MAX;
    }
    return size;
}

void tare_state_put(const struct tare_kernels *kernels, struct tare_state *s, int part, int64_t row, int64_t plane,
                    const float *values)
{
    const struct part *p = &s->parts[part];
    kernels->cache_store(p->cache, values, p->is.width, row_at(p, row, plane));
}

void tare_state_get(const struct tare_kernels *kernels, const struct tare_state *s, int part, int64_t row,
                    int64_t plane, float *values)
{
    const struct tare_rows one = rows_at(&s->parts[part], row, plane, 1);
    kernels->cache_load(&one, values);
}

struct tare_rows tare_state_rows(const struct tare_state *s, int part, int64_t plane, int64_t first, int64_t n)
{
    return rows_at(&s->parts[part], first, plane, n);
}

void tare_state_scores(const struct tare_kernels *kernels, const struct tare_state *s, int part, int64_t plane,
                       const float *q, int64_t first, int64_t n, float scale, float *scores)
{
    for (int64_t i = 0, k; i < n; i += k) {
        k = together(first + i, n - i);
        const struct tare_rows keys = rows_at(&s->parts[part], first + i, plane, k);
        kernels->cache_scores(q, &keys, scale, scores + i);
    }
}

void tare_state_mix(const struct tare_kernels *kernels, const struct tare_state *s, int part, int64_t plane,
                    const float *w, int64_t first, int64_t n, float *y)
{
    for (int64_t i = 0, k; i < n; i += k) {
        k = together(first + i, n - i);
        const struct tare_rows values = rows_at(&s->parts[part], first + i, plane, k);
        kernels->cache_mix(w + i, &values, y);
    }
}

const float *tare_state_from(const struct tare_state *s, int part, int turn)
{
    return s->parts[part].sums + turn * numbers(&s->parts[part]);
}

float *tare_state_to(struct tare_state *s, int part, int turn)
{
    return s->parts[part].sums + (1 - turn) * numbers(&s->parts[part]);
}
