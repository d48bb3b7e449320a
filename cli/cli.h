/* SPDX-License-Identifier: MIT
 * cli.h - verbs and flags as tables. Parsing, `tare VERB --help`, the pages of the manual and the completions of the
 * shells all read these tables, so that what one of them knows, all know. The command knows the library by tare.h
 * alone, and src/hub, which is its own. */
#ifndef TARE_CLI_H
#define TARE_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tare.h"

/* The exit status of wrong usage; tare_code_exit() gives the status of an error. */
enum { CLI_USAGE = 2 };

enum cli_kind {
    CLI_SWITCH, /* to: bool */
    CLI_WHOLE,  /* to: int64_t, from least to most */
    CLI_REAL,   /* to: double, from least to most */
    CLI_TEXT,   /* to: const char *, borrowed from argv */
    CLI_CHOICE, /* to: int, the index of the choice */
    CLI_LIST    /* to: struct cli_list; the flag may come several times */
};

/* What a word or the value of a flag names, for a shell that completes it. */
enum cli_takes {
    CLI_TAKES_TEXT, /* nothing that a shell knows */
    CLI_TAKES_FILE,
    CLI_TAKES_FOLDER,
    CLI_TAKES_MODEL, /* a folder, a .gguf or .safetensors file, or ORG/NAME of the hub */
    CLI_TAKES_TYPE,  /* a model_type, as tare_model_type_get() lists them */
    CLI_TAKES_VERB
};

enum { CLI_LIST_MOST = 64 };
struct cli_list {
    const char *items[CLI_LIST_MOST]; /* borrowed from argv */
    size_t n;
};

struct cli_flag {
    /* Without dashes. */
    const char *name;
    /* A second name, or 0. */
    char letter;
    enum cli_kind kind;
    /* Where the value goes: the offset in the struct that the verb hands to cli_parse(). */
    size_t to;
    /* The placeholder of the value. NULL for a switch. */
    const char *value;
    enum cli_takes takes;
    /* One line for the help and the shells, without a period; choices are added to it, but for numbers. */
    const char *help;
    /* Further sentences for the manual, or NULL. */
    const char *more;
    int64_t least;
    int64_t most;
    /* The words that a CLI_CHOICE takes, and that a shell offers for other kinds: a list that ends with NULL, or a
     * function that gives NULL past the end. */
    const char *const *choices;
    const char *(*choice)(size_t index);
    /* The verb does nothing without it. */
    bool needed;
    /* It stands in the one line of usage. */
    bool usual;
    /* Flags of a verb with the same letter here exclude each other; 0: none. */
    char either;
};

/* The offset of a member, which must have the type of the flag's kind: comparing pointers to other types is an error. */
#define CLI_TO(type, s, member) (offsetof(s, member) + 0 * sizeof((type *)0 == &((s *)0)->member))
#define CLI_IS_SWITCH(s, member) .kind = CLI_SWITCH, .to = CLI_TO(bool, s, member)
#define CLI_IS_TEXT(s, member) .kind = CLI_TEXT, .to = CLI_TO(const char *, s, member)
#define CLI_IS_LIST(s, member) .kind = CLI_LIST, .to = CLI_TO(struct cli_list, s, member)
#define CLI_IS_CHOICE(s, member) .kind = CLI_CHOICE, .to = CLI_TO(int, s, member)
#define CLI_IS_WHOLE(s, member, low, high)                                                                             \
    .kind = CLI_WHOLE, .to = CLI_TO(int64_t, s, member), .least = (low), .most = (high)
#define CLI_IS_REAL(s, member, low, high)                                                                              \
    .kind = CLI_REAL, .to = CLI_TO(double, s, member), .least = (low), .most = (high)

/* A word that is no flag: MODEL, say. */
struct cli_word {
    const char *name;
    enum cli_takes takes;
    /* The words that it can be, NULL after the last one; NULL: any. */
    const char *const *choices;
    bool optional;
    /* It may come only after the word before it, which is optional, too: [MODEL [TENSOR]]. */
    bool inside;
    /* The last word of a verb only: it may come again. */
    bool repeats;
};

struct cli_example {
    /* As typed in the root of the repository, where models/fable is. Tests run it. */
    const char *command;
    /* What it does, as a sentence. */
    const char *does;
};

enum { CLI_WORDS = 4, CLI_EXAMPLES = 5 };

struct cli_verb {
    const char *name;
    /* One line. */
    const char *summary;
    /* The DESCRIPTION of the manual: sentences, with an empty line between paragraphs. */
    const char *about;
    /* The first without a name ends the list. */
    struct cli_word words[CLI_WORDS];
    const struct cli_flag *flags;
    size_t n_flags;
    struct cli_example examples[CLI_EXAMPLES];
    /* What exit status 1 means, as a sentence; NULL: the verb does not use it. */
    const char *exit_one;
    /* It opens no model and writes no files, so it has few ways to fail. */
    bool only_prints;
    /* Flags that are not given are read from the environment: "TARE_SERVE_" makes TARE_SERVE_MAX_QUEUE of --max-queue.
     * NULL: the verb does not look there. */
    const char *environment;
    /* The verbs that its page refers to, with spaces between. */
    const char *see;
    /* argv has the words after the verb. Returns the exit status. */
    int (*run)(const struct cli_verb *verb, int argc, char **argv);
};

#define VERB(verb) extern const struct cli_verb cli_##verb;
#include "verbs.def"
#undef VERB

/* Verb number `index` in the order of the help; NULL past the end. */
const struct cli_verb *cli_verb_get(size_t index);

/* NULL when there is none of that name; then the message is on stderr. */
const struct cli_verb *cli_verb_find(const char *name);

/* Choice number `index` of a flag; NULL past the end. */
const char *cli_flag_choice(const struct cli_flag *flag, size_t index);

/* Returned instead of an exit status when nothing went wrong so far. */
enum { CLI_GO_ON = -1 };

/*
 * Read flags into their places in *to and move the other words to the front of argv: *words of them.
 * `--flag value` and `--flag=value` are the same; `--` ends the flags; --help prints the verb's help. A flag that is not
 * there is read from the environment, where the verb says so.
 * Returns CLI_GO_ON, or the exit status to end with: also when a word or flag that is needed is not there, or flags
 * came together that exclude each other.
 */
int cli_parse(const struct cli_verb *verb, void *to, int argc, char **argv, int *words);

/* Read a whole number, or a real one, that fills the whole text. Return false when it is none or out of range. */
bool cli_whole(const char *text, int64_t least, int64_t most, int64_t *number);
bool cli_real(const char *text, double least, double most, double *number);

/* Writes one line on stderr, "tare: ...", and returns CLI_USAGE. */
int cli_wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The flags that several verbs share: each macro is an element of a verb's list of flags. */
extern const char *const cli_tie_choices[], *const cli_zeros_choices[], *const cli_kv_choices[];
extern const char cli_tie_more[], cli_zeros_more[], cli_kv_more[];
#define CLI_FLAG_TIE(s, member)                                                                                        \
    {                                                                                                                  \
        .name = "tie", CLI_IS_CHOICE(s, member), .value = "RULE", .help = "what becomes of a redundant head",          \
        .more = cli_tie_more, .choices = cli_tie_choices                                                               \
    }
#define CLI_FLAG_ZEROS(s, member)                                                                                      \
    {                                                                                                                  \
        .name = "zeros", CLI_IS_CHOICE(s, member), .value = "RULE", .help = "what GPTQ's stored zeros mean",           \
        .more = cli_zeros_more, .choices = cli_zeros_choices                                                           \
    }
#define CLI_FLAG_KV_BITS(s, member)                                                                                    \
    {                                                                                                                  \
        .name = "kv-bits", CLI_IS_WHOLE(s, member, 4, 32), .value = "BITS",                                            \
        .help = "keep keys and values in 32, 16, 8 or 4 bits; default 16", .more = cli_kv_more,                        \
        .choices = cli_kv_choices                                                                                      \
    }
#define CLI_FLAG_THREADS(s, member)                                                                                    \
    {                                                                                                                  \
        .name = "threads", CLI_IS_WHOLE(s, member, 0, 1024), .value = "N", .help = "threads; 0: one a core"            \
    }

#define CLI_FLAG_OUTPUT(s, member)                                                                                     \
    {                                                                                                                  \
        .name = "output", .letter = 'o', CLI_IS_TEXT(s, member), .value = "DIR", .takes = CLI_TAKES_FOLDER,            \
        .needed = true, .help = "the folder to write; it may not exist yet"                                            \
    }
#define CLI_FLAG_NO_DATA(s, member)                                                                                    \
    {                                                                                                                  \
        .name = "no-data", CLI_IS_SWITCH(s, member), .help = "plan from headers only: the head is not compared"        \
    }

#endif
