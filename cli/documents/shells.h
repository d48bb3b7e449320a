/* SPDX-License-Identifier: MIT
 * shells.h - the completions of the shells, made from the tables of verbs and flags. */
#ifndef TARE_CLI_SHELLS_H
#define TARE_CLI_SHELLS_H

#include "cli.h"

/* Print the script of a shell on stdout. */
void cli_bash_print(void);
void cli_zsh_print(void);
void cli_fish_print(void);

/* Prints the names of all verbs, or of all model types, each once, with a space between. */
void cli_shell_put_verbs(void);
void cli_shell_put_types(void);

/* Prints the choices of a flag with a space between. */
void cli_shell_put_choices(const struct cli_flag *flag);
void cli_shell_put_list(const char *const *list);

/* Print lines: a list that ends with NULL. */
void cli_shell_put_lines(const char *const *lines);

/* Prints a text that stands between single quotes, with a quote written as `quote` and a letter of `special` after a
 * backslash. */
void cli_shell_put_quoted(const char *text, const char *quote, const char *special);

#endif
