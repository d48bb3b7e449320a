/* SPDX-License-Identifier: MIT
 * factor.c - the upper U with U^T U = A^-1, by blocks.
 *
 * With J that reverses an order and J A J = L L^T: A^-1 = (J L^-T J)(J L^-1 J), whose second factor is upper: U = J L^-1 J. So
 * one Cholesky and one inverse of a triangle suffice, and what is asked for, U transposed, is L^-1 transposed and read
 * from its end.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "quantize/calibrate/calibrate.h"

#define BLOCK 64

struct job {
    const struct tare_kernels *kernels;
    float *a;       /* (n, n): L in its lower half */
    float *inverse; /* (n / BLOCK, BLOCK, BLOCK): that of each block of the diagonal */
    float *less;    /* (n, BLOCK): the column of blocks at work, negated */
    float *turned;  /* (n, n): L^-1 transposed */
    int64_t n, at;  /* the first column of the block at work */
};

static int64_t width(const struct job *j, int64_t at)
{
    return j->n - at < BLOCK ? j->n - at : BLOCK;
}

/* The block of the diagonal and its inverse, in doubles. False: a pivot is not positive. */
static bool factor_diagonal(const struct job *j)
{
    const int64_t n = width(j, j->at);
    double l[BLOCK][BLOCK], x[BLOCK][BLOCK] = {{0}};
    float *a = j->a + j->at * j->n + j->at, *inverse = j->inverse + j->at * BLOCK;
    for (int64_t r = 0; r < n; r++)
        for (int64_t c = 0; c <= r; c++) {
            double sum = (double)a[r * j->n + c];
            for (int64_t k = 0; k < c; k++)
                sum -= l[r][k] * l[c][k];
            if (r == c && !(sum > 0 && isfinite(sum)))
                return false;
            l[r][c] = r == c ? sqrt(sum) : sum / l[c][c];
            a[r * j->n + c] = (float)l[r][c];
        }
    memset(inverse, 0, (size_t)BLOCK * BLOCK * sizeof *inverse);
    for (int64_t c = 0; c < n; c++)
        for (int64_t r = c; r < n; r++) {
            double sum = r == c ? 1 : 0;
            for (int64_t k = c; k < r; k++)
                sum -= l[r][k] * x[k][c];
            x[r][c] = sum / l[r][r];
            inverse[r * BLOCK + c] = (float)x[r][c];
        }
    return true;
}

/* A block of rows below the diagonal: times the inverse of the diagonal's, transposed. */
static void solve_rows(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const int64_t first = j->at + ((int64_t)i + 1) * BLOCK, rows = width(j, first), n = width(j, j->at);
    float *a = j->a + first * j->n + j->at, *less = j->less + first * BLOCK, made[BLOCK * BLOCK];
    j->kernels->panel(j->inverse + j->at * BLOCK, BLOCK, n, a, j->n, rows, n, made, BLOCK, false);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < n; c++) {
            a[r * j->n + c] = made[r * BLOCK + c];
            less[r * BLOCK + c] = -made[r * BLOCK + c];
        }
}

/* What is left of a block of rows, without the part of the column of blocks that is done. */
static void update_rows(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const int64_t first = j->at + ((int64_t)i + 1) * BLOCK, n = width(j, j->at);
    for (int64_t c = j->at + BLOCK; c <= first; c += BLOCK)
        j->kernels->panel(j->less + c * BLOCK, BLOCK, width(j, c), j->a + first * j->n + j->at, j->n, width(j, first),
                          n, j->a + first * j->n + c, j->n, true);
}

/* Rows [i, i + BLOCK) of L^-1 transposed: forward substitution, block after block of L's rows. */
static void invert_rows(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const int64_t first = (int64_t)i * BLOCK, rows = width(j, first);
    float sum[BLOCK * BLOCK];
    float *to = j->turned + first * j->n;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < rows; c++)
            to[r * j->n + first + c] = j->inverse[first * BLOCK + c * BLOCK + r];
    for (int64_t at = first + BLOCK; at < j->n; at += BLOCK) {
        const int64_t n = width(j, at);
        j->kernels->panel(j->a + at * j->n + first, j->n, n, to + first, j->n, rows, at - first, sum, BLOCK, false);
        j->kernels->panel(j->inverse + at * BLOCK, BLOCK, n, sum, BLOCK, rows, n, to + at, j->n, false);
        for (int64_t r = 0; r < rows; r++)
            for (int64_t c = 0; c < n; c++)
                to[r * j->n + at + c] = -to[r * j->n + at + c];
    }
}

/* From the end to the beginning: both axes of a square are reversed. */
static void reverse(float *a, size_t n)
{
    for (size_t k = 0; k < n / 2; k++) {
        const float other = a[k];
        a[k] = a[n - 1 - k];
        a[n - 1 - k] = other;
    }
}

static bool factor(struct job *j, struct tare_pool *pool)
{
    for (j->at = 0; j->at < j->n; j->at += BLOCK) {
        const int64_t left = j->n - j->at - BLOCK;
        const size_t tasks = left > 0 ? (size_t)((left + BLOCK - 1) / BLOCK) : 0;
        if (!factor_diagonal(j))
            return false;
        if (tasks) {
            tare_pool_run(pool, tasks, solve_rows, j);
            tare_pool_run(pool, tasks, update_rows, j);
        }
    }
    return true;
}

bool tare_factor_inverse(float *a, int64_t n, const struct tare_kernels *kernels, struct tare_pool *pool, bool *memory)
{
    struct job j = {.kernels = kernels, .a = a, .n = n};
    const size_t blocks = (size_t)((n + BLOCK - 1) / BLOCK);
    j.inverse = calloc(blocks, (size_t)BLOCK * BLOCK * sizeof *j.inverse);
    j.less = calloc(blocks, (size_t)BLOCK * BLOCK * sizeof *j.less);
    j.turned = calloc((size_t)n, (size_t)n * sizeof *j.turned);
    *memory = j.inverse && j.less && j.turned;
    bool done = *memory;
    if (done) {
        reverse(a, (size_t)n * (size_t)n);
        done = factor(&j, pool);
    }
    if (done) {
        tare_pool_run(pool, blocks, invert_rows, &j);
        memcpy(a, j.turned, (size_t)n * (size_t)n * sizeof *a);
        reverse(a, (size_t)n * (size_t)n);
    }
    free(j.inverse);
    free(j.less);
    free(j.turned);
    return done;
}
