/* SPDX-License-Identifier: MIT
 * rows_dispatch.h - from the entries of struct tare_kernels for dense weights and for vectors to a set's own loops, in
 * which the storage is a constant. It stands at the end of the rows file of each set of vector kernels, which has
 * defined before:
 *
 *   dot_dense(storage, m, row, rows, x, y), unpack_dense(storage, m, row, start, n, dst)       always inlined
 *   unpack_e4m3(), panel(), exponents(), silu(), squares()
 */
#include "kernels/delta.h"
#include "kernels/state_step.h"

static void dot_f32(const struct tare_matrix *m, int64_t row, int64_t rows, const float *x, float *y)
{
    dot_dense(TARE_STORE_F32, m, row, rows, x, y);
}

static void dot_f16(const struct tare_matrix *m, int64_t row, int64_t rows, const float *x, float *y)
{
    dot_dense(TARE_STORE_F16, m, row, rows, x, y);
}

static void dot_bf16(const struct tare_matrix *m, int64_t row, int64_t rows, const float *x, float *y)
{
    dot_dense(TARE_STORE_BF16, m, row, rows, x, y);
}

static void dot_e4m3(const struct tare_matrix *m, int64_t row, int64_t rows, const float *x, float *y)
{
    dot_dense(TARE_STORE_E4M3, m, row, rows, x, y);
}

static void unpack_f16(const struct tare_matrix *m, int64_t row, int64_t start, int64_t n, float *dst)
{
    unpack_dense(TARE_STORE_F16, m, row, start, n, dst);
}

static void unpack_bf16(const struct tare_matrix *m, int64_t row, int64_t start, int64_t n, float *dst)
{
    unpack_dense(TARE_STORE_BF16, m, row, start, n, dst);
}

static void fill_rows(struct tare_kernels *k)
{
    k->dot[TARE_STORE_F32] = dot_f32;
    k->dot[TARE_STORE_F16] = dot_f16;
    k->dot[TARE_STORE_BF16] = dot_bf16;
    k->dot[TARE_STORE_E4M3] = dot_e4m3;
    k->unpack[TARE_STORE_E4M3] = unpack_e4m3;
    k->unpack[TARE_STORE_F16] = unpack_f16;
    k->unpack[TARE_STORE_BF16] = unpack_bf16;
    k->panel = panel;
    k->exponents = exponents;
    k->silu = silu;
    k->squares = squares;
    k->scan = scan;
    k->delta = delta;
}
