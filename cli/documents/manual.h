/* SPDX-License-Identifier: MIT
 * manual.h - the pages of the manual, made from the tables of verbs and flags. */
#ifndef TARE_CLI_MANUAL_H
#define TARE_CLI_MANUAL_H

#include "cli.h"

/* Prints the page tare-VERB(1) on stdout, in the macros of man(7), or tare(1) when verb is NULL. `date` stands on the
 * page, as "2026-11-24"; NULL: none. */
void cli_manual_print(const struct cli_verb *verb, const char *date);

#endif
