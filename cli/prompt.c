/* SPDX-License-Identifier: MIT
 * prompt.c - finds the prompt: a word of the command line, standard input, or fable's own. */
#include "prompt.h"

#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "fable.h"
#include "file.h"
#include "print.h"

static const size_t LARGEST = (size_t)16 << 20;

/* Reads all of standard input, without its last line end, which the shell added. */
static int read_input(struct cli_prompt *prompt)
{
    struct cli_file file;
    const int status = cli_file_take(&file, stdin, "run: the prompt on standard input", LARGEST);
    prompt->text = prompt->owned = file.data;
    prompt->size = file.size;
    if (prompt->size && prompt->owned[prompt->size - 1] == '\n')
        prompt->size--;
    return status;
}

int cli_prompt_get(struct cli_prompt *prompt, const char *word, bool fable)
{
    *prompt = (struct cli_prompt){.text = word, .size = word ? strlen(word) : 0};
    if (!word && !cli_is_terminal(stdin)) {
        const int status = read_input(prompt);
        if (status != CLI_GO_ON)
            return status;
    }
    if (prompt->size == 0 && fable && !word) {
        prompt->text = cli_fable_prompt;
        prompt->size = strlen(cli_fable_prompt);
    }
    if (prompt->size == 0)
        return cli_wrong("run: no prompt: give it as a word, tare run MODEL PROMPT, or on standard input");
    return CLI_GO_ON;
}
