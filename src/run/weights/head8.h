/* SPDX-License-Identifier: MIT
 * head8.h - a dense head, kept in 8 bits. A head is read whole for each token, and in 8 bits that is half the bytes. */
#ifndef TARE_RUN_WEIGHTS_HEAD8_H
#define TARE_RUN_WEIGHTS_HEAD8_H

#include "base/pool.h"
#include "kernels/kernels.h"

/* A matrix that owns its data. */
struct tare_head8 {
    struct tare_matrix matrix;
    unsigned char *data;
};

/* A dense head, and a callback for after each eighth of it, when its bytes so far have been read. */
struct tare_head_source {
    const struct tare_matrix *dense;
    void (*was_read)(void *user); /* may be NULL */
    void *user;
};

/* Can a head be kept in 8 bits? It must be dense, and TARE_ACTIVATION_BLOCK must divide its columns. */
bool tare_head8_fits(const struct tare_matrix *dense);
/* Columns that share a scale: the largest of 128, 64, 32 and 16 that divides `in`. */
int64_t tare_head8_group(int64_t in);
/*
 * Makes T8 of source->dense: w ~ scale * (code - 128), scale = max |w| of a group / 127, rounded to bfloat16 before
 * the codes are computed with it. A group with a NaN or an infinity gets the scale NaN. The caller owns *head and frees
 * it with tare_head8_free().
 */
enum tare_code tare_head8_make(struct tare_head8 **head, const struct tare_head_source *source,
                               const struct tare_kernels *kernels, struct tare_pool *pool, struct tare_error *err);
void tare_head8_free(struct tare_head8 *head); /* NULL is fine */

#endif
