/* SPDX-License-Identifier: MIT
 * prompt.h - the text to continue: a word of the command line, standard input, or fable's own. */
#ifndef TARE_CLI_PROMPT_H
#define TARE_CLI_PROMPT_H

#include <stdbool.h>
#include <stddef.h>

struct cli_prompt {
    const char *text; /* UTF-8 of `size` bytes */
    size_t size;
    char *owned; /* free() */
};

/* Takes `word` of the command line, or without it (NULL) standard input, or where that is empty and `fable` holds, the
 * prompt that belongs to fable. Prints the error, which names `verb`; `missing` is the message when there is no text at
 * all. Returns CLI_GO_ON or the exit status. */
int cli_prompt_get(struct cli_prompt *prompt, const char *verb, const char *word, bool fable, const char *missing);

#endif
