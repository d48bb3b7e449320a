/* SPDX-License-Identifier: MIT
 * diff_headers.h - two plans held against each other by their headers alone. */
#ifndef TARE_CLI_DIFF_HEADERS_H
#define TARE_CLI_DIFF_HEADERS_H

#include <stdbool.h>

#include "tare.h"

/* Prints what only one of them has, and what has another shape or format: as text or as one JSON object. Returns the
 * exit status, 1 where they differ. */
int cli_diff_headers(const tare_model *a, const tare_model *b, bool json, bool all);

#endif
