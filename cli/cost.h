/* SPDX-License-Identifier: MIT
 * cost.h - what a model of the hub costs that was looked at without downloading it. */
#ifndef TARE_CLI_COST_H
#define TARE_CLI_COST_H

#include "look.h"

/* Prints what was read, what a download would be, the memory for running it, and the verbs that take it. Prints nothing
 * for a model that lies on this machine. */
void cli_cost_print(const struct cli_look *look);

/* Puts the same into the report's JSON object, as "hub". text is owned by the caller and becomes his again, or NULL when
 * memory ran out; it is returned as it is for a model that lies on this machine. */
char *cli_cost_json(const struct cli_look *look, char *text);

#endif
