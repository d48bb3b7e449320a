/* SPDX-License-Identifier: MIT
 * dense_rows.h - what AVX2 and AVX-512 share for dense weights by rows: the walk over rows and panels of columns. The
 * rows files of both sets define dot_part(), which computes one step of it in their own registers.
 */
#ifndef TARE_KERNELS_DENSE_ROWS_H
#define TARE_KERNELS_DENSE_ROWS_H

#include "kernels/kernels.h"

#define INLINE static inline __attribute__((always_inline)) /* storage and counts are constants where called */

static inline const unsigned char *row_of(const struct tare_matrix *m, int64_t row)
{
    return m->data + (size_t)row * m->stride;
}

/* Of E4M3: where the columns from i on end that have one scale; and that scale, as a factor of float16 (see e4m3()).
 * 2^8 times a scale is exact, unless it is beyond 2^119, where so are the weights. */
static inline int64_t e4m3_end(const struct tare_matrix *m, int64_t i, int64_t end)
{
    const int64_t next = (i / m->group + 1) * m->group;
    return next < end ? next : end;
}

static inline float e4m3_scale(const struct tare_matrix *m, int64_t row, int64_t i)
{
    return m->scale[row * m->groups + i / m->group] * 256;
}

/* sum_i w[i] x[i] over the columns [start, k), which fill no register. */
static float leftover(const float *w, const float *x, int64_t start, int64_t k)
{
    float sum = 0;
    for (int64_t i = start; i < k; i++)
        sum += w[i] * x[i];
    return sum;
}

/* Columns [start, end) of R rows times x: the sums are y's when start is 0, else they are added to y. They are added in
 * the order of panel(), so one token alone gives the same bits as among others. */
INLINE void dot_part(enum tare_storage storage, int R, const struct tare_matrix *m, int64_t row, int64_t start,
                     int64_t end, const float *x, float *y);

/* Four rows at a time, by as many columns as panel() is given at once. */
INLINE void dot_dense(enum tare_storage storage, const struct tare_matrix *m, int64_t row, int64_t rows, const float *x,
                      float *y)
{
    for (int64_t r = 0, n; r < rows; r += n) {
        n = rows - r >= 4 ? 4 : 1;
        for (int64_t start = 0; start < m->in; start += TARE_PANEL_COLUMNS) {
            const int64_t end = m->in - start < TARE_PANEL_COLUMNS ? m->in : start + TARE_PANEL_COLUMNS;
            if (n == 4)
                dot_part(storage, 4, m, row + r, start, end, x, y + r);
            else
                dot_part(storage, 1, m, row + r, start, end, x, y + r);
        }
    }
}

#endif
