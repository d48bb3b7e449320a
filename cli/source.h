/* SPDX-License-Identifier: MIT
 * source.h - what MODEL means: a path, a name in the Hugging Face cache, or fable. */
#ifndef TARE_CLI_SOURCE_H
#define TARE_CLI_SOURCE_H

#include <limits.h>

#include "progress.h"
#include "tare.h"

struct cli_source {
    /* Options for tare_plan(); for fable they hold its files. */
    struct tare_options options;
    /* The path for tare_plan(). */
    const char *path;
    bool fable;
    /* It was found in the cache. */
    bool cached;
    /* Where ORG/NAME is, or was looked for; "" when MODEL is no such name. */
    char cache[4096];
};

/* Finds out what MODEL means; NULL means fable. Fails only when the path of the cache is too long. */
enum tare_code cli_source_find(struct cli_source *source, const char *model, struct tare_error *err);

/* Does a single word name a model, and not a prompt? */
bool cli_source_names_model(const char *word);

/* Calls tare_plan() and shows a bar. On failure err also says where a name was looked for, and *model may still be a
 * plan, which the caller frees. */
enum tare_code cli_source_plan(const struct cli_source *source, tare_model **model, struct tare_error *err);

#endif
