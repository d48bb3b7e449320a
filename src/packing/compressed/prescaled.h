/* SPDX-License-Identifier: MIT
 * prescaled.h - ModelOpt's pre_quant_scale: numbers by which the columns of a weight are multiplied after all. */
#ifndef TARE_PACKING_COMPRESSED_PRESCALED_H
#define TARE_PACKING_COMPRESSED_PRESCALED_H

#include "packing/packing.h"

/* What a packing lists as `told` when a pre_quant_scale may stand beside its modules. */
extern const char *const tare_prescaled_told[];
/* For the end of shape(): where there is a pre_quant_scale, the module's packing becomes one whose values have it in
 * them; a fault where it does not fit. */
void tare_prescaled_apply(struct tare_module *module, struct tare_arena *arena);

#endif
