/* SPDX-License-Identifier: MIT
 * cli.h - the verbs, and how their words and flags are read. The command knows the library by tare.h alone. */
#ifndef TARE_CLI_H
#define TARE_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tare.h"

enum { CLI_USAGE = 2 }; /* exit status of wrong usage; those of errors are tare_code_exit()'s */

struct cli_verb {
    const char *name;
    const char *usage;   /* what follows the name */
    const char *summary; /* one line */
    int (*run)(const struct cli_verb *verb, int argc,
               char **argv); /* argv: what follows the verb; gives the exit status */
};

int cli_check(const struct cli_verb *verb, int argc, char **argv);
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
    const char *name; /* without dashes */
    char letter;      /* a second name, or 0 */
    enum cli_kind kind;
    void *to;
    const char *value; /* its placeholder in the help */
    const char *help;
    int64_t least, most;
    const char *const *choices; /* ends with NULL */
};

enum { CLI_GO_ON = -1 };

/*
 * Read flags into their places and move the other words to the front of argv: *words of them, at most `room`.
 * `--flag value` and `--flag=value` are the same; `--` ends the flags; --help prints the verb's help.
 * Returns CLI_GO_ON, or the exit status to end with.
 */
int cli_parse(const struct cli_verb *verb, const struct cli_flag *flags, size_t n, int argc, char **argv, int room,
              int *words);

/* A whole number or a real one with nothing after it; false where it is none or outside the range. */
bool cli_whole(const char *text, int64_t least, int64_t most, int64_t *number);
bool cli_real(const char *text, double least, double most, double *number);

/* One line on stderr, "tare: ...", and the status of wrong usage. */
int cli_wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The flags that several verbs have, to stand in their lists. */
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
