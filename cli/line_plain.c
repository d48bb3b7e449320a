/* SPDX-License-Identifier: MIT
 * line_plain.c - reads lines without libedit (TARE_EDIT=OFF): the terminal itself edits them, and nothing is remembered.
 * CMakeLists.txt compiles either this file or line.c. */
#define _GNU_SOURCE /* getline() */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "line.h"
#include "print.h"
#include "progress.h"

struct cli_lines {
    bool terminal;
    char *line; /* own copy */
    size_t room;
};

struct cli_lines *cli_lines_open(const char *program)
{
    struct cli_lines *l = calloc(1, sizeof *l);
    (void)program;
    if (l)
        l->terminal = cli_is_terminal(stdin);
    return l;
}

void cli_lines_close(struct cli_lines *l)
{
    if (!l)
        return;
    free(l->line);
    free(l);
}

const char *cli_lines_next(struct cli_lines *l, const char *prompt, bool *interrupted)
{
    *interrupted = false;
    if (l->terminal) {
        fputs(prompt, stdout);
        fflush(stdout);
    }
    if (getline(&l->line, &l->room, stdin) < 0) {
        *interrupted = cli_interrupt_came();
        if (!*interrupted)
            return NULL;
        cli_interrupt_forget();
        clearerr(stdin);
        return "";
    }
    l->line[strcspn(l->line, "\r\n")] = '\0';
    return l->line;
}

void cli_lines_remember(struct cli_lines *l, const char *text)
{
    (void)l;
    (void)text;
}
