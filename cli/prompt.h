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

/* `word` is from the command line, or NULL. Prints the error. Returns CLI_GO_ON or the exit status. */
int cli_prompt_get(struct cli_prompt *prompt, const char *word, bool fable);

#endif
