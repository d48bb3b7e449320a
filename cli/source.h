/* SPDX-License-Identifier: MIT
 * source.h - what MODEL means: a path, a name of the hub, or fable. */
#ifndef TARE_CLI_SOURCE_H
#define TARE_CLI_SOURCE_H

#include <limits.h>

#include "hub/remote.h"
#include "hub_setting.h"
#include "progress.h"
#include "tare.h"

struct cli_source {
    /* Options for tare_plan(); for fable they hold its files. */
    struct tare_options options;
    /* The path for tare_plan(). */
    const char *path;
    bool fable;
    /* What the environment says of the hub, when MODEL is a name of it. */
    struct cli_hub hub;
    /* A model of the hub that is read where it is; NULL for all others. */
    struct tare_remote *remote;
    struct tare_hub_name name;
    struct tare_host host;
    struct tare_host_file *files;
    const char **hashes;
    /* Where it is in the cache; "" when MODEL is no such name. */
    char cache[TARE_HUB_PATH + 1024];
};

/* Finds out what MODEL means; NULL means fable. What is neither a path nor in the Hugging Face cache is fetched
 * from the hub, with a bar on stderr. *source must stay where it is. */
enum tare_code cli_source_find(struct cli_source *source, const char *model, struct tare_error *err);

/* The same, for verbs that need headers alone: what is not in the cache is read where it is, by ranges, and not
 * fetched. Then options.no_data is set. The caller calls cli_source_release(), after the model was freed. */
enum tare_code cli_source_find_headers(struct cli_source *source, const char *model, struct tare_error *err);
/* The same, for a verb that reads all once: what is not in the cache is read where it is, and checked as it goes by. */
enum tare_code cli_source_find_stream(struct cli_source *source, const char *model, struct tare_error *err);
void cli_source_release(struct cli_source *source);

/* Does a single word name a model, and not a prompt? */
bool cli_source_names_model(const char *word);

/* Calls tare_plan() and shows a bar. On failure *model may still be a plan, which the caller frees. */
enum tare_code cli_source_plan(const struct cli_source *source, tare_model **model, struct tare_error *err);

#endif
