/* SPDX-License-Identifier: MIT
 * look.h - how check and explain begin: their flags, and the plan of MODEL. */
#ifndef TARE_CLI_LOOK_H
#define TARE_CLI_LOOK_H

#include "cli.h"

struct cli_look {
    bool json;
    int words;         /* of the command line, at the front of argv */
    tare_model *model; /* the caller's to free */
    const struct tare_report *report;
    enum tare_code code; /* of the plan; a report is there all the same */
    struct tare_error err;
    int status; /* of the plan: 0, or that of err, which is printed */
};

/* CLI_GO_ON with all of look filled, or the exit status to end with. room: how many words the verb takes. */
int cli_look(const struct cli_verb *verb, const char *json_help, int room, int argc, char **argv,
             struct cli_look *look);

#endif
