/* SPDX-License-Identifier: MIT
 * compressed.h - holds what the config of compressed-tensors says of a module against its tensors. */
#ifndef TARE_PACKING_COMPRESSED_COMPRESSED_H
#define TARE_PACKING_COMPRESSED_COMPRESSED_H

#include "packing/packing.h"

/*
 * Does the config announce this module, in one of the two formats that its tensors can be of (NULL: no format)? A
 * module that the config ignores, targets with no group, or calls another format gets a fault, and false is returned.
 * Fills module->said.
 */
bool tare_compressed_announced(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena,
                               const char *format, const char *other);
/* Holds group size and zero points of a module whose shape is filled against the config; else a fault. */
void tare_compressed_agree(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena);
/* Fills the shape of a weight of bytes whose scales are by row, tensor, group or block, as the config says; a fault
 * where they are not. */
void tare_compressed_blocks(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena);
/* For check(): do the values of weight_shape, where there is one, agree with the shapes in the headers? */
enum tare_code tare_compressed_check_shape(const struct tare_module *module, const void *const part[TARE_PARTS],
                                           struct tare_error *err);

#endif
