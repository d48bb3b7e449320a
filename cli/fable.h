/* SPDX-License-Identifier: MIT
 * fable.h - the built-in model: models/fable, file by file, inside the program. */
#ifndef TARE_CLI_FABLE_H
#define TARE_CLI_FABLE_H

#include "tare.h"

enum { CLI_FABLE_FILES = 5 };
extern const char cli_fable_prompt[];

/* CLI_FABLE_FILES files; static. */
const struct tare_memory_file *cli_fable(void);

#endif
