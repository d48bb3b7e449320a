/* SPDX-License-Identifier: MIT
 * npy.h - one float32 array as a .npy file. */
#ifndef TARE_CLI_NPY_H
#define TARE_CLI_NPY_H

#include <stddef.h>

/*
 * Writes rows * columns floats, row by row, into a .npy file of format 1.0. The file is written under a temporary name
 * and then renamed to path; if path is a pipe or a device it is written to directly. Prints the error and returns the
 * exit status.
 */
int cli_npy_write(const char *path, const float *data, size_t rows, size_t columns);

#endif
