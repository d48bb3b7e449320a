/* SPDX-License-Identifier: MIT
 * awq.h - what the layouts of AWQ share: how the config announces them, and what it must agree with. */
#ifndef TARE_PACKING_AWQ_AWQ_H
#define TARE_PACKING_AWQ_AWQ_H

#include "packing/packing.h"

/* Does the config announce awq of this version? One without a version is gemm. */
bool tare_awq_announced(const struct tare_quant *quant, const char *version);
/* Bits, group size and zero points of a module whose shape is filled, against the config; else a fault. */
void tare_awq_agree(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena);
/*
 * gemv and its kin: the group size from the config (their shapes do not tell it), and the words of padded zeros a row
 * that go with it; 0: a fault.
 */
int64_t tare_awq_padded(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena,
                        int64_t in);
/* Are the scales of that shape? Else a fault: it follows from the config's group size over `in` columns. */
bool tare_awq_scales_fit(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena,
                         int64_t in, const int64_t wanted[2]);

/* The to_tiles() of awq-gemm of 4 bits. */
bool tare_awq_to_tiles(const struct tare_stretch *stretch);

#endif
