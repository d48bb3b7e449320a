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
    int keys;       /* the part of the state that holds keys, of kind ROWS */
    int values;     /* the part that holds values, of kind ROWS too */
    int64_t plane;  /* the key head, of both parts */
    int64_t first;  /* the first position that may be seen */
    int64_t last;   /* the last one, at least `first` */
    int64_t width;  /* of a value */
    float scale;    /* multiplies scores */
    float soft_cap; /* 0: none */
    /* A logit that takes its share of the softmax and has no value (gpt-oss); NULL: none. */
    const float *sink;
    /* Tells whether a position of [first, last] is seen, as at least one is; NULL: all are. */
    bool (*sees)(const void *user, int64_t position);
    const void *user; /* for sees */
};

/* Writes y, `width` floats. q is as wide as a key; score is work memory of last - first + 1 floats. Threads may call it at
 * once, each with memory of its own. */
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
/* How many queries can go together, at most TARE_ATTEND_MOST; 0: rows are too wide, so that queries go one by one. */
int64_t tare_attend_together(int64_t key_width, int64_t width);
/* n is at most what tare_attend_together() says; work: TARE_PANEL_FLOATS floats. */
void tare_attend_each(const struct tare_kernels *kernels, const struct tare_attend *attend, int64_t key_width,
                      const struct tare_query *queries, int64_t n, float *work);

#endif
