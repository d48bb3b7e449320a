/* SPDX-License-Identifier: MIT
 * options.c - reads the flags and words of a verb, and refuses what it does not know. */
#include "cli.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "near.h"
#include "print.h"

const char *const cli_tie_choices[] = {"auto", "config", "proved", "keep", NULL};
const char *const cli_zeros_choices[] = {"auto", "v1", "v2", NULL};

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

enum { FLAG_SIZE = 64 };

/* Writes the left column of the help: "-o, --output DIR". Returns its length. */
static int flag_text(const struct cli_flag *flag, char text[FLAG_SIZE])
{
    const char letter[] = {'-', flag->letter, ',', ' ', 0};
    return snprintf(text, FLAG_SIZE, "%s--%s%s%s", flag->letter ? letter : "", flag->name, flag->value ? " " : "",
                    flag->value ? flag->value : "");
}

static int print_help(const struct cli_verb *verb, const struct cli_flag *flags, size_t n)
{
    printf("tare %s %s\n\n%s\n\n", verb->name, verb->usage, verb->summary);
    char left[FLAG_SIZE];
    int width = 20;
    for (size_t i = 0; i < n; i++) {
        const int length = flag_text(&flags[i], left);
        width = length > width ? length : width;
    }
    for (size_t i = 0; i < n; i++) {
        flag_text(&flags[i], left);
        /* A line break in a help text is written for a column of 20. */
        printf("  %-*s %s\n", width, left, flags[i].help);
    }
    printf("  %-*s %s\n", width, "--help", "this text");
    return 0;
}

static int unknown_flag(const struct cli_verb *verb, const struct cli_flag *flags, size_t n, const char *word)
{
    struct cli_near near = cli_near_init(word + strspn(word, "-"));
    for (size_t i = 0; i < n; i++)
        cli_near_offer(&near, flags[i].name);
    if (near.n && near.distance[0] <= 2)
        return cli_wrong("%s: unknown flag %s; did you mean --%s?", verb->name, word, near.name[0]);
    return cli_wrong("%s: unknown flag %s; tare help %s lists them", verb->name, word, verb->name);
}

static int set_choice(const struct cli_verb *verb, const struct cli_flag *flag, const char *value)
{
    char list[256] = "";
    for (int i = 0; flag->choices[i]; i++) {
        const size_t at = strlen(list);
        if (strcmp(value, flag->choices[i]) == 0) {
            *(int *)flag->to = i;
            return CLI_GO_ON;
        }
        snprintf(list + at, sizeof list - at, "%s%s", at ? ", " : "", flag->choices[i]);
    }
    return cli_wrong("%s: --%s takes %s, not \"%s\"", verb->name, flag->name, list, value);
}

static int set_flag(const struct cli_verb *verb, const struct cli_flag *flag, const char *value)
{
    switch (flag->kind) {
    case CLI_SWITCH:
        *(bool *)flag->to = true;
        return CLI_GO_ON;
    case CLI_WHOLE:
        if (cli_whole(value, flag->least, flag->most, flag->to))
            return CLI_GO_ON;
        return cli_wrong("%s: --%s takes a whole number from %lld to %lld, not \"%s\"", verb->name, flag->name,
                         (long long)flag->least, (long long)flag->most, value);
    case CLI_REAL:
        if (cli_real(value, (double)flag->least, (double)flag->most, flag->to))
            return CLI_GO_ON;
        return cli_wrong("%s: --%s takes a number from %lld to %lld, not \"%s\"", verb->name, flag->name,
                         (long long)flag->least, (long long)flag->most, value);
    case CLI_TEXT:
        if (!*value)
            return cli_wrong("%s: --%s needs a value that is not empty", verb->name, flag->name);
        *(const char **)flag->to = value;
        return CLI_GO_ON;
    case CLI_LIST: {
        struct cli_list *list = flag->to;
        if (!*value || list->n == CLI_LIST_MOST)
            return cli_wrong("%s: --%s takes a value that is not empty, at most %d times", verb->name, flag->name,
                             CLI_LIST_MOST);
        list->items[list->n++] = value;
        return CLI_GO_ON;
    }
    case CLI_CHOICE:
        return set_choice(verb, flag, value);
    }
    return CLI_USAGE;
}

/* Finds the flag that a word names: "-o", "--name" or "--name=value". NULL when there is none. */
static const struct cli_flag *find_flag(const struct cli_flag *flags, size_t n, const char *word)
{
    const size_t length = strcspn(word, "=");
    for (size_t i = 0; i < n; i++) {
        if (word[1] == '-' && length - 2 == strlen(flags[i].name) && memcmp(word + 2, flags[i].name, length - 2) == 0)
            return &flags[i];
        if (word[1] != '-' && length == 2 && word[1] == flags[i].letter)
            return &flags[i];
    }
    return NULL;
}

int cli_parse(const struct cli_verb *verb, const struct cli_flag *flags, size_t n, int argc, char **argv, int room,
              int *words)
{
    /* True until "--", which ends the flags. */
    bool open = true;
    *words = 0;
    for (int i = 0; i < argc; i++) {
        char *word = argv[i];
        if (!open || word[0] != '-' || !word[1]) {
            if (*words == room)
                return cli_wrong("%s: one word too many: \"%s\"; usage: tare %s %s", verb->name, word, verb->name,
                                 verb->usage);
            argv[(*words)++] = word;
            continue;
        }
        if (strcmp(word, "--") == 0) {
            open = false;
            continue;
        }
        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
            return print_help(verb, flags, n);
        const struct cli_flag *flag = find_flag(flags, n, word);
        if (!flag)
            return unknown_flag(verb, flags, n, word);
        const char *value = strchr(word, '=');
        if (flag->kind == CLI_SWITCH && value)
            return cli_wrong("%s: --%s takes no value", verb->name, flag->name);
        if (flag->kind != CLI_SWITCH && !value && i + 1 == argc)
            return cli_wrong("%s: --%s needs a value", verb->name, flag->name);
        value = value ? value + 1 : flag->kind == CLI_SWITCH ? "" : argv[++i];
        const int status = set_flag(verb, flag, value);
        if (status != CLI_GO_ON)
            return status;
    }
    return CLI_GO_ON;
}
