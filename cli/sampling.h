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
    int draft;
};
#define CLI_SAMPLING_INIT                                                                                              \
    {                                                                                                                  \
        .top_p = 1, .typical = 1, .repetition = 1, .most = 256, .window = 64, .seed = -1                               \
    }
extern const char *const cli_draft_choices[];
#define CLI_FLAGS_SAMPLING(s)                                                                                            \
    {"max-tokens", 0,   CLI_WHOLE, &(s)->most, "N", "most tokens to write; default 256, in a chat 2048", 1,              \
     INT32_MAX,    NULL},                                                                                                \
        {"temp", 0, CLI_REAL, &(s)->temp, "T", "temperature; default 0: always the likeliest", 0, 100, NULL},            \
        {"top-p", 0, CLI_REAL, &(s)->top_p, "P", "only the likeliest, up to this sum; default 1: all", 0, 1, NULL},      \
        {"top-k", 0, CLI_WHOLE, &(s)->top_k, "K", "only the K likeliest; default 0: all", 0, INT32_MAX, NULL},           \
        {"min-p", 0, CLI_REAL, &(s)->min_p, "P", "none below this part of the likeliest; default 0", 0, 1, NULL},        \
        {"typical", 0, CLI_REAL, &(s)->typical, "P", "locally typical ones, up to this sum; default 1: all",             \
         0,         1, NULL},                                                                                            \
        {"repetition-penalty",                                                                                           \
         0,                                                                                                              \
         CLI_REAL,                                                                                                       \
         &(s)->repetition,                                                                                               \
         "R",                                                                                                            \
         "divide logits of recent tokens; default 1",                                                                    \
         0,                                                                                                              \
         100,                                                                                                            \
         NULL},                                                                                                          \
        {"presence-penalty",                                                                                             \
         0,                                                                                                              \
         CLI_REAL,                                                                                                       \
         &(s)->presence,                                                                                                 \
         "R",                                                                                                            \
         "subtract from recent tokens; default 0",                                                                       \
         -100,                                                                                                           \
         100,                                                                                                            \
         NULL},                                                                                                          \
        {"frequency-penalty",                                                                                            \
         0,                                                                                                              \
         CLI_REAL,                                                                                                       \
         &(s)->frequency,                                                                                                \
         "R",                                                                                                            \
         "the same each time one came; default 0",                                                                       \
         -100,                                                                                                           \
         100,                                                                                                            \
         NULL},                                                                                                          \
        {"repeat-last-n", 0,   CLI_WHOLE, &(s)->window, "N", "how many tokens are recent; default 64, -1: all", -1,      \
         INT32_MAX,       NULL},                                                                                         \
        {"logit-bias", 0, CLI_LIST, &(s)->bias, "ID=V", "add V to the logit of a token; may come again", 0, 0, NULL},    \
        {"seed", 0, CLI_WHOLE, &(s)->seed, "N", "same seed, same text; default: another each time", 0, INT64_MAX, NULL}, \
        {"stop", 0, CLI_LIST, &(s)->stops, "STR", "end before this text; may come again", 0, 0, NULL},                   \
        {"json-schema", 0, CLI_TEXT, &(s)->schema, "FILE", "write JSON that is valid by this schema", 0, 0, NULL},       \
        {"grammar", 0, CLI_TEXT, &(s)->grammar, "FILE", "write what this grammar (GBNF) allows", 0, 0, NULL},            \
    {                                                                                                                    \
        "draft", 0, CLI_CHOICE, &(s)->draft, "HOW", "guess ahead: none, or lookup: from the text itself", 0, 0,          \
            cli_draft_choices                                                                                            \
    }

/* The same in the library's terms. options points into this struct and into argv. grammar.data is NULL without a
 * grammar. */
struct cli_generation {
    struct tare_sampling sampling;
    struct tare_generate_options options;
    struct tare_bias bias[CLI_LIST_MOST];
    struct cli_file grammar;
    enum tare_grammar_kind kind;
};

/* Translates the flags and reads the file of the grammar. *made must not be moved afterwards. Returns CLI_GO_ON or the
 * exit status. */
int cli_sampling_take(const struct cli_verb *verb, const struct cli_sampling *asked, struct cli_generation *made);
void cli_generation_release(struct cli_generation *made);

#endif
