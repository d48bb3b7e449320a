/* SPDX-License-Identifier: MIT
 * fish.c - the completion of fish, one `complete` for each verb, flag and word. */
#include <stdio.h>
#include <string.h>

#include "documents/help.h"
#include "documents/shells.h"

static const char *const helpers[] = {
    "# Is VERB the verb of the line?",
    "function __tare_verb # VERB",
    "    set -l words (commandline -opc)",
    "    test \"$words[2]\" = $argv[1]",
    "end",
    "",
    "# Is the word at the cursor word number N, from 0, of VERB, or a later one where N begins with +? The other words",
    "# are the flags that take a value.",
    "function __tare_word # VERB N [FLAG ..]",
    "    __tare_verb $argv[1]; or return",
    "    set -l words (commandline -opc)",
    "    set -l n 0",
    "    set -l value 0",
    "    for word in $words[3..]",
    "        if test $value = 1",
    "            set value 0",
    "        else if string match -q -- '-?*' $word",
    "            contains -- $word $argv[3..]; and set value 1",
    "        else",
    "            set n (math $n + 1)",
    "        end",
    "    end",
    "    test $value = 1; and return 1",
    "    if string match -q '+*' -- $argv[2]",
    "        test $n -ge (string sub -s 2 -- $argv[2])",
    "    else",
    "        test $n = $argv[2]",
    "    end",
    "end",
    "",
    "# Does the flag that stands before the cursor wait for its value?",
    "function __tare_value # FLAG ..",
    "    contains -- (commandline -opc)[-1] $argv",
    "end",
    "",
    "# Was none of the flags given?",
    "function __tare_without # FLAG ..",
    "    for word in (commandline -opc)",
    "        contains -- (string split -m 1 = -- $word)[1] $argv; and return 1",
    "    end",
    "    return 0",
    "end",
    "",
    "# What a model can be.",
    "function __tare_models",
    "    set -l hub $HF_HUB_CACHE",
    "    test -z \"$hub\" -a -n \"$HF_HOME\"; and set hub $HF_HOME/hub",
    "    test -z \"$hub\" -a -n \"$XDG_CACHE_HOME\"; and set hub $XDG_CACHE_HOME/huggingface/hub",
    "    test -z \"$hub\"; and set hub ~/.cache/huggingface/hub",
    "    for path in $hub/models--*--*",
    "        string replace -r '.*/models--(.*?)--' '$1/' -- $path",
    "    end",
    "    echo fable",
    "    __fish_complete_path (commandline -ct | string replace -r '^--?[^=]*=' '') | string match -r "
    "'^[^\\t]*(?:/|\\.gguf|\\.safetensors)(?:\\t.*)?$'",
    "end",
    "",
    NULL,
};

static void put_quoted(const char *text)
{
    cli_shell_put_quoted(text, "\\'", "\\");
}

/* Prints the arguments of `complete` that offer what a word or a value can be. */
static void put_offer(enum cli_takes takes)
{
    switch (takes) {
    case CLI_TAKES_TEXT:
        fputs(" -x", stdout);
        return;
    case CLI_TAKES_FILE:
        fputs(" -r -F", stdout);
        return;
    case CLI_TAKES_FOLDER:
        fputs(" -x -a '(__fish_complete_directories)'", stdout);
        return;
    case CLI_TAKES_MODEL:
        fputs(" -x -a '(__tare_models)'", stdout);
        return;
    case CLI_TAKES_TYPE:
        fputs(" -x -a '", stdout);
        cli_shell_put_types();
        putchar('\'');
        return;
    case CLI_TAKES_VERB:
        fputs(" -x -a '", stdout);
        cli_shell_put_verbs();
        putchar('\'');
        return;
    }
}

/* Prints the flag's names as they are typed, each with a space before it. */
static void put_names(const struct cli_flag *flag)
{
    printf(" --%s", flag->name);
    if (flag->letter)
        printf(" -%c", flag->letter);
}

static void put_flag(const struct cli_verb *verb, const struct cli_flag *flag)
{
    char line[CLI_LINE];
    printf("complete -c tare -n '__tare_verb %s", verb->name);
    if (flag->kind != CLI_LIST) {
        fputs("; and ", stdout);
        if (flag->value) {
            fputs("begin; __tare_value", stdout);
            put_names(flag);
            fputs("; or ", stdout);
        }
        fputs("__tare_without", stdout);
        put_names(flag);
        for (size_t i = 0; flag->either && i < verb->n_flags; i++)
            if (&verb->flags[i] != flag && verb->flags[i].either == flag->either)
                put_names(&verb->flags[i]);
        fputs(flag->value ? "; end" : "", stdout);
    }
    printf("' -l %s", flag->name);
    if (flag->letter)
        printf(" -s %c", flag->letter);
    if (flag->value && cli_flag_choice(flag, 0)) {
        fputs(" -x -a '", stdout);
        cli_shell_put_choices(flag);
        putchar('\'');
    } else if (flag->value) {
        put_offer(flag->takes);
    }
    fputs(" -d '", stdout);
    cli_help_line(flag, line);
    put_quoted(line);
    puts("'");
}

static void put_word(const struct cli_verb *verb, int at)
{
    const struct cli_word *word = &verb->words[at];
    if (word->takes == CLI_TAKES_TEXT && !word->choices)
        return;
    printf("complete -c tare -n '__tare_word %s %s%d", verb->name, word->repeats ? "+" : "", at);
    for (size_t i = 0; i < verb->n_flags; i++)
        if (verb->flags[i].value)
            put_names(&verb->flags[i]);
    putchar('\'');
    if (word->choices) {
        fputs(" -x -a '", stdout);
        cli_shell_put_list(word->choices);
        putchar('\'');
    } else {
        put_offer(word->takes);
    }
    putchar('\n');
}

void cli_fish_print(void)
{
    const struct cli_verb *verb;
    printf("# fish completion of tare %s, made by: tare completion fish\n\n", tare_version());
    cli_shell_put_lines(helpers);
    puts("complete -c tare -f\n"
         "complete -c tare -n 'test (count (commandline -opc)) = 1' -s V -l version -d 'print the version'\n"
         "complete -c tare -s h -l help -d 'print the usage and the flags'");
    for (size_t i = 0; (verb = cli_verb_get(i)); i++) {
        printf("complete -c tare -n 'test (count (commandline -opc)) = 1' -a %s -d '", verb->name);
        put_quoted(verb->summary);
        puts("'");
        for (size_t k = 0; k < verb->n_flags; k++)
            put_flag(verb, &verb->flags[k]);
        for (int k = 0; k < CLI_WORDS && verb->words[k].name; k++)
            put_word(verb, k);
    }
}
