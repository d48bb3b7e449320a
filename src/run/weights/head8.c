/* SPDX-License-Identifier: MIT
 * head8.c - turns a dense head into 8 bits, rows in parallel. Scales are bfloat16, for which no weight is too small or
 * too large. Codes are computed with the rounded scale, so its 8 bits of precision cost nothing: the largest code is at
 * most 127 * (1 + 2^-8), which still rounds to 127. */
#include "run/weights/head8.h"

#include <math.h>
#include <stdlib.h>

#include "base/half.h"
#include "base/memory.h"
#include "kernels/tiles.h"

#define ZERO 128        /* the code of 0 */
#define LEAST 0x1p-100f /* a group whose largest weight is below counts as 0: its scale would lose bits */

struct quantizing {
    const struct tare_matrix *dense, *m;
    const struct tare_kernels *kernels;
    unsigned char *data;
    size_t base; /* tile of task 0 */
    float *work; /* of a thread: a row, its scales and offsets */
    uint8_t *codes;
};

bool tare_head8_fits(const struct tare_matrix *dense)
{
    return dense->storage <= TARE_STORE_BF16 && dense->rows > 0 && dense->in > 0 &&
           dense->in % TARE_ACTIVATION_BLOCK == 0;
}

int64_t tare_head8_group(int64_t in)
{
    return in % 128 == 0 ? 128 : in % 64 == 0 ? 64 : in % 32 == 0 ? 32 : TARE_ACTIVATION_BLOCK;
}

/* The largest |x|, or an infinity or NaN when there is one: without the sign, the bits of floats have the order of the
 * floats. */
static float largest(const float *x, int64_t n)
{
    int32_t most = 0;
    for (int64_t i = 0; i < n; i++) {
        int32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        bits &= 0x7fffffff;
        most = bits > most ? bits : most;
    }
    return tare_bits_float((uint32_t)most);
}

/* Makes codes of one group of n columns, and returns its scale. */
static float quantize(const float *x, int64_t n, uint8_t *code)
{
    const float most = largest(x, n);
    const bool finite = most < INFINITY;
    const float scale = most < LEAST ? 0 : finite ? tare_from_bfloat16(tare_to_bfloat16(most / 127)) : NAN;
    const float inverse = most < LEAST || !finite ? 0 : 1 / scale;
    for (int64_t i = 0; i < n; i++) {
        /* Adding 1.5 * 2^23 leaves the integer, rounded to nearest even, in the lowest bits. */
        const uint32_t bits = tare_float_bits((finite ? x[i] : 0) * inverse + 12582912.0f);
        code[i] = (uint8_t)(bits + ZERO);
    }
    return scale;
}

static void quantize_tile(void *user, size_t task, int worker)
{
    const struct quantizing *q = user;
    const size_t tile = q->base + task;
    const struct tare_matrix *m = q->m;
    float *row = q->work + worker * (m->in + 2 * m->groups), *scale = row + m->in, *offset = scale + m->groups;
    uint8_t *codes = q->codes + worker * m->in;
    const int64_t first = (int64_t)tile * TARE_TILE_ROWS;
    if (first + TARE_TILE_ROWS > m->rows) /* the last tile has room for rows that the matrix has not */
        memset(q->data + tile * m->stride, 0, m->stride);
    for (int64_t r = first; r < first + TARE_TILE_ROWS && r < m->rows; r++) {
        tare_matrix_row(q->kernels, q->dense, r, row);
        for (int64_t g = 0; g < m->groups; g++) {
            scale[g] = quantize(row + g * m->group, m->group, codes + g * m->group);
            offset[g] = ZERO;
        }
        tare_tile_put(m, q->data, r, codes, scale, offset);
    }
}

/* Goes by eighths, so that only a part of the source must be in memory at a time. */
static void quantize_all(struct quantizing *q, const struct tare_head_source *source, struct tare_pool *pool)
{
    const size_t tiles = (size_t)tare_tile_count(q->m), part = (tiles + 7) / 8;
    for (q->base = 0; q->base < tiles; q->base += part) {
        tare_pool_run(pool, tiles - q->base < part ? tiles - q->base : part, quantize_tile, q);
        if (source->was_read)
            source->was_read(source->user);
    }
}

enum tare_code tare_head8_make(struct tare_head8 **head, const struct tare_head_source *source,
                               const struct tare_kernels *kernels, struct tare_pool *pool, struct tare_error *err)
{
    const size_t threads = (size_t)tare_pool_threads(pool);
    const struct tare_matrix *dense = source->dense;
    struct tare_head8 *h = *head = calloc(1, sizeof *h);
    if (!h)
        return tare_fail_memory(err);
    struct tare_matrix *m = &h->matrix;
    *m = (struct tare_matrix){.storage = TARE_STORE_T8,
                              .rows = dense->rows,
                              .in = dense->in,
                              .group = tare_head8_group(dense->in),
                              .scales = TARE_SCALES_BF16,
                              .zeros = true};
    m->groups = m->in / m->group;
    m->stride = tare_tile_stride(m);
    struct quantizing q = {.dense = dense, .m = m, .kernels = kernels};
    size_t bytes;
    if (!__builtin_mul_overflow((size_t)tare_tile_count(m), m->stride, &bytes))
        h->data = tare_memory_block(bytes);
    q.data = h->data;
    q.work = calloc(threads, (size_t)(m->in + 2 * m->groups) * sizeof *q.work);
    q.codes = calloc(threads, (size_t)m->in);
    m->data = h->data;
    const bool room = q.data && q.work && q.codes;
    if (room)
        quantize_all(&q, source, pool);
    free(q.work);
    free(q.codes);
    if (room)
        return TARE_OK;
    tare_head8_free(h);
    *head = NULL;
    return tare_fail_memory(err);
}

void tare_head8_free(struct tare_head8 *head)
{
    if (head)
        free(head->data);
    free(head);
}
