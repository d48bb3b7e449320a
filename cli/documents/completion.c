/* SPDX-License-Identifier: MIT
 * completion.c - tare completion: prints the script with which a shell completes the words of tare. */
#include <stdio.h>
#include <string.h>

#include "documents/shells.h"

void cli_shell_put_verbs(void)
{
    const struct cli_verb *verb;
    for (size_t i = 0; (verb = cli_verb_get(i)); i++)
        printf("%s%s", i ? " " : "", verb->name);
}

void cli_shell_put_types(void)
{
    struct tare_model_type type = TARE_MODEL_TYPE_INIT, before = TARE_MODEL_TYPE_INIT;
    for (size_t i = 0; tare_model_type_get(i, &type); i++) {
        bool again = false;
        for (size_t k = 0; k < i && !again; k++)
            again = tare_model_type_get(k, &before) && strcmp(before.model_type, type.model_type) == 0;
        if (!again)
            printf("%s%s", i ? " " : "", type.model_type);
    }
}

void cli_shell_put_choices(const struct cli_flag *flag)
{
    const char *choice;
    for (size_t i = 0; (choice = cli_flag_choice(flag, i)); i++)
        printf("%s%s", i ? " " : "", choice);
}

void cli_shell_put_list(const char *const *list)
{
    for (size_t i = 0; list[i]; i++)
        printf("%s%s", i ? " " : "", list[i]);
}

void cli_shell_put_lines(const char *const *lines)
{
    for (; *lines; lines++)
        puts(*lines);
}

void cli_shell_put_quoted(const char *text, const char *quote, const char *special)
{
    for (; *text; text++)
        if (*text == '\'')
            fputs(quote, stdout);
        else
            printf("%s%c", strchr(special, *text) ? "\\" : "", *text);
}

static const char *const names[] = {"bash", "zsh", "fish", NULL};
static void (*const printers[])(void) = {cli_bash_print, cli_zsh_print, cli_fish_print};

static int run(const struct cli_verb *verb, int argc, char **argv)
{
    int words = 0;
    const int status = cli_parse(verb, NULL, argc, argv, &words);
    if (status != CLI_GO_ON)
        return status;
    for (size_t i = 0; names[i]; i++)
        if (strcmp(names[i], argv[0]) == 0) {
            printers[i]();
            return 0;
        }
    return cli_wrong("completion: the shell is bash, zsh or fish, not \"%s\"", argv[0]);
}

const struct cli_verb cli_completion = {
    .name = "completion",
    .summary = "The script with which bash, zsh or fish completes tare's words.",
    .about =
        "Prints the script with which a shell completes the words of tare: verbs, flags, the values of flags, model "
        "types, and the files that a model can be. "
        "The script asks nobody while it completes: all words are in it.\n\n"
        "Where tare is installed as a package, the scripts lie where the shells look for them. "
        "Otherwise put the line of the example for bash into ~/.bashrc, source <(tare completion zsh) into ~/.zshrc "
        "after compinit, or tare completion fish | source into ~/.config/fish/config.fish.",
    .words = {{.name = "SHELL", .choices = names}},
    .examples = {{"source <(tare completion bash)", "Completes the words of tare in this bash."},
                 {"tare completion fish >tare.fish", "Writes the script for fish into a file."}},
    .only_prints = true,
    .see = "help",
    .run = run,
};
