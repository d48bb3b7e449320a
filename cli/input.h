/* SPDX-License-Identifier: MIT
 * input.h - standard input as a whole. */
#ifndef TARE_CLI_INPUT_H
#define TARE_CLI_INPUT_H

#include <stddef.h>

/*
 * Read all of standard input, at most `most` bytes. *text is to be freed, also on failure; NULL where nothing came.
 * Prints the error, which names the verb; gives CLI_GO_ON or the exit status.
 */
int cli_input_read(const char *verb, size_t most, char **text, size_t *size);

#endif
