/* SPDX-License-Identifier: MIT
 * file.h - a whole file, or all of standard input. */
#ifndef TARE_CLI_FILE_H
#define TARE_CLI_FILE_H

#include <stddef.h>
#include <stdio.h>

struct cli_file {
    /* `size` bytes and a NUL; the caller calls free(). */
    char *data;
    size_t size;
};

/* Reads all that is left of `from`, at most `most` bytes; `name` is used in messages. Prints the error. Returns
 * CLI_GO_ON or the exit status. */
int cli_file_take(struct cli_file *file, FILE *from, const char *name, size_t most);

/* The same for the file at path, where "-" is standard input. */
int cli_file_read(struct cli_file *file, const char *path, size_t most);

#endif
