/* SPDX-License-Identifier: MIT
 * report.h - a plan's report in words, part by part. */
#ifndef TARE_CLI_REPORT_H
#define TARE_CLI_REPORT_H

#include <stddef.h>

#include "tare.h"

/* Prints what the model is: its type, the number of its parameters, its bytes and its formats. */
void cli_report_what(const struct tare_report *report);
void cli_report_heads(const struct tare_report *report);

/* Prints the tensors that are set aside, rule by rule: all of them, or a few of each rule. */
void cli_report_set_aside(const struct tare_report *report, bool all);

/* Prints missing, unexpected and misshapen tensors. */
void cli_report_strict(const struct tare_report *report, bool all);
void cli_report_account(const struct tare_report *report);
void cli_report_findings(const struct tare_report *report);

/* Counts the findings of at least this level. */
size_t cli_report_count(const struct tare_report *report, enum tare_level least);

/* Prints the warnings and errors of a plan that is about to be used on stderr, one line each. */
void cli_report_warn(const tare_model *model);

#endif
