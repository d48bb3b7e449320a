/* SPDX-License-Identifier: MIT
 * transposed.c - products with a transposed matrix: some columns of each row are unpacked, as many as a block of Q4 has,
 * and the rows are added up, weighted by x. */
#include "blocks/transposed.h"

#include <string.h>

enum { COLUMNS = TARE_Q4_BLOCK, ROWS = TARE_PANEL_FLOATS / COLUMNS };

struct job {
    const struct tare_pass *pass;
    const struct tare_product *products;
    int64_t blocks; /* blocks of columns of the widest matrix */
};

/* Unpacks rows [at[0], at[0] + at[1]) of columns [at[2], at[2] + at[3]) into `to`, without gaps. */
static void unpack(const struct job *j, const struct tare_matrix *m, const int64_t at[4], float *to)
{
    const struct tare_kernels *k = &j->pass->kernels;
    for (int64_t r = 0; r < at[1]; r++)
        k->unpack[m->storage](m, at[0] + r, at[2], at[3], to + r * at[3]);
}

/* Writes the sums of n columns from `start` on into y, or adds them, where the matrix's order of columns puts them. */
static void deliver(const struct tare_matrix *m, const float *sums, int64_t start, int64_t n, bool add, float *y)
{
    for (int64_t c = 0; c < n; c++) {
        float *to = y + (m->order ? m->order[start + c] : start + c);
        *to = add ? *to + sums[c] : sums[c];
    }
}

/* One task: a block of columns of one product, for all of its tokens. */
static void columns(void *user, size_t i, int worker)
{
    const struct job *j = user;
    const struct tare_product *p = &j->products[(int64_t)i / j->blocks];
    const struct tare_matrix *m = &p->matrix;
    const int64_t start = (int64_t)i % j->blocks * COLUMNS, left = m->in - start;
    const int64_t n = left < COLUMNS ? left : COLUMNS;
    float *panel = j->pass->work[worker], sums[COLUMNS];
    for (int64_t row = 0; n > 0 && row < m->rows; row += ROWS) {
        const int64_t rows = m->rows - row < ROWS ? m->rows - row : ROWS;
        unpack(j, m, (const int64_t[]){row, rows, start, n}, panel);
        for (int64_t t = 0; t < p->tokens; t++) {
            memset(sums, 0, sizeof sums);
            j->pass->kernels.mix(p->x + t * p->ldx + row, panel, rows, n, sums);
            deliver(m, sums, start, n, row > 0, p->y + t * p->ldy);
        }
    }
}

void tare_transposed_each(const struct tare_pass *pass, const struct tare_product *products, size_t n)
{
    struct job j = {.pass = pass, .products = products};
    for (size_t i = 0; i < n; i++) {
        const int64_t blocks = (products[i].matrix.in + COLUMNS - 1) / COLUMNS;
        j.blocks = blocks > j.blocks ? blocks : j.blocks;
    }
    tare_pool_run(pass->pool, n * (size_t)j.blocks, columns, &j);
}
