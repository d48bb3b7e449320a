/* SPDX-License-Identifier: MIT
 * loss.h - what quantizing lost: module by module, and in predicting a text. */
#ifndef CLI_QUANTIZE_LOSS_H
#define CLI_QUANTIZE_LOSS_H

#include "source.h"

struct cli_loss {
    const struct cli_source *source; /* of the floats */
    tare_model *floats;
    const char *output; /* what was written: a folder, or one file */
    const char *text;   /* a file to be predicted, or NULL */
    double seconds;     /* that quantizing took */
    bool json;
    int threads;
};

/* Reads what was written, compares it with the floats, prints the report, and puts it into tare.json. Returns the exit
 * status. */
int cli_loss_report(const struct cli_loss *loss);

#endif
