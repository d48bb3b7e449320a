/* SPDX-License-Identifier: MIT
 * zsh.c - the completion of zsh, by its _arguments. As a file _tare in $fpath it is loaded when it is needed first;
 * sourced, it registers itself. */
#include <stdio.h>
#include <string.h>

#include "documents/help.h"
#include "documents/shells.h"

static const char *const models[] = {
    "_tare_models() {",
    "  local hub=${HF_HUB_CACHE:-${HF_HOME:+$HF_HOME/hub}}",
    "  local -a names",
    "  hub=${hub:-${XDG_CACHE_HOME:-$HOME/.cache}/huggingface/hub}",
    "  names=($hub/models--*--*(N-/:t))",
    "  names=(fable ${${names#models--}/--//})",
    "  _alternative 'folders:folder:_path_files -/' 'files:file:_path_files -g \"*.(gguf|safetensors)(-.)\"' \\",
    "    'names:model:compadd -a names'",
    "}",
    "",
    NULL,
};

/* Prints a text that stands between single quotes and, in a specification of _arguments, between brackets. */
static void put_help(const char *text)
{
    cli_shell_put_quoted(text, "'\\''", "[]:\\");
}

/* Prints ":MESSAGE:ACTION". */
static void put_action(const char *message, enum cli_takes takes)
{
    static const char *const actions[] = {
        [CLI_TAKES_TEXT] = " ",
        [CLI_TAKES_FILE] = "_files",
        [CLI_TAKES_FOLDER] = "_path_files -/",
        [CLI_TAKES_MODEL] = "_tare_models",
        [CLI_TAKES_TYPE] = "_tare_types",
        [CLI_TAKES_VERB] = "_tare_verbs",
    };
    putchar(':');
    put_help(message);
    printf(":%s", actions[takes]);
}

/* Prints the flags that may not come with this one, or again, in parentheses. */
static void put_excluded(const struct cli_verb *verb, const struct cli_flag *flag)
{
    if (flag->kind == CLI_LIST) {
        putchar('*');
        return;
    }
    printf("(--%s", flag->name);
    if (flag->letter)
        printf(" -%c", flag->letter);
    for (size_t i = 0; flag->either && i < verb->n_flags; i++) {
        const struct cli_flag *other = &verb->flags[i];
        if (other == flag || other->either != flag->either)
            continue;
        printf(" --%s", other->name);
        if (other->letter)
            printf(" -%c", other->letter);
    }
    putchar(')');
}

/* Prints the specification of a flag under one of its names. */
static void put_flag(const struct cli_verb *verb, const struct cli_flag *flag, bool letter)
{
    char line[CLI_LINE];
    fputs("    '", stdout);
    put_excluded(verb, flag);
    if (letter)
        printf("-%c", flag->letter);
    else
        printf("--%s%s", flag->name, flag->value ? "=" : "");
    cli_help_line(flag, line);
    putchar('[');
    put_help(line);
    putchar(']');
    if (flag->value && cli_flag_choice(flag, 0)) {
        putchar(':');
        put_help(flag->value);
        fputs(":(", stdout);
        cli_shell_put_choices(flag);
        putchar(')');
    } else if (flag->value) {
        put_action(flag->value, flag->takes);
    }
    puts("' \\");
}

static void put_word(const struct cli_word *word, int at)
{
    fputs("    '", stdout);
    if (word->repeats)
        putchar('*');
    else
        printf("%d%s", at + 1, word->optional ? ":" : "");
    if (word->choices) {
        printf(":%s:(", word->name);
        cli_shell_put_list(word->choices);
        putchar(')');
    } else {
        put_action(word->name, word->takes);
    }
    puts("' \\");
}

static void put_verb(const struct cli_verb *verb)
{
    printf("  %s)\n    _arguments -S \\\n", verb->name);
    for (size_t i = 0; i < verb->n_flags; i++) {
        if (verb->flags[i].letter)
            put_flag(verb, &verb->flags[i], true);
        put_flag(verb, &verb->flags[i], false);
    }
    for (int i = 0; i < CLI_WORDS && verb->words[i].name; i++)
        put_word(&verb->words[i], i);
    puts("    '(- *)--help[print the usage and the flags]'\n    ;;");
}

void cli_zsh_print(void)
{
    const struct cli_verb *verb;
    printf("#compdef tare\n# zsh completion of tare %s, made by: tare completion zsh\n\n", tare_version());
    puts("_tare_verbs() {\n  local -a verbs\n  verbs=(");
    for (size_t i = 0; (verb = cli_verb_get(i)); i++) {
        printf("    '%s:", verb->name);
        cli_shell_put_quoted(verb->summary, "'\\''", "\\");
        puts("'");
    }
    fputs("  )\n  _describe -t verbs verb verbs\n}\n\n_tare_types() {\n  local -a types\n  types=(", stdout);
    cli_shell_put_types();
    puts(")\n  compadd -a types\n}\n");
    cli_shell_put_lines(models);
    puts("_tare() {\n  local curcontext=$curcontext state line\n  typeset -A opt_args\n"
         "  _arguments -C -S \\\n"
         "    '(- *)'{-h,--help}'[print the verbs]' \\\n"
         "    '(- *)'{-V,--version}'[print the version]' \\\n"
         "    '1:verb:_tare_verbs' \\\n"
         "    '*::word:->words' && return\n"
         "  [[ $state == words ]] || return 1\n"
         "  case $words[1] in");
    for (size_t i = 0; (verb = cli_verb_get(i)); i++)
        put_verb(verb);
    puts("  esac\n}\n\nif [[ $funcstack[1] == _tare ]]; then\n  _tare \"$@\"\nelse\n  compdef _tare tare\nfi");
}
