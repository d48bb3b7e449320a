/* SPDX-License-Identifier: MIT
 * group.h - stage 4, group: tensors become modules (stored format, logical shape, tensors), and the list that rewriting
 * edits. */
#ifndef TARE_NAMES_GROUP_H
#define TARE_NAMES_GROUP_H

#include "packing/packing.h"

/* Puts every tensor of the checkpoint into exactly one module. packing is the one that the config announces, or NULL.
 * Packed modules come first, then plain ones, each in the order of their names. What is wrong with a module (a
 * missing part, shapes that contradict) is its fault and no error here, because a head that tying drops may be
 * incomplete. weights gets one live entry a module. */
enum tare_code tare_modules_group(struct tare_checkpoint *checkpoint, const struct tare_quant *quant,
                                  const struct tare_packing *packing, struct tare_arena *arena,
                                  struct tare_module **modules, size_t *n_modules, struct tare_weights *weights,
                                  struct tare_error *err);

#endif
