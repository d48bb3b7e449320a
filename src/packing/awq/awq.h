/* SPDX-License-Identifier: MIT
 * awq.h - what the layouts of AWQ share: how the config announces them, and what it must agree with. */
#ifndef TARE_PACKING_AWQ_AWQ_H
#define TARE_PACKING_AWQ_AWQ_H

#include "packing/packing.h"

/* Does the config announce awq of this version? One without a version is gemm. */
bool tare_awq_announced(const struct tare_quant *quant, const char *version);
/* Holds bits, group size and zero points of a module whose shape is filled against the config; records a fault where
 * they differ. */
void tare_awq_agree(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena);
/*
 * For gemv and gemv_fast, whose shapes do not tell the group size: takes it from the config, and returns how many words
 * of zeros a row has with its padding; 0: a fault.
 */
int64_t tare_awq_padded(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena,
                        int64_t in);
/* Have the scales the wanted shape, which follows from the config's group size over `in` columns? Else a fault. */
bool tare_awq_scales_fit(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena,
                         int64_t in, const int64_t wanted[2]);

/* The to_tiles() of awq-gemm of 4 bits. */
bool tare_awq_to_tiles(const struct tare_stretch *stretch);

#endif
