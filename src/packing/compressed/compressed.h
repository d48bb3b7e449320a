/* SPDX-License-Identifier: MIT
 * compressed.h - what compressed-tensors' config says of a module, held against its tensors. */
#ifndef TARE_PACKING_COMPRESSED_COMPRESSED_H
#define TARE_PACKING_COMPRESSED_COMPRESSED_H

#include "packing/packing.h"

/*
 * Does the config announce this module in the one or two formats that its tensors are of (NULL: none)? A module that
 * it ignores, targets with no group, or says to be of another format gets a fault: false. Fills module->said.
 */
bool tare_compressed_announced(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena,
                               const char *format, const char *other);
/* Bits, group size and zero points of a module whose shape is filled; else a fault. */
void tare_compressed_agree(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena);
/* The shape of a weight of bytes whose scales are by row, tensor, group or block, as the config says; it agrees with
 * that, or has a fault. */
void tare_compressed_blocks(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena);
/* Do the values of weight_shape, where there is one, say the same as the headers? For check(). */
enum tare_code tare_compressed_check_shape(const struct tare_module *module, const void *const part[TARE_PARTS],
                                           struct tare_error *err);

#endif
