/* SPDX-License-Identifier: MIT
 * line.h - lines that somebody types, with editing and history on a terminal; plain lines from a pipe or file. */
#ifndef TARE_CLI_LINE_H
#define TARE_CLI_LINE_H

#include <stdbool.h>
#include <stddef.h>

struct cli_lines;

/* Returns NULL when memory ran out. */
struct cli_lines *cli_lines_open(const char *program);
void cli_lines_close(struct cli_lines *lines);

/*
 * Reads one line. The result has no line end and is valid until the next call; it is NULL at the end of input. When
 * Ctrl-C was pressed instead, *interrupted is true and the line is empty. The prompt is shown on a terminal only.
 */
const char *cli_lines_next(struct cli_lines *lines, const char *prompt, bool *interrupted);

/* Adds a text to the history, as one entry. */
void cli_lines_remember(struct cli_lines *lines, const char *text);

#endif
