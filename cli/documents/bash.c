/* SPDX-License-Identifier: MIT
 * bash.c - the completion of bash (3.2 or later), which needs no other script. bash splits words at "=", so that
 * --to=gguf arrives as three of them, unless COMP_WORDBREAKS was changed. */
#include <stdio.h>
#include <string.h>

#include "documents/shells.h"

static const char *const helpers[] = {
    "# Offers those of the words that begin as the word at the cursor does.",
    "_tare_offer()",
    "{",
    "    local word",
    "    for word in $1; do",
    "        [[ $word == \"$cur\"* ]] && COMPREPLY+=(\"$prefix$word\")",
    "    done",
    "}",
    "",
    "# Offers files or folders; the arguments are those of compgen.",
    "_tare_files()",
    "{",
    "    local path",
    "    compopt -o filenames 2>/dev/null",
    "    while IFS= read -r path; do",
    "        COMPREPLY+=(\"$prefix$path\")",
    "    done < <(compgen \"$@\" -- \"$cur\")",
    "}",
    "",
    "# Offers what a model can be.",
    "_tare_models()",
    "{",
    "    local path hub=${HF_HUB_CACHE:-${HF_HOME:+$HF_HOME/hub}}",
    "    hub=${hub:-${XDG_CACHE_HOME:-$HOME/.cache}/huggingface/hub}",
    "    _tare_files -d",
    "    _tare_files -f -X '!*.gguf'",
    "    _tare_files -f -X '!*.safetensors'",
    "    for path in \"$hub\"/models--*--*; do",
    "        [[ -d $path ]] || continue",
    "        path=${path##*/models--}",
    "        path=${path/--//}",
    "        [[ $path == \"$cur\"* ]] && COMPREPLY+=(\"$prefix$path\")",
    "    done",
    "    _tare_offer fable",
    "}",
    "",
    "# Offers flags. Of an entry \"--a,--b\" it is --a, unless --a or --b was given; \"+--a\" may come again.",
    "_tare_flags()",
    "{",
    "    local entry other",
    "    for entry in $1; do",
    "        for other in ${entry//,/ }; do",
    "            [[ $given == *\" $other \"* ]] && continue 2",
    "        done",
    "        entry=${entry#+}",
    "        _tare_offer \"${entry%%,*}\"",
    "    done",
    "}",
    "",
    NULL,
};

static const char *const scan[] = {
    "    # The words before the cursor: $given has the flags, and $n counts the others.",
    "    while ((i < COMP_CWORD)); do",
    "        word=${COMP_WORDS[i]}",
    "        if [[ $word == -?* && -z $ended ]]; then",
    "            [[ $word == -- ]] && ended=1",
    "            given+=\"${word%%=*} \"",
    "            if [[ $takes == *\" $word \"* ]]; then",
    "                ((i++))",
    "                [[ ${COMP_WORDS[i]} == '=' ]] && ((i < COMP_CWORD)) && ((i++))",
    "                ((i == COMP_CWORD)) && flag=$word",
    "            fi",
    "        else",
    "            ((n++))",
    "        fi",
    "        ((i++))",
    "    done",
    "    if [[ $flag && $cur == '=' ]]; then",
    "        cur=",
    "    elif [[ -z $flag && $cur == -*=* && -z $ended ]]; then",
    "        flag=${cur%%=*} prefix=${cur%%=*}= cur=${cur#*=}",
    "    fi",
    NULL,
};

/* Prints "'check --tie'", and for a flag with a letter the same with that. */
static void put_pattern(const struct cli_verb *verb, const struct cli_flag *flag)
{
    printf("    '%s --%s'", verb->name, flag->name);
    if (flag->letter)
        printf(" | '%s -%c'", verb->name, flag->letter);
    fputs(") ", stdout);
}

/* Prints the command that offers what a word or a value can be. */
static void put_offer(enum cli_takes takes)
{
    switch (takes) {
    case CLI_TAKES_TEXT:
        fputs(":", stdout);
        return;
    case CLI_TAKES_FILE:
        fputs("_tare_files -f", stdout);
        return;
    case CLI_TAKES_FOLDER:
        fputs("_tare_files -d", stdout);
        return;
    case CLI_TAKES_MODEL:
        fputs("_tare_models", stdout);
        return;
    case CLI_TAKES_TYPE:
        fputs("_tare_offer '", stdout);
        cli_shell_put_types();
        putchar('\'');
        return;
    case CLI_TAKES_VERB:
        fputs("_tare_offer \"$verbs\"", stdout);
        return;
    }
}

/* Prints the flags of each verb that take a value. */
static void put_takes(void)
{
    const struct cli_verb *verb;
    puts("    case $verb in");
    for (size_t i = 0; (verb = cli_verb_get(i)); i++) {
        size_t n = 0;
        for (size_t k = 0; k < verb->n_flags; k++) {
            const struct cli_flag *flag = &verb->flags[k];
            if (!flag->value)
                continue;
            if (!n++)
                printf("    %s) takes=' ", verb->name);
            printf("--%s ", flag->name);
            if (flag->letter)
                printf("-%c ", flag->letter);
        }
        if (n)
            puts("' ;;");
    }
    puts("    esac");
}

static void put_values(void)
{
    const struct cli_verb *verb;
    puts("    if [[ $flag ]]; then\n    case \"$verb $flag\" in");
    for (size_t i = 0; (verb = cli_verb_get(i)); i++)
        for (size_t k = 0; k < verb->n_flags; k++) {
            const struct cli_flag *flag = &verb->flags[k];
            if (!cli_flag_choice(flag, 0) && flag->takes == CLI_TAKES_TEXT)
                continue;
            put_pattern(verb, flag);
            if (cli_flag_choice(flag, 0)) {
                fputs("_tare_offer '", stdout);
                cli_shell_put_choices(flag);
                putchar('\'');
            } else {
                put_offer(flag->takes);
            }
            puts(" ;;");
        }
    puts("    esac\n    return\n    fi");
}

static void put_flags(void)
{
    const struct cli_verb *verb;
    puts("    case $verb in");
    for (size_t i = 0; (verb = cli_verb_get(i)); i++) {
        printf("    %s) flags='", verb->name);
        for (size_t k = 0; k < verb->n_flags; k++) {
            const struct cli_flag *flag = &verb->flags[k];
            printf("%s--%s", flag->kind == CLI_LIST ? "+" : "", flag->name);
            if (flag->letter)
                printf(",-%c", flag->letter);
            for (size_t j = 0; flag->either && j < verb->n_flags; j++)
                if (j != k && verb->flags[j].either == flag->either) {
                    printf(",--%s", verb->flags[j].name);
                    if (verb->flags[j].letter)
                        printf(",-%c", verb->flags[j].letter);
                }
            putchar(' ');
        }
        puts("--help' ;;");
    }
    puts("    esac");
}

static void put_words(void)
{
    const struct cli_verb *verb;
    puts("    case \"$verb $n\" in");
    for (size_t i = 0; (verb = cli_verb_get(i)); i++)
        for (int k = 0; k < CLI_WORDS && verb->words[k].name; k++) {
            const struct cli_word *word = &verb->words[k];
            if (word->repeats)
                printf("    '%s '*) ", verb->name);
            else
                printf("    '%s %d') ", verb->name, k);
            if (word->choices) {
                fputs("_tare_offer '", stdout);
                cli_shell_put_list(word->choices);
                putchar('\'');
            } else {
                put_offer(word->takes);
            }
            puts(" ;;");
        }
    puts("    esac");
}

void cli_bash_print(void)
{
    printf("# bash completion of tare %s, made by: tare completion bash\n\n", tare_version());
    cli_shell_put_lines(helpers);
    puts("_tare()\n{");
    puts("    local cur=${COMP_WORDS[COMP_CWORD]} verb=${COMP_WORDS[1]} IFS=$' \\t\\n'");
    puts("    local prefix='' flag='' ended='' given=' ' takes='' flags='' word='' n=0 i=2");
    fputs("    local verbs='", stdout);
    cli_shell_put_verbs();
    puts("'\n    COMPREPLY=()\n    if ((COMP_CWORD == 1)); then\n"
         "        _tare_offer \"$verbs\"\n"
         "        [[ $cur == -* ]] && _tare_offer '--help --version'\n"
         "        return\n    fi");
    put_takes();
    cli_shell_put_lines(scan);
    put_values();
    put_flags();
    puts("    if [[ $cur == -* && -z $ended ]]; then\n        _tare_flags \"$flags\"\n        return\n    fi");
    put_words();
    puts("    [[ -z $cur && -z $ended && ${#COMPREPLY[@]} -eq 0 ]] && _tare_flags \"$flags\"\n    return 0\n}\n");
    puts("complete -F _tare tare");
}
