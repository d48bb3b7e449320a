/* SPDX-License-Identifier: MIT
 * options.c - reads the flags and words of a verb, and refuses what it does not know. */
#include "cli.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "documents/help.h"
#include "near.h"
#include "print.h"

const char *const cli_tie_choices[] = {"auto", "config", "proved", "keep", NULL};
const char cli_tie_more[] =
    "A redundant head is an output head in the files for which the model has no parameter. "
    "auto, the default: the flags of config.json decide; where only a default said tied and the head differs, it is "
    "the model's own, or refused. "
    "config: flags and defaults decide, and a difference only warns. "
    "proved: it is dropped only if it is proved equal to the embedding. "
    "keep: the head becomes the model's own.";

const char *const cli_zeros_choices[] = {"auto", "v1", "v2", NULL};
const char cli_zeros_more[] = "auto, the default: what checkpoint_format says; a file whose data say otherwise is "
                              "refused. v1: the zero minus 1. v2: the zero.";

const char *const cli_kv_choices[] = {"32", "16", "8", "4", NULL};
const char cli_kv_more[] = "32 is float32 and 16 is float16. 8 and 4 come in blocks of 32 with a scale of 16 bits, 4 "
                           "with a lowest value too: 8.5 and 5 bits in all.";

const char *cli_flag_choice(const struct cli_flag *flag, size_t index)
{
    return flag->choice ? flag->choice(index) : flag->choices ? flag->choices[index] : NULL;
}

int cli_wrong(const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    cli_error("", text);
    return CLI_USAGE;
}

bool cli_whole(const char *text, int64_t least, int64_t most, int64_t *number)
{
    char *end = NULL;
    if (!(*text == '-' || (*text >= '0' && *text <= '9'))) /* strtoll() would also skip spaces and take a plus */
        return false;
    errno = 0;
    const long long value = strtoll(text, &end, 10);
    if (errno || end == text || *end || value < least || value > most)
        return false;
    *number = value;
    return true;
}

bool cli_real(const char *text, double least, double most, double *number)
{
    char *end = NULL;
    if (!*text || !strchr("-.0123456789", *text))
        return false;
    errno = 0;
    const double value = strtod(text, &end);
    if (errno || end == text || *end || !isfinite(value) || value < least || value > most)
        return false;
    *number = value;
    return true;
}

static int unknown_flag(const struct cli_verb *verb, const char *word)
{
    struct cli_near near = cli_near_init(word + strspn(word, "-"));
    for (size_t i = 0; i < verb->n_flags; i++)
        cli_near_offer(&near, verb->flags[i].name);
    if (near.n && near.distance[0] <= 2)
        return cli_wrong("%s: unknown flag %s; did you mean --%s?", verb->name, word, near.name[0]);
    return cli_wrong("%s: unknown flag %s; tare help %s lists them", verb->name, word, verb->name);
}

static int set_choice(const struct cli_verb *verb, const struct cli_flag *flag, int *to, const char *value)
{
    char list[CLI_LINE];
    const char *choice;
    for (size_t i = 0; (choice = cli_flag_choice(flag, i)); i++)
        if (strcmp(value, choice) == 0) {
            *to = (int)i;
            return CLI_GO_ON;
        }
    cli_help_choices(flag, list);
    return cli_wrong("%s: --%s takes %s, not \"%s\"", verb->name, flag->name, list, value);
}

/* Adds a value to a list, which holds only so many. */
static int add_value(const struct cli_verb *verb, const struct cli_flag *flag, struct cli_list *list, const char *value)
{
    if (!*value || list->n == CLI_LIST_MOST)
        return cli_wrong("%s: --%s takes a value that is not empty, at most %d times", verb->name, flag->name,
                         CLI_LIST_MOST);
    list->items[list->n++] = value;
    return CLI_GO_ON;
}

static int set_flag(const struct cli_verb *verb, const struct cli_flag *flag, void *options, const char *value)
{
    void *to = (char *)options + flag->to;
    switch (flag->kind) {
    case CLI_SWITCH:
        *(bool *)to = true;
        return CLI_GO_ON;
    case CLI_WHOLE:
        if (cli_whole(value, flag->least, flag->most, to))
            return CLI_GO_ON;
        return cli_wrong("%s: --%s takes a whole number from %lld to %lld, not \"%s\"", verb->name, flag->name,
                         (long long)flag->least, (long long)flag->most, value);
    case CLI_REAL:
        if (cli_real(value, (double)flag->least, (double)flag->most, to))
            return CLI_GO_ON;
        return cli_wrong("%s: --%s takes a number from %lld to %lld, not \"%s\"", verb->name, flag->name,
                         (long long)flag->least, (long long)flag->most, value);
    case CLI_TEXT:
        if (!*value)
            return cli_wrong("%s: --%s needs a value that is not empty", verb->name, flag->name);
        *(const char **)to = value;
        return CLI_GO_ON;
    case CLI_LIST:
        return add_value(verb, flag, to, value);
    case CLI_CHOICE:
        return set_choice(verb, flag, to, value);
    }
    return CLI_USAGE;
}

/* Finds the flag that a word names: "-o", "--name" or "--name=value". NULL when there is none. */
static const struct cli_flag *find_flag(const struct cli_verb *verb, const char *word)
{
    const size_t length = strcspn(word, "=");
    for (size_t i = 0; i < verb->n_flags; i++) {
        const struct cli_flag *flag = &verb->flags[i];
        if (word[1] == '-' && length - 2 == strlen(flag->name) && memcmp(word + 2, flag->name, length - 2) == 0)
            return flag;
        if (word[1] != '-' && length == 2 && word[1] == flag->letter)
            return flag;
    }
    return NULL;
}

/* What was on the command line. */
struct given {
    const struct cli_flag *flags[CLI_FLAGS];
    size_t n;
    int words;
};

static bool is_given(const struct given *given, const struct cli_flag *flag)
{
    for (size_t i = 0; i < given->n; i++)
        if (given->flags[i] == flag)
            return true;
    return false;
}

/* Refuses a flag that excludes one that was given before. */
static int take_flag(const struct cli_verb *verb, struct given *given, const struct cli_flag *flag)
{
    for (size_t i = 0; i < given->n; i++)
        if (flag->either && given->flags[i] != flag && given->flags[i]->either == flag->either)
            return cli_wrong("%s: --%s or --%s, not both", verb->name, given->flags[i]->name, flag->name);
    if (!is_given(given, flag) && given->n < CLI_FLAGS)
        given->flags[given->n++] = flag;
    return CLI_GO_ON;
}

/* Looks whether each word and flag that the verb needs was given. */
static int complete(const struct cli_verb *verb, const struct given *given)
{
    char text[CLI_LINE];
    for (int i = 0; i < CLI_WORDS && verb->words[i].name; i++)
        if (!verb->words[i].optional && i >= given->words) {
            cli_help_usage(verb, text);
            return cli_wrong("%s: %s is needed; usage: %s", verb->name, verb->words[i].name, text);
        }
    for (size_t i = 0; i < verb->n_flags; i++)
        if (verb->flags[i].needed && !is_given(given, &verb->flags[i])) {
            cli_help_flag(&verb->flags[i], text);
            return cli_wrong("%s: %s is needed: %s", verb->name, text, verb->flags[i].help);
        }
    return CLI_GO_ON;
}

/* How many words the verb takes. */
static int room_of(const struct cli_verb *verb)
{
    int n = 0;
    while (n < CLI_WORDS && verb->words[n].name)
        n++;
    return n && verb->words[n - 1].repeats ? INT_MAX : n;
}

/* Reads the flag argv[*i], and its value, which may be the next one. */
static int read_flag(const struct cli_verb *verb, struct given *given, void *to, int argc, char **argv, int *i)
{
    const char *word = argv[*i], *value = strchr(word, '=');
    const struct cli_flag *flag = find_flag(verb, word);
    if (!flag)
        return unknown_flag(verb, word);
    if (flag->kind == CLI_SWITCH && value)
        return cli_wrong("%s: --%s takes no value", verb->name, flag->name);
    if (flag->kind != CLI_SWITCH && !value && *i + 1 == argc)
        return cli_wrong("%s: --%s needs a value", verb->name, flag->name);
    value = value ? value + 1 : flag->kind == CLI_SWITCH ? "" : argv[++*i];
    const int status = take_flag(verb, given, flag);
    return status == CLI_GO_ON ? set_flag(verb, flag, to, value) : status;
}

/* Writes the variable of a flag: "TARE_SERVE_MAX_QUEUE". */
static void name_variable(const struct cli_verb *verb, const struct cli_flag *flag, char name[CLI_LINE])
{
    snprintf(name, CLI_LINE, "%s%s", verb->environment, flag->name);
    for (char *c = name + strlen(verb->environment); *c; c++)
        *c = *c == '-' ? '_' : *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c;
}

/* Reads the flags that are not on the command line from the environment, by the same rules. An empty variable is as good
 * as none, and that of a switch is 1 or 0. */
static int read_environment(const struct cli_verb *verb, struct given *given, void *to)
{
    int status = CLI_GO_ON;
    for (size_t i = 0; verb->environment && i < verb->n_flags && status == CLI_GO_ON; i++) {
        const struct cli_flag *flag = &verb->flags[i];
        char name[CLI_LINE];
        name_variable(verb, flag, name);
        const char *value = getenv(name);
        if (!value || !*value || is_given(given, flag))
            continue;
        if (flag->kind == CLI_SWITCH && strcmp(value, "0") == 0)
            continue;
        if (flag->kind == CLI_SWITCH && strcmp(value, "1") != 0)
            return cli_wrong("%s: %s is 1 or 0, not \"%s\"", verb->name, name, value);
        status = take_flag(verb, given, flag);
        if (status == CLI_GO_ON && (status = set_flag(verb, flag, to, value)) != CLI_GO_ON)
            fprintf(stderr, "tare: note: the value is that of %s in the environment\n", name);
    }
    return status;
}

int cli_parse(const struct cli_verb *verb, void *to, int argc, char **argv, int *words)
{
    struct given given = {0};
    /* True until "--", which ends the flags. */
    bool open = true;
    const int room = room_of(verb);
    int status = CLI_GO_ON;
    for (int i = 0; i < argc && status == CLI_GO_ON; i++) {
        char *word = argv[i];
        if (!open || word[0] != '-' || !word[1]) {
            if (given.words == room) {
                char text[CLI_LINE];
                cli_help_usage(verb, text);
                return cli_wrong("%s: one word too many: \"%s\"; usage: %s", verb->name, word, text);
            }
            argv[given.words++] = word;
        } else if (strcmp(word, "--") == 0) {
            open = false;
        } else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            cli_help_print(verb);
            return 0;
        } else {
            status = read_flag(verb, &given, to, argc, argv, &i);
        }
    }
    *words = given.words;
    if (status == CLI_GO_ON)
        status = read_environment(verb, &given, to);
    return status == CLI_GO_ON ? complete(verb, &given) : status;
}
