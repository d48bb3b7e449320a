/* SPDX-License-Identifier: MIT
 * source.h - what MODEL means: a path, a name in the Hugging Face cache, or fable. */
#ifndef TARE_CLI_SOURCE_H
#define TARE_CLI_SOURCE_H

#include <limits.h>

#include "progress.h"
#include "tare.h"

struct cli_source {
    struct tare_options options; /* with the files of fable where it is that */
    const char *path;            /* for the library */
    bool fable;
    bool cached;      /* found in the cache */
    char cache[4096]; /* where ORG/NAME is, or was looked for; "" when MODEL is no such name */
};

/* model may be NULL: fable. Fails only when the cache's path is too long. */
enum tare_code cli_source_find(struct cli_source *source, const char *model, struct tare_error *err);
/* Does one word alone name a model (and no prompt)? */
bool cli_source_names_model(const char *word);

/*
 * tare_plan() with a bar. On failure err says it in full: also where a name was looked for. *model may be not NULL
 * then.
 */
enum tare_code cli_source_plan(const struct cli_source *source, tare_model **model, struct tare_error *err);

#endif
