/* SPDX-License-Identifier: MIT
 * pull.h - downloads what a model needs into the cache. */
#ifndef TARE_HUB_PULL_H
#define TARE_HUB_PULL_H

#include "hub/cache.h"
#include "hub/choose.h"

struct tare_pull {
    struct tare_hub_choice choice;
    /* Find out what there is to do, and do nothing. */
    bool dry_run;
    /* Called for each chosen file, may be NULL: is it in the cache? */
    void (*list)(void *user, const char *path, uint64_t size, bool have);
    void *user;

    /* ---- filled in ---- */

    char snapshot[TARE_HUB_PATH];
    /* The GGUF file that was chosen, below snapshot; "" when the weights are safetensors. */
    char file[1024];
    size_t files, missing;
    uint64_t bytes, missing_bytes;
};

/* Online: asks for the revision and its files, gets what the cache lacks, then sets the revision's ref. Offline: finds
 * it in the cache. */
enum tare_code tare_pull(struct tare_pull *pull, const struct tare_hub *hub, const struct tare_hub_name *name,
                         struct tare_error *err);

/*
 * Looks for a model in the cache alone: pull->snapshot and pull->file are set when the revision is there with weights
 * that are all there. Fails with TARE_E_ABSENT when it is not, and says what is missing.
 */
enum tare_code tare_pull_find(struct tare_pull *pull, const struct tare_hub *hub, const struct tare_hub_name *name,
                              struct tare_error *err);

#endif
