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
    const struct tare_kernels *kernels, *rows_kernels; /* the latter reads weights */
    const struct tare_matrix *m;
    const float *bias, *x;
    int64_t ldx, tokens, ldy, rows_a_task;
    float *y;
    float *const *work;
};

static void add_bias(const struct job *j, int64_t row, int64_t rows)
{
    for (int64_t t = 0; j->bias && t < j->tokens; t++)
        for (int64_t r = row; r < row + rows; r++)
            j->y[t * j->ldy + r] += j->bias[r];
}

static void one_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const int64_t row = (int64_t)i * j->rows_a_task;
    const int64_t rows = j->m->rows - row < j->rows_a_task ? j->m->rows - row : j->rows_a_task;
    j->rows_kernels->dot[j->m->storage](j->m, row, rows, j->x, j->y + row);
    add_bias(j, row, rows);
}

static void many_tokens(void *user, size_t i, int worker)
{
    const struct job *j = user;
    const struct tare_matrix *m = j->m;
    float *w = j->work[worker];
    const int64_t row = (int64_t)i * TARE_PANEL_ROWS;
    const int64_t rows = m->rows - row < TARE_PANEL_ROWS ? m->rows - row : TARE_PANEL_ROWS;
    for (int64_t start = 0; start < m->in; start += TARE_PANEL_COLUMNS) {
        const int64_t k = m->in - start < TARE_PANEL_COLUMNS ? m->in - start : TARE_PANEL_COLUMNS;
        for (int64_t r = 0; r < rows; r++)
            j->rows_kernels->unpack[m->storage](m, row + r, start, k, w + r * TARE_PANEL_COLUMNS);
        j->kernels->panel(w, TARE_PANEL_COLUMNS, rows, j->x + start, j->ldx, j->tokens, k, j->y + row, j->ldy,
                          start > 0);
    }
    add_bias(j, row, rows);
}

void tare_matmul(const struct tare_kernels *kernels, struct tare_pool *pool, const struct tare_matrix *m,
                 const float *bias, const float *x, int64_t ldx, int64_t tokens, float *y, int64_t ldy,
                 float *const *work)
{
    struct job j = {.kernels = kernels,
                    .rows_kernels = tare_matrix_even(m) ? kernels : &tare_kernels_scalar,
                    .m = m,
                    .bias = bias,
                    .x = x,
                    .ldx = ldx,
                    .tokens = tokens,
                    .ldy = ldy,
                    .rows_a_task = TARE_PANEL_ROWS,
                    .y = y,
                    .work = work};
    if (tokens == 1) {
        const int64_t rows = TASK_BYTES / (int64_t)(m->stride ? m->stride : 1);
        j.rows_a_task = rows < 4 ? 4 : rows;
    }
    const int64_t tasks = (m->rows + j.rows_a_task - 1) / j.rows_a_task;
    tare_pool_run(pool, (size_t)tasks, tokens == 1 ? one_token : many_tokens, &j);
}

void tare_matrix_row(const struct tare_kernels *kernels, const struct tare_matrix *m, int64_t row, float *dst)
{
    (tare_matrix_even(m) ? kernels : &tare_kernels_scalar)->unpack[m->storage](m, row, 0, m->in, dst);
}
