/* SPDX-License-Identifier: MIT
 * print.h - what the command writes: errors, sizes, names from files that nobody vouches for. */
#ifndef TARE_CLI_PRINT_H
#define TARE_CLI_PRINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tare.h"

/* "tare: where: text" on stderr, on one line. */
void cli_error(const char *where, const char *text);
/* The same for an error of the library; gives its exit status. */
int cli_fail(const struct tare_error *err);
/* The same for a failed call of the system (errno), as an error of reading or writing `where`. */
int cli_fail_system(const char *where);

/* Text of a checkpoint: control characters become \xNN, so that a name cannot drive the terminal. */
void cli_put(FILE *file, const char *text);
/* The same, but line ends and tabs are let through. */
void cli_put_lines(FILE *file, const char *text, size_t size);
/* What a model says, on stdout at once: a terminal is protected from it, a file or pipe gets it as it is. */
void cli_write(const char *text, size_t size);
/* The same as cli_put() as a JSON string, quotes included; bytes beyond ASCII go through as they are. */
void cli_put_json(FILE *file, const char *text);

/* A text that the library made, with an end of line; frees it. NULL is no memory. Gives the status, or that of it. */
int cli_put_made(char *text, int status);

struct cli_size {
    char text[24];
};
struct cli_size cli_bytes(uint64_t bytes);  /* "2.3 MB" */
struct cli_size cli_number(uint64_t count); /* "2.8 M" */

/* (a, b, c) */
struct cli_shape {
    char text[160];
};
struct cli_shape cli_shape(int rank, const int64_t *shape);

enum cli_colour { CLI_PLAIN, CLI_GOOD, CLI_DOUBT, CLI_BAD, CLI_FAINT };
bool cli_is_terminal(FILE *file);
/* Start a colour, and end it with CLI_PLAIN; nothing where it is no terminal or NO_COLOR is set. */
void cli_colour(FILE *file, enum cli_colour colour);

/* Write out stdout; the status to end with: `status`, or that of a failed write. */
int cli_finish(int status);

#endif
