/* SPDX-License-Identifier: MIT
 * prompt.c - finds the prompt: a word of the command line, standard input, or fable's own. */
#include "writing/prompt.h"

#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "fable.h"
#include "file.h"
#include "print.h"

static const size_t LARGEST = (size_t)16 << 20;

/* Reads all of standard input, without its last line end, which the shell added. */
static int read_input(struct cli_prompt *prompt, const char *verb)
{
    struct cli_file file;
    char name[64];
    snprintf(name, sizeof name, "%s: standard input", verb);
    const int status = cli_file_take(&file, stdin, name, LARGEST);
    prompt->text = prompt->owned = file.data;
    prompt->size = file.size;
    if (prompt->size && prompt->owned[prompt->size - 1] == '\n')
        prompt->size--;
    return status;
}

int cli_prompt_get(struct cli_prompt *prompt, const char *verb, const char *word, bool fable, const char *missing)
{
    *prompt = (struct cli_prompt){.text = word, .size = word ? strlen(word) : 0};
    if (!word && !cli_is_terminal(stdin)) {
        const int status = read_input(prompt, verb);
        if (status != CLI_GO_ON)
            return status;
    }
    if (prompt->size == 0 && fable && !word) {
        prompt->text = cli_fable_prompt;
        prompt->size = strlen(cli_fable_prompt);
    }
    if (prompt->size == 0)
        return cli_wrong("%s: %s", verb, missing);
    return CLI_GO_ON;
}
