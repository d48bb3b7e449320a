/* SPDX-License-Identifier: MIT
 * report.h - a plan's report in words, part by part. */
#ifndef TARE_CLI_REPORT_H
#define TARE_CLI_REPORT_H

#include <stddef.h>

#include "tare.h"

/* What it is: model type, parameters, bytes; its formats; its heads. */
void cli_report_what(const struct tare_report *report);
void cli_report_heads(const struct tare_report *report);
/* By rule; `all` names every tensor, else a few of each rule. */
void cli_report_set_aside(const struct tare_report *report, bool all);
/* Missing, unexpected and misshapen tensors. */
void cli_report_strict(const struct tare_report *report, bool all);
void cli_report_account(const struct tare_report *report);
void cli_report_findings(const struct tare_report *report);

/* How many findings are at least of a level. */
size_t cli_report_count(const struct tare_report *report, enum tare_level least);
/* The warnings and errors of a plan that is about to be used, a line each on stderr. */
void cli_report_warn(const tare_model *model);

#endif
