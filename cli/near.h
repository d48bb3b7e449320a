/* SPDX-License-Identifier: MIT
 * near.h - the nearest of many names to one that does not exist. */
#ifndef TARE_CLI_NEAR_H
#define TARE_CLI_NEAR_H

#include <stddef.h>

enum { CLI_NEAR = 3 };

struct cli_near {
    const char *word;
    size_t n;
    /* The nearest name comes first; borrowed. */
    const char *name[CLI_NEAR];
    /* How many letters must be added, dropped or changed; 1 for a name that contains the whole word. */
    size_t distance[CLI_NEAR];
};

struct cli_near cli_near_init(const char *word);
void cli_near_offer(struct cli_near *near, const char *name);

#endif
