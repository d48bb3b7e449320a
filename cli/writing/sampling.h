/* SPDX-License-Identifier: MIT
 * sampling.h - the flags that say how a text is written, for the verbs that write one. */
#ifndef TARE_CLI_SAMPLING_H
#define TARE_CLI_SAMPLING_H

#include "cli.h"
#include "file.h"

/* The values of the flags. */
struct cli_sampling {
    double temp, top_p, min_p, typical, repetition, presence, frequency;
    int64_t most, top_k, window, seed;
    struct cli_list bias, stops;
    const char *schema, *grammar;
    /* "none", "lookup", the name of a smaller model, or NULL. */
    const char *draft;
};
#define CLI_SAMPLING_INIT                                                                                              \
    {                                                                                                                  \
        .top_p = 1, .typical = 1, .repetition = 1, .most = 256, .window = 64, .seed = -1                               \
    }
/* Elements of a verb's list of flags: `s` is the struct of its values, `m` the member that is a struct cli_sampling. */
#define CLI_FLAGS_SAMPLING(s, m)                                                                                       \
    {.name = "max-tokens",                                                                                             \
     CLI_IS_WHOLE(s, m.most, 1, INT32_MAX),                                                                            \
     .value = "N",                                                                                                     \
     .usual = true,                                                                                                    \
     .help = "most tokens to write; default 256, in a chat 2048"},                                                     \
        {.name = "temp",                                                                                               \
         CLI_IS_REAL(s, m.temp, 0, 100),                                                                               \
         .value = "T",                                                                                                 \
         .usual = true,                                                                                                \
         .help = "temperature; default 0: always the likeliest"},                                                      \
        {.name = "top-p",                                                                                              \
         CLI_IS_REAL(s, m.top_p, 0, 1),                                                                                \
         .value = "P",                                                                                                 \
         .help = "only the likeliest, up to this sum; default 1: all"},                                                \
        {.name = "top-k",                                                                                              \
         CLI_IS_WHOLE(s, m.top_k, 0, INT32_MAX),                                                                       \
         .value = "K",                                                                                                 \
         .help = "only the K likeliest; default 0: all"},                                                              \
        {.name = "min-p",                                                                                              \
         CLI_IS_REAL(s, m.min_p, 0, 1),                                                                                \
         .value = "P",                                                                                                 \
         .help = "none below this part of the likeliest; default 0"},                                                  \
        {.name = "typical",                                                                                            \
         CLI_IS_REAL(s, m.typical, 0, 1),                                                                              \
         .value = "P",                                                                                                 \
         .help = "locally typical ones, up to this sum; default 1: all"},                                              \
        {.name = "repetition-penalty",                                                                                 \
         CLI_IS_REAL(s, m.repetition, 0, 100),                                                                         \
         .value = "R",                                                                                                 \
         .help = "divide logits of recent tokens; default 1",                                                          \
         .more = "A logit that is not above 0 is multiplied instead. --repeat-last-n says which tokens are recent."},  \
        {.name = "presence-penalty",                                                                                   \
         CLI_IS_REAL(s, m.presence, -100, 100),                                                                        \
         .value = "R",                                                                                                 \
         .help = "subtract from recent tokens; default 0"},                                                            \
        {.name = "frequency-penalty",                                                                                  \
         CLI_IS_REAL(s, m.frequency, -100, 100),                                                                       \
         .value = "R",                                                                                                 \
         .help = "subtract each time that a recent token came; default 0"},                                            \
        {.name = "repeat-last-n",                                                                                      \
         CLI_IS_WHOLE(s, m.window, -1, INT32_MAX),                                                                     \
         .value = "N",                                                                                                 \
         .help = "how many tokens are recent; default 64, -1: all"},                                                   \
        {.name = "logit-bias",                                                                                         \
         CLI_IS_LIST(s, m.bias),                                                                                       \
         .value = "ID=V",                                                                                              \
         .help = "add V to the logit of a token",                                                                      \
         .more = "-inf forbids the token."},                                                                           \
        {.name = "seed",                                                                                               \
         CLI_IS_WHOLE(s, m.seed, 0, INT64_MAX),                                                                        \
         .value = "N",                                                                                                 \
         .help = "same seed, same text; default: another each time"},                                                  \
        {.name = "stop",                                                                                               \
         CLI_IS_LIST(s, m.stops),                                                                                      \
         .value = "STR",                                                                                               \
         .help = "end before this text",                                                                               \
         .more = "The text itself is not printed."},                                                                   \
        {.name = "json-schema",                                                                                        \
         CLI_IS_TEXT(s, m.schema),                                                                                     \
         .value = "FILE",                                                                                              \
         .takes = CLI_TAKES_FILE,                                                                                      \
         .either = 'g',                                                                                                \
         .help = "write JSON that is valid by this schema",                                                            \
         .more = "What of a schema is not supported is refused by name (docs/grammar.md)."},                           \
        {.name = "grammar",                                                                                            \
         CLI_IS_TEXT(s, m.grammar),                                                                                    \
         .value = "FILE",                                                                                              \
         .takes = CLI_TAKES_FILE,                                                                                      \
         .either = 'g',                                                                                                \
         .help = "write what this grammar (GBNF) allows",                                                              \
         .more = "It is written as for llama.cpp (docs/grammar.md)."},                                                 \
    {                                                                                                                  \
        .name = "draft", CLI_IS_TEXT(s, m.draft), .value = "HOW", .takes = CLI_TAKES_MODEL,                            \
        .help = "guess ahead, and check several guesses at once",                                                      \
        .more = "lookup guesses that what followed the last tokens before follows again. "                             \
                "The name of a smaller model with the same tokenizer lets that one guess. "                            \
                "The text is the same, at any temperature."                                                            \
    }

/* The same in the library's terms. options points into this struct and into argv. grammar.data is NULL without a
 * grammar. */
struct cli_generation {
    struct tare_sampling sampling;
    struct tare_generate_options options;
    struct tare_bias bias[CLI_LIST_MOST];
    struct cli_file grammar;
    enum tare_grammar_kind kind;
    /* The smaller model of TARE_DRAFT_MODEL, for cli_draft_open(). */
    const char *drafter;
};

/* Translates the flags and reads the file of the grammar. *made must not be moved afterwards. Returns CLI_GO_ON or the
 * exit status. */
int cli_sampling_take(const struct cli_verb *verb, const struct cli_sampling *asked, struct cli_generation *made);
void cli_generation_release(struct cli_generation *made);

#endif
