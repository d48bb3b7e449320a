/* SPDX-License-Identifier: MIT
 * look.h - how check and explain begin: their flags, and the plan of MODEL. */
#ifndef TARE_CLI_LOOK_H
#define TARE_CLI_LOOK_H

#include "cli.h"

struct cli_look {
    bool json;
    /* How many words, beside flags, stand at the front of argv. */
    int words;
    /* The caller frees it. */
    tare_model *model;
    /* Never NULL, also when the model does not load. */
    const struct tare_report *report;
    /* What tare_plan() returned. */
    enum tare_code code;
    struct tare_error err;
    /* 0, or the exit status of err, which is printed already. */
    int status;
};

/* Reads the flags and plans the model. The verb takes at most `room` words. Returns CLI_GO_ON with *look filled, or
 * the exit status to end with. */
int cli_look(const struct cli_verb *verb, const char *json_help, int room, int argc, char **argv,
             struct cli_look *look);

#endif
