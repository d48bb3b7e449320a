/* SPDX-License-Identifier: MIT
 * hub_setting.h - where the hub is and who asks, from the environment as huggingface_hub reads it; and the hub's names
 * among the words that MODEL may be. */
#ifndef TARE_CLI_HUB_SETTING_H
#define TARE_CLI_HUB_SETTING_H

#include "hub/hub.h"
#include "hub/pull.h"
#include "progress.h"

struct cli_hub {
    /* Its texts are in the fields below. */
    struct tare_hub hub;
    struct cli_progress progress;
    char endpoint[512];
    char token[1024];
    char cache[2048];
};

/* What a verb's flags say; NULL and 0 where nothing is said. */
struct cli_hub_flags {
    const char *token;
    const char *cache;
    int64_t workers;
};

/* Fails when a variable holds what cannot be used; the sentence names it. flags may be NULL. `setting` must stay where
 * it is. */
enum tare_code cli_hub_read(struct cli_hub *setting, const struct cli_hub_flags *flags, struct tare_error *err);

/* Downloads, with a bar on stderr and notes. */
enum tare_code cli_hub_pull(struct cli_hub *setting, struct tare_pull *pull, const struct tare_hub_name *name,
                            struct tare_error *err);

/* Writes the folder or the file that a pull has made ready into path. */
void cli_hub_path(const struct tare_pull *pull, char *path, size_t room);

#endif
