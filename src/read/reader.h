/* SPDX-License-Identifier: MIT
 * reader.h - what the files of a reader share: reader.c opens one, read_rows.c reads numbers and codes, read_mlx.c rows
 * in MLX's layout. The interface is tare.h's. */
#ifndef TARE_READ_READER_H
#define TARE_READ_READER_H

#include "kernels/kernels.h"
#include "plan/plan.h"
#include "read/readable.h"
#include "save/save.h"

/* Made at opening and never changed, so threads may share it. */
struct tare_reader {
    struct tare_model *model; /* a reference of its own */
    struct tare_arena arena;  /* owns what info and reading point to */
    struct tare_tensor_info info;
    struct tare_readable reading;
    const struct tare_parameter *parameter; /* NULL: a source module */
    struct tare_kernels kernels;
    /* The parameter as a conversion to MLX lays it out: jobs[0]. Where it could not, mlx_error says why. */
    struct tare_layout mlx;
    struct tare_error mlx_error;
};

/* Lays the parameter out for MLX (read_mlx.c). Fails only for lack of memory. */
enum tare_code tare_reader_lay_out(struct tare_reader *reader, struct tare_error *err);

/* Are [row, row + rows) rows of the tensor? */
enum tare_code tare_reader_check(const struct tare_reader *reader, int64_t row, int64_t rows, struct tare_error *err);

/*
 * The rows [row, row + rows) that lie below one index of the leading axes, at most `most` of them, as a tile.
 * Advancing by the tile's rows until none is left goes through all.
 */
struct tare_tile tare_reader_tile(const struct tare_reader *reader, int64_t row, int64_t rows, int64_t most);

#endif
