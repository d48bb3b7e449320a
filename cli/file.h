/* SPDX-License-Identifier: MIT
 * file.h - a whole file, or all of standard input. */
#ifndef TARE_CLI_FILE_H
#define TARE_CLI_FILE_H

#include <stddef.h>
#include <stdio.h>

struct cli_file {
    char *data; /* of `size` bytes; free() */
    size_t size;
};

/* All that is left of `from`, at most `most` bytes. name: for messages. Prints the error; CLI_GO_ON or the exit status.
 */
int cli_file_take(struct cli_file *file, FILE *from, const char *name, size_t most);
/* The same of the file at path; "-" is standard input. */
int cli_file_read(struct cli_file *file, const char *path, size_t most);

#endif
