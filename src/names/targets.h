/* SPDX-License-Identifier: MIT
 * targets.h - which of compressed-tensors' config_groups targets a module, and whether the config ignores it. */
#ifndef TARE_NAMES_TARGETS_H
#define TARE_NAMES_TARGETS_H

#include "config/quant.h"
#include "text/regex.h"

/* The patterns of all groups, compiled. Zero-initialised; released also after a failure. */
struct tare_targets {
    const struct tare_quant *quant;
    struct tare_regex **targets; /* of all groups, one after another, then of `ignore`; NULL where no "re:" */
    size_t n;
    struct tare_matcher matcher;
};
enum tare_code tare_targets_open(struct tare_targets *targets, const struct tare_quant *quant, struct tare_error *err);
void tare_targets_release(struct tare_targets *targets);
/*
 * The group of a module path: an exact name comes before "re:" patterns (which match from the start on), these before
 * classes ("Linear", "Embedding"), which are told from the path: compressed-tensors' order. *group is NULL where none
 * targets it; *ignored where `ignore` names it.
 */
enum tare_code tare_targets_find(struct tare_targets *targets, const char *path, const struct tare_quant_group **group,
                                 bool *ignored, struct tare_error *err);

#endif
