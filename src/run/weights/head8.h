/* SPDX-License-Identifier: MIT
 * head8.h - a dense head in 8 bits: half of what it takes in 16, and read whole for each token. */
#ifndef TARE_RUN_WEIGHTS_HEAD8_H
#define TARE_RUN_WEIGHTS_HEAD8_H

#include "base/pool.h"
#include "kernels/kernels.h"

/* A matrix that owns its data. */
struct tare_head8 {
    struct tare_matrix matrix;
    unsigned char *data;
};

/* A dense head, and who is told after each eighth of it that its bytes were read. */
struct tare_head_source {
    const struct tare_matrix *dense;
    void (*was_read)(void *user); /* NULL: nobody */
    void *user;
};

/* Can a head be kept in 8 bits? It is dense, and blocks of 32 divide its columns. */
bool tare_head8_fits(const struct tare_matrix *dense);
/* Columns that share a scale: 128, 64 or 32, the largest that divides `in`. */
int64_t tare_head8_group(int64_t in);
/*
 * source->dense -> T8: w ~ scale * (code - 128), scale = max |w| of a group / 127 rounded to bfloat16, and codes are
 * taken by that. A group with a NaN or an infinity gets scale NaN. *head is the caller's: tare_head8_free().
 */
enum tare_code tare_head8_make(struct tare_head8 **head, const struct tare_head_source *source,
                               const struct tare_kernels *kernels, struct tare_pool *pool, struct tare_error *err);
void tare_head8_free(struct tare_head8 *head); /* NULL is fine */

#endif
