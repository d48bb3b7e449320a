/* SPDX-License-Identifier: MIT
 * attend.h - one query over kept rows, for every block that has softmax attention.
 *
 *     s[j] = scale * q . key[j]      soft cap: s[j] = cap * tanh(s[j] / cap)      j over [first, last] that are seen
 *     y = sum_j e^s[j] value[j] / (sum_j e^s[j] + e^sink)
 */
#ifndef TARE_BLOCKS_ATTENTION_ATTEND_H
#define TARE_BLOCKS_ATTENTION_ATTEND_H

#include "blocks/state.h"

struct tare_attend {
    const struct tare_state *state;
    int keys, values;      /* its parts, both of kind ROWS */
    int64_t plane;         /* of both */
    int64_t first, last;   /* positions; first <= last */
    int64_t width;         /* of a value */
    float scale, soft_cap; /* soft_cap 0: none */
    const float *sink;     /* a logit that takes its share and gives nothing (gpt-oss); NULL: none */
    bool (*sees)(const void *user, int64_t position); /* of [first, last]; at least one. NULL: all */
    const void *user;
};

/* q: as wide as a key. score: work, last - first + 1 floats. y: width floats, all written. Threads may do so at once.
 */
void tare_attend(const struct tare_kernels *kernels, const struct tare_attend *attend, const float *q, float *score,
                 float *y);

/*
 * Several queries over the same rows, each over positions of its own: queries that share a key head, of one token or of
 * many. What comes out for a query does not depend on those beside it. Of `attend`, first, last, sink and sees are not
 * read: the queries have their own, and see all between.
 */
struct tare_query {
    const float *q; /* (key_width) */
    float *y;       /* (width), written */
    int64_t first, last;
    const float *sink; /* NULL: none */
};
enum { TARE_ATTEND_MOST = 32 };
/* How many queries can go together, at most TARE_ATTEND_MOST; 0: rows are too wide, they go one by one. */
int64_t tare_attend_together(int64_t key_width, int64_t width);
/* n: not more than that. work: TARE_PANEL_FLOATS floats. */
void tare_attend_each(const struct tare_kernels *kernels, const struct tare_attend *attend, int64_t key_width,
                      const struct tare_query *queries, int64_t n, float *work);

#endif
