/* SPDX-License-Identifier: MIT
 * help.c - tare help, and what the tables say as text. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "documents/help.h"
#include "documents/manual.h"
#include "print.h"

static const struct cli_marks plain = {"", "", "", "-"};

/* Adds to a text of CLI_LINE bytes what still fits. */
__attribute__((format(printf, 2, 3))) static void add(char text[CLI_LINE], const char *format, ...)
{
    const size_t at = strlen(text);
    va_list args;
    va_start(args, format);
    vsnprintf(text + at, CLI_LINE - at, format, args);
    va_end(args);
}

/* Adds a name whose dashes are marked as those of flags are. */
static void add_name(char text[CLI_LINE], const struct cli_marks *m, const char *name)
{
    for (; *name; name++)
        if (*name == '-')
            add(text, "%s", m->dash);
        else
            add(text, "%c", *name);
}

static void add_flag(char text[CLI_LINE], const struct cli_marks *m, const struct cli_flag *flag)
{
    add(text, "%s%s", m->flag, m->dash);
    if (flag->letter) {
        add(text, "%c", flag->letter);
    } else {
        add(text, "%s", m->dash);
        add_name(text, m, flag->name);
    }
    add(text, "%s", m->end);
    if (flag->value)
        add(text, " %s%s%s", m->value, flag->value, m->end);
}

/* Is it the first of the flags that exclude each other? A flag that excludes none is. */
static bool leads(const struct cli_verb *verb, size_t flag)
{
    const struct cli_flag *flags = verb->flags;
    for (size_t i = 0; i < flag; i++)
        if (flags[flag].either && flags[i].either == flags[flag].either)
            return false;
    return true;
}

static void add_words(const struct cli_verb *verb, const struct cli_marks *m, char text[CLI_LINE])
{
    int open = 0;
    for (int i = 0; i < CLI_WORDS && verb->words[i].name; i++) {
        const struct cli_word *word = &verb->words[i];
        while (open && !word->inside) {
            add(text, "]");
            open--;
        }
        add(text, " %s%s%s%s%s", word->optional ? "[" : "", m->value, word->name, m->end, word->repeats ? " ..." : "");
        open += word->optional;
    }
    while (open--)
        add(text, "]");
}

void cli_help_marked_usage(const struct cli_verb *verb, const struct cli_marks *m, char text[CLI_LINE])
{
    *text = 0;
    add(text, "%stare %s%s", m->flag, verb->name, m->end);
    add_words(verb, m, text);
    for (int needed = 1; needed >= 0; needed--)
        for (size_t i = 0; i < verb->n_flags; i++) {
            const struct cli_flag *flag = &verb->flags[i];
            if (flag->needed != needed || !(needed || flag->usual) || !leads(verb, i))
                continue;
            add(text, needed ? " " : " [");
            add_flag(text, m, flag);
            for (size_t k = i + 1; k < verb->n_flags && flag->either; k++)
                if (verb->flags[k].either == flag->either) {
                    add(text, " | ");
                    add_flag(text, m, &verb->flags[k]);
                }
            add(text, needed ? "" : "]");
        }
}

void cli_help_usage(const struct cli_verb *verb, char text[CLI_LINE])
{
    cli_help_marked_usage(verb, &plain, text);
}

void cli_help_flag(const struct cli_flag *flag, char text[CLI_LINE])
{
    *text = 0;
    add_flag(text, &plain, flag);
}

void cli_help_choices(const struct cli_flag *flag, char text[CLI_LINE])
{
    const char *choice, *next;
    *text = 0;
    for (size_t i = 0; (choice = cli_flag_choice(flag, i)); i++) {
        next = cli_flag_choice(flag, i + 1);
        add(text, "%s%s", choice, !next ? "" : cli_flag_choice(flag, i + 2) ? ", " : " or ");
    }
}

void cli_help_line(const struct cli_flag *flag, char text[CLI_LINE])
{
    char choices[CLI_LINE];
    *text = 0;
    add(text, "%s", flag->help);
    if (flag->kind != CLI_WHOLE && cli_flag_choice(flag, 0)) {
        cli_help_choices(flag, choices);
        add(text, ": %s", choices);
    }
    if (flag->kind == CLI_LIST)
        add(text, "; may come again");
}

/* Writes the left column of the help: "-o, --output DIR". Returns its length. */
static int left_column(const struct cli_flag *flag, char text[CLI_LINE])
{
    *text = 0;
    if (flag->letter)
        add(text, "-%c, ", flag->letter);
    add(text, "--%s%s%s", flag->name, flag->value ? " " : "", flag->value ? flag->value : "");
    return (int)strlen(text);
}

void cli_help_print(const struct cli_verb *verb)
{
    char left[CLI_LINE], line[CLI_LINE];
    int width = 20;
    cli_help_usage(verb, line);
    printf("%s\n\n%s\n\n", line, verb->summary);
    for (size_t i = 0; i < verb->n_flags; i++) {
        const int length = left_column(&verb->flags[i], left);
        width = length > width ? length : width;
    }
    for (size_t i = 0; i < verb->n_flags; i++) {
        left_column(&verb->flags[i], left);
        cli_help_line(&verb->flags[i], line);
        printf("  %-*s %s\n", width, left, line);
    }
    printf("  %-*s %s\n", width, "--help", "this text");
}

void cli_help_print_all(FILE *file)
{
    const struct cli_verb *verb;
    char line[CLI_LINE];
    fputs("tare loads, checks, converts and runs quantized language-model checkpoints.\n\n", file);
    for (size_t i = 0; (verb = cli_verb_get(i)); i++) {
        cli_help_usage(verb, line);
        const char *rest = line + strlen("tare ") + strlen(verb->name);
        fprintf(file, "  tare %-10s %s\n      %s\n", verb->name, rest + (*rest == ' '), verb->summary);
    }
    fputs("\n  tare help VERB        the flags of a verb; man tare-VERB has more\n"
          "  tare --version\n\n"
          "MODEL is a folder, a .safetensors or .gguf file, or ORG/NAME in the Hugging Face cache.\n"
          "Without MODEL: fable, a small story model that is built in.\n\n"
          "Exit codes: 0 ok, 1 it loads, with findings (check, verify) or differences (diff), 2 usage, 3 a file is not "
          "there,\n"
          "4 refused, 5 out of memory or space, 130 interrupted.\n",
          file);
}

struct asked {
    bool man;
    const char *date;
};

static const struct cli_flag flags[] = {
    {.name = "man",
     CLI_IS_SWITCH(struct asked, man),
     .usual = true,
     .help = "the source of the manual page instead",
     .more = "With tare help --man check | man -l - it is read where no pages are installed."},
    {.name = "date",
     CLI_IS_TEXT(struct asked, date),
     .value = "DATE",
     .help = "with --man: the day that stands on the page, as 2026-11-24"},
};

static int run(const struct cli_verb *verb, int argc, char **argv)
{
    struct asked asked = {0};
    int words = 0;
    const int status = cli_parse(verb, &asked, argc, argv, &words);
    if (status != CLI_GO_ON)
        return status;
    const struct cli_verb *about = words ? cli_verb_find(argv[0]) : NULL;
    if (words && !about)
        return CLI_USAGE;
    if (asked.man)
        cli_manual_print(about, asked.date);
    else if (about)
        cli_help_print(about);
    else
        cli_help_print_all(stdout);
    return 0;
}

const struct cli_verb cli_help = {
    .name = "help",
    .summary = "The verbs, or the flags of one.",
    .about = "Prints what the verbs are, or with VERB the usage and the flags of that one, as tare VERB --help does.",
    .words = {{.name = "VERB", .takes = CLI_TAKES_VERB, .optional = true}},
    .flags = flags,
    .n_flags = sizeof flags / sizeof *flags,
    .examples = {{"tare help convert", "Lists the flags of tare convert."},
                 {"tare help --man convert >tare-convert.1", "Writes its manual page into a file."}},
    .only_prints = true,
    .see = "completion",
    .run = run,
};
