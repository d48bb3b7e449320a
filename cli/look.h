/* SPDX-License-Identifier: MIT
 * look.h - how check and explain begin: their flags, and the plan of MODEL. */
#ifndef TARE_CLI_LOOK_H
#define TARE_CLI_LOOK_H

#include "cli.h"
#include "source.h"

struct cli_look {
    bool json;
    /* The file of --html, or NULL. */
    const char *html;
    /* How many words, beside flags, stand at the front of argv. */
    int words;
    struct cli_source source;
    tare_model *model;
    /* Never NULL, also when the model does not load. */
    const struct tare_report *report;
    /* What tare_plan() returned. */
    enum tare_code code;
    struct tare_error err;
    /* 0, or the exit status of err, which is printed already. */
    int status;
};

/* The values of the flags, and the flags, which are all that the verb has. */
struct cli_look_asked {
    bool json;
    /* Of check alone. */
    const char *html;
    bool no_data;
    int tie;
    int zeros;
    int64_t threads;
};
#define CLI_FLAGS_LOOK(json_help)                                                                                      \
    {.name = "json",                                                                                                   \
     CLI_IS_SWITCH(struct cli_look_asked, json),                                                                       \
     .usual = true,                                                                                                    \
     .help = (json_help),                                                                                              \
     .more = "Also when the model does not load."},                                                                    \
        {.name = "no-data",                                                                                            \
         CLI_IS_SWITCH(struct cli_look_asked, no_data),                                                                \
         .usual = true,                                                                                                \
         .help = "read headers only: the head is not compared with the embedding"},                                    \
        CLI_FLAG_TIE(struct cli_look_asked, tie), CLI_FLAG_ZEROS(struct cli_look_asked, zeros),                        \
        CLI_FLAG_THREADS(struct cli_look_asked, threads)

/* Reads the flags and plans the model, of the hub from headers alone. Returns CLI_GO_ON with *look filled, for
 * cli_look_release(), or the exit status to end with. *look must stay where it is. */
int cli_look(const struct cli_verb *verb, int argc, char **argv, struct cli_look *look);
void cli_look_release(struct cli_look *look);

#endif
