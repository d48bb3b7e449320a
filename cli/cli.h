/* SPDX-License-Identifier: MIT
 * cli.h - the verbs, and how their words and flags are read. The command knows the library by tare.h alone. */
#ifndef TARE_CLI_H
#define TARE_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tare.h"

/* The exit status of wrong usage; tare_code_exit() gives the status of an error. */
enum { CLI_USAGE = 2 };

struct cli_verb {
    const char *name;
    /* The words after the name, for the help. */
    const char *usage;
    /* One line. */
    const char *summary;
    /* argv has the words after the verb. Returns the exit status. */
    int (*run)(const struct cli_verb *verb, int argc, char **argv);
};

int cli_check(const struct cli_verb *verb, int argc, char **argv);
int cli_pull(const struct cli_verb *verb, int argc, char **argv);
int cli_ls(const struct cli_verb *verb, int argc, char **argv);
int cli_rm(const struct cli_verb *verb, int argc, char **argv);
int cli_search(const struct cli_verb *verb, int argc, char **argv);
int cli_models(const struct cli_verb *verb, int argc, char **argv);
int cli_explain(const struct cli_verb *verb, int argc, char **argv);
int cli_convert(const struct cli_verb *verb, int argc, char **argv);
int cli_repair(const struct cli_verb *verb, int argc, char **argv);
int cli_run(const struct cli_verb *verb, int argc, char **argv);
int cli_chat(const struct cli_verb *verb, int argc, char **argv);
int cli_logits(const struct cli_verb *verb, int argc, char **argv);
int cli_perplexity(const struct cli_verb *verb, int argc, char **argv);
int cli_bench(const struct cli_verb *verb, int argc, char **argv);
int cli_diff(const struct cli_verb *verb, int argc, char **argv);
int cli_verify(const struct cli_verb *verb, int argc, char **argv);
int cli_template(const struct cli_verb *verb, int argc, char **argv);
int cli_tokenize(const struct cli_verb *verb, int argc, char **argv);

enum cli_kind {
    CLI_SWITCH, /* to: bool */
    CLI_WHOLE,  /* to: int64_t, from least to most */
    CLI_REAL,   /* to: double, from least to most */
    CLI_TEXT,   /* to: const char *, borrowed from argv */
    CLI_CHOICE, /* to: int, the index in choices */
    CLI_LIST    /* to: struct cli_list; the flag may come several times */
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
    /* Where the value goes; its kind says of which type. */
    void *to;
    /* The placeholder of the value in the help. */
    const char *value;
    const char *help;
    int64_t least;
    int64_t most;
    /* CLI_CHOICE: the words, NULL after the last one. */
    const char *const *choices;
};

/* Returned instead of an exit status when nothing went wrong so far. */
enum { CLI_GO_ON = -1 };

/*
 * Read flags into their places and move the other words to the front of argv: *words of them, at most `room`.
 * `--flag value` and `--flag=value` are the same; `--` ends the flags; --help prints the verb's help.
 * Returns CLI_GO_ON, or the exit status to end with.
 */
int cli_parse(const struct cli_verb *verb, const struct cli_flag *flags, size_t n, int argc, char **argv, int room,
              int *words);

/* Read a whole number, or a real one, that fills the whole text. Return false when it is none or out of range. */
bool cli_whole(const char *text, int64_t least, int64_t most, int64_t *number);
bool cli_real(const char *text, double least, double most, double *number);

/* Writes one line on stderr, "tare: ...", and returns CLI_USAGE. */
int cli_wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The flags that several verbs share: each macro is an element of a verb's list of flags. */
extern const char *const cli_tie_choices[];
#define CLI_FLAG_TIE(to)                                                                                               \
    {                                                                                                                  \
        "tie", 0, CLI_CHOICE, (to), "RULE", "what becomes of a redundant head: auto, config, proved or keep", 0, 0,    \
            cli_tie_choices                                                                                            \
    }
extern const char *const cli_zeros_choices[];
#define CLI_FLAG_ZEROS(to)                                                                                             \
    {                                                                                                                  \
        "zeros", 0, CLI_CHOICE, (to), "RULE", "what GPTQ's stored zeros mean: auto, v1 (zero - 1) or v2", 0, 0,        \
            cli_zeros_choices                                                                                          \
    }
#define CLI_FLAG_KV_BITS(to)                                                                                           \
    {                                                                                                                  \
        "kv-bits", 0, CLI_WHOLE, (to), "BITS", "keep keys and values in 32, 16, 8 or 4 bits; default 16", 4, 32, NULL  \
    }
#define CLI_FLAG_THREADS(to)                                                                                           \
    {                                                                                                                  \
        "threads", 0, CLI_WHOLE, (to), "N", "threads; 0: one a core", 0, 1024, NULL                                    \
    }

#endif
