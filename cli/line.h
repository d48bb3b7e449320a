/* SPDX-License-Identifier: MIT
 * line.h - lines that somebody types, with editing and history on a terminal; plain lines from a pipe or file. */
#ifndef TARE_CLI_LINE_H
#define TARE_CLI_LINE_H

#include <stdbool.h>
#include <stddef.h>

struct cli_lines;

/* NULL: no memory. */
struct cli_lines *cli_lines_open(const char *program);
void cli_lines_close(struct cli_lines *lines);
/*
 * One line without its end, valid until the next call; NULL at the end of input. *interrupted: Ctrl-C was pressed
 * instead, and the line is empty. A prompt is shown on a terminal only.
 */
const char *cli_lines_next(struct cli_lines *lines, const char *prompt, bool *interrupted);
/* What was said, as one entry of the history. */
void cli_lines_remember(struct cli_lines *lines, const char *text);

#endif
