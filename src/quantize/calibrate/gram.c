/* SPDX-License-Identifier: MIT
 * gram.c - the Gram matrix of what goes into a linear, sum_t x[t] x[t]^T: with it the squared error of any change d of a
 * row of weights is d G d^T, so the text need not be looked at again.
 */
#include <stdlib.h>
#include <string.h>

#include "quantize/calibrate/calibrate.h"

#define BLOCK 64 /* rows and columns of a task */

bool tare_gram_open(struct tare_gram **gram, int64_t n)
{
    struct tare_gram *g = *gram = calloc(1, sizeof *g);
    if (!g)
        return false;
    g->n = n;
    g->sum = calloc((size_t)n, (size_t)n * sizeof *g->sum);
    g->mean = calloc((size_t)n, sizeof *g->mean);
    g->turned = calloc((size_t)n, TARE_GRAM_TOKENS * sizeof *g->turned);
    return g->sum && g->mean && g->turned;
}

void tare_gram_free(struct tare_gram *g)
{
    if (!g)
        return;
    free(g->sum);
    free(g->mean);
    free(g->turned);
    free(g);
}

struct job {
    struct tare_gram *gram;
    const struct tare_kernels *kernels;
    const float *x;
    int64_t ldx, tokens;
};

/* Columns [i, i + BLOCK) of some tokens, behind those that wait. */
static void turn(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    struct tare_gram *g = j->gram;
    const int64_t first = (int64_t)i * BLOCK, end = first + BLOCK < g->n ? first + BLOCK : g->n;
    for (int64_t t = 0; t < j->tokens; t++)
        for (int64_t c = first; c < end; c++)
            g->turned[c * TARE_GRAM_TOKENS + g->waiting + t] = j->x[t * j->ldx + c];
    for (int64_t c = first; c < end; c++) {
        double sum = 0;
        for (int64_t t = 0; t < j->tokens; t++)
            sum += (double)fabsf(g->turned[c * TARE_GRAM_TOKENS + g->waiting + t]);
        g->mean[c] += sum;
    }
}

/* Rows [i, i + BLOCK) up to the diagonal. */
static void multiply(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    struct tare_gram *g = j->gram;
    const int64_t first = g->n - ((int64_t)i + 1) * BLOCK, low = first < 0 ? 0 : first; /* the longest ones first */
    const int64_t rows = first + BLOCK - low;
    for (int64_t c = 0; c < low + rows; c += BLOCK) {
        const int64_t columns = low + rows - c < BLOCK ? low + rows - c : BLOCK;
        j->kernels->panel(g->turned + c * TARE_GRAM_TOKENS, TARE_GRAM_TOKENS, columns,
                          g->turned + low * TARE_GRAM_TOKENS, TARE_GRAM_TOKENS, rows, g->waiting,
                          g->sum + low * g->n + c, g->n, true);
    }
}

static void flush(const struct job *j, struct tare_pool *pool)
{
    struct tare_gram *g = j->gram;
    if (g->waiting)
        tare_pool_run(pool, (size_t)((g->n + BLOCK - 1) / BLOCK), multiply, (void *)(uintptr_t)j);
    g->waiting = 0;
}

void tare_gram_add(struct tare_gram *g, const struct tare_kernels *kernels, struct tare_pool *pool, const float *x,
                   int64_t ldx, int64_t tokens)
{
    for (int64_t t = 0, n; t < tokens; t += n) {
        n = tokens - t < TARE_GRAM_TOKENS - g->waiting ? tokens - t : TARE_GRAM_TOKENS - g->waiting;
        struct job j = {g, kernels, x + t * ldx, ldx, n};
        tare_pool_run(pool, (size_t)((g->n + BLOCK - 1) / BLOCK), turn, &j);
        g->waiting += n;
        g->tokens += n;
        if (g->waiting == TARE_GRAM_TOKENS)
            flush(&j, pool);
    }
}

void tare_gram_finish(struct tare_gram *g, const struct tare_kernels *kernels, struct tare_pool *pool)
{
    flush(&(struct job){.gram = g, .kernels = kernels}, pool);
    free(g->turned);
    g->turned = NULL;
    for (int64_t r = 0; r < g->n; r++) {
        for (int64_t c = 0; c < r; c++)
            g->sum[c * g->n + r] = g->sum[r * g->n + c];
        g->mean[r] /= g->tokens ? (double)g->tokens : 1;
    }
}

/* ---- the error of a change ------------------------------------------------------------------------------------- */

#define ROWS 16

struct error_job {
    const struct tare_gram *gram;
    const struct tare_kernels *kernels;
    const float *d;
    int64_t rows;
    double *sum; /* of each task */
};

static void add_error(void *user, size_t i, int worker)
{
    (void)worker;
    const struct error_job *j = user;
    const int64_t n = j->gram->n, first = (int64_t)i * ROWS, rows = j->rows - first < ROWS ? j->rows - first : ROWS;
    float part[ROWS * BLOCK];
    double sum = 0;
    for (int64_t c = 0; c < n; c += BLOCK) {
        const int64_t columns = n - c < BLOCK ? n - c : BLOCK;
        j->kernels->panel(j->gram->sum + c * n, n, columns, j->d + first * n, n, rows, n, part, BLOCK, false);
        for (int64_t r = 0; r < rows; r++)
            for (int64_t k = 0; k < columns; k++)
                sum += (double)part[r * BLOCK + k] * (double)j->d[(first + r) * n + c + k];
    }
    j->sum[i] = sum;
}

double tare_gram_error(const struct tare_gram *gram, const float *d, int64_t rows, const struct tare_kernels *kernels,
                       struct tare_pool *pool, double *sums)
{
    const size_t tasks = (size_t)((rows + ROWS - 1) / ROWS);
    double all = 0;
    tare_pool_run(pool, tasks, add_error, &(struct error_job){gram, kernels, d, rows, sums});
    for (size_t i = 0; i < tasks; i++)
        all += sums[i];
    return all;
}
