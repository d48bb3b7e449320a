/* SPDX-License-Identifier: MIT
 * print.h - what the command writes: errors, sizes, names from files that nobody vouches for. */
#ifndef TARE_CLI_PRINT_H
#define TARE_CLI_PRINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tare.h"

/* Writes "tare: where: text" on stderr, on one line. */
void cli_error(const char *where, const char *text);

/* The same for an error of the library. Returns its exit status. */
int cli_fail(const struct tare_error *err);

/* The same for a failed system call (errno), as an error of reading or writing `where`. Returns the exit status. */
int cli_fail_system(const char *where);

/* Writes a text from a checkpoint. Control characters become \xNN, so that a name cannot control the terminal. */
void cli_put(FILE *file, const char *text);

/* The same, but line ends and tabs stay as they are. */
void cli_put_lines(FILE *file, const char *text, size_t size);

/* Writes what a model says on stdout, without delay. A terminal is protected as by cli_put_lines(); a file or pipe
 * gets the text unchanged. */
void cli_write(const char *text, size_t size);

/* Writes a text as a JSON string, quotes included. Bytes beyond ASCII stay as they are. */
void cli_put_json(FILE *file, const char *text);

/* Writes a text that the library made, adds a line end and frees the text. Returns `status`; when text is NULL, memory
 * ran out, and the status of that error is returned. */
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

/* Starts a colour; CLI_PLAIN ends it. Does nothing when the file is no terminal or NO_COLOR is set. */
void cli_colour(FILE *file, enum cli_colour colour);

/* Flushes stdout. Returns the status to end with: `status`, or that of a failed write. */
int cli_finish(int status);

#endif
