/* SPDX-License-Identifier: MIT
 * pattern.h - names with wildcards: "model.layers.*.mlp.**".
 *
 * In a pattern "*" stands for any characters within one component of a name, and "**" for any number of components,
 * none included. Several "*" may stand within one component. Example: "**.rotary_emb.inv_freq".
 */
#ifndef TARE_MODULE_PATTERN_H
#define TARE_MODULE_PATTERN_H

#include <stdint.h>

#include "base/text.h"

/* The wildcards of which a match remembers the text. Patterns stand in model files and use three at most. */
#define TARE_WILDCARDS_MOST 8

struct tare_pattern {
    const char *text;   /* borrowed */
    bool numbered;      /* "#" stands for a number; else for itself */
    size_t wildcards;   /* how many "*" and "**" */
    size_t prefix;      /* every match begins with that many bytes of the text */
    const char *suffix; /* and ends with these; both let most names be refused without matching */
    size_t suffix_size;
};

/*
 * What the wildcards of a pattern stand for in one name, from left to right; borrowed from the name. An earlier
 * wildcard takes as little as it can.
 */
struct tare_match {
    struct {
        const char *at; /* NULL: "**" that took no component */
        size_t size;
    } wildcard[TARE_WILDCARDS_MOST];
    int64_t number; /* "#" */
};

/* Does the name match the pattern as a whole? */
bool tare_name_matches(const char *pattern, const char *name);
struct tare_pattern tare_pattern_read(const char *text, bool numbered);
/* Does the name match as a whole, or, with leading, some leading part of it that ends at a dot? match may be NULL. */
bool tare_pattern_match(const struct tare_pattern *pattern, const char *name, bool leading, struct tare_match *match);
/* Add target to text, its wildcards filled in. It has no more of them than the pattern, and that at most the limit. */
void tare_pattern_expand(struct tare_text *text, const char *target, const struct tare_match *match);

#endif
