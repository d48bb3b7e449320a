/* SPDX-License-Identifier: MIT
 * help.h - what a verb's tables say, as text: its usage, its flags, the choices of a flag. */
#ifndef TARE_CLI_HELP_H
#define TARE_CLI_HELP_H

#include <stdio.h>

#include "cli.h"

enum {
    /* Bytes of a line of text; longer ones are cut. */
    CLI_LINE = 1024,
    /* The most flags of a verb. */
    CLI_FLAGS = 64
};

/* How the parts of a usage are marked: what comes before a flag or verb, before a placeholder, and after either; and how
 * a dash of a flag is written. */
struct cli_marks {
    const char *flag;
    const char *value;
    const char *end;
    const char *dash;
};

/* Writes "tare check [MODEL] [--json]": the verb's words, the flags that it needs, and the usual ones. */
void cli_help_usage(const struct cli_verb *verb, char text[CLI_LINE]);
void cli_help_marked_usage(const struct cli_verb *verb, const struct cli_marks *marks, char text[CLI_LINE]);

/* Writes "-o DIR", by the letter where the flag has one. */
void cli_help_flag(const struct cli_flag *flag, char text[CLI_LINE]);

/* Writes "auto, config, proved or keep". */
void cli_help_choices(const struct cli_flag *flag, char text[CLI_LINE]);

/* Writes the one line of help, with the choices, and whether the flag may come again. */
void cli_help_line(const struct cli_flag *flag, char text[CLI_LINE]);

/* Print the help of a verb, and that of all verbs. */
void cli_help_print(const struct cli_verb *verb);
void cli_help_print_all(FILE *file);

#endif
