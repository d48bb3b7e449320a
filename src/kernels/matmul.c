/* SPDX-License-Identifier: MIT
 * matmul.c - one matrix times one or many tokens, cut into tasks by output row.
 *
 * One token: a dot product a row, straight from the packed codes; the time is that of reading the weights. Many tokens:
 * a panel of rows and columns is unpacked once into work memory that stays in L2, and multiplied with all tokens.
 */
#include "base/pool.h"
#include "kernels/kernels.h"

#define TASK_BYTES                                                                                                     \
    65536 /* weights of one task of a single token: enough to pay for handing it out, small enough to balance */

struct job {
    const struct tare_kernels *kernels;
    const struct tare_product *products;
    size_t n;
    float *const *work;
};

static void add_bias(const struct tare_product *p, int64_t row, int64_t rows)
{
    for (int64_t t = 0; p->bias && t < p->tokens; t++)
        for (int64_t r = row; r < row + rows; r++)
            p->y[t * p->ldy + r] += p->bias[r];
}

/* Those that read weights. */
static const struct tare_kernels *rows_kernels(const struct tare_kernels *kernels, const struct tare_matrix *m)
{
    return tare_matrix_even(m) ? kernels : &tare_kernels_scalar;
}

static void many_tokens(const struct tare_kernels *kernels, const struct tare_product *p, int64_t row, int64_t rows,
                        float *w)
{
    const struct tare_matrix *m = &p->matrix;
    const struct tare_kernels *reading = rows_kernels(kernels, m);
    for (int64_t start = 0; start < m->in; start += TARE_PANEL_COLUMNS) {
        const int64_t k = m->in - start < TARE_PANEL_COLUMNS ? m->in - start : TARE_PANEL_COLUMNS;
        for (int64_t r = 0; r < rows; r++)
            reading->unpack[m->storage](m, row + r, start, k, w + r * TARE_PANEL_COLUMNS);
        kernels->panel(w, TARE_PANEL_COLUMNS, rows, p->x + start, p->ldx, p->tokens, k, p->y + row, p->ldy, start > 0);
    }
}

static int64_t rows_a_task(const struct tare_product *p)
{
    if (p->tokens != 1)
        return TARE_PANEL_ROWS;
    const int64_t rows = TASK_BYTES / (int64_t)(p->matrix.stride ? p->matrix.stride : 1);
    return rows < 4 ? 4 : rows;
}

/* The product that task i is of: the last one whose first task is not beyond i. */
static const struct tare_product *product_of(const struct job *j, int64_t i)
{
    size_t low = 0, high = j->n;
    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        if (j->products[middle].first <= i)
            low = middle;
        else
            high = middle;
    }
    return &j->products[low];
}

static void task(void *user, size_t i, int worker)
{
    const struct job *j = user;
    const struct tare_product *p = product_of(j, (int64_t)i);
    const struct tare_matrix *m = &p->matrix;
    const int64_t most = rows_a_task(p), row = ((int64_t)i - p->first) * most;
    const int64_t rows = m->rows - row < most ? m->rows - row : most;
    if (p->tokens == 1)
        rows_kernels(j->kernels, m)->dot[m->storage](m, row, rows, p->x, p->y + row);
    else
        many_tokens(j->kernels, p, row, rows, j->work[worker]);
    add_bias(p, row, rows);
}

void tare_matmul_each(const struct tare_kernels *kernels, struct tare_pool *pool, struct tare_product *products,
                      size_t n, float *const *work)
{
    int64_t tasks = 0;
    for (size_t i = 0; i < n; i++) {
        const int64_t rows = rows_a_task(&products[i]);
        products[i].first = tasks;
        tasks += products[i].tokens > 0 ? (products[i].matrix.rows + rows - 1) / rows : 0;
    }
    if (tasks > 0)
        tare_pool_run(pool, (size_t)tasks, task, &(struct job){kernels, products, n, work});
}

void tare_matmul(const struct tare_kernels *kernels, struct tare_pool *pool, const struct tare_matrix *m,
                 const float *bias, const float *x, int64_t ldx, int64_t tokens, float *y, int64_t ldy,
                 float *const *work)
{
    struct tare_product product = {
        .matrix = *m, .bias = bias, .x = x, .ldx = ldx, .tokens = tokens, .y = y, .ldy = ldy};
    tare_matmul_each(kernels, pool, &product, 1, work);
}

void tare_matrix_row(const struct tare_kernels *kernels, const struct tare_matrix *m, int64_t row, float *dst)
{
    (tare_matrix_even(m) ? kernels : &tare_kernels_scalar)->unpack[m->storage](m, row, 0, m->in, dst);
}
