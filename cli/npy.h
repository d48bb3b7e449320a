/* SPDX-License-Identifier: MIT
 * npy.h - one float32 array as a .npy file. */
#ifndef TARE_CLI_NPY_H
#define TARE_CLI_NPY_H

#include <stddef.h>

/*
 * Write rows * columns floats, row by row, as `path`: a .npy file of format 1.0, under a temporary name first, then
 * renamed. What is there and no regular file (a pipe, /dev/null) is written to in place. Prints the error; gives the
 * exit status.
 */
int cli_npy_write(const char *path, const float *data, size_t rows, size_t columns);

#endif
