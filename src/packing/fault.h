/* SPDX-License-Identifier: MIT
 * fault.h - how the shape() functions of packings say why a module cannot be used. */
#ifndef TARE_PACKING_FAULT_H
#define TARE_PACKING_FAULT_H

#include "packing/packing.h"

/* Records why a module cannot be used, at one of its tensors (NULL: the module itself). The first fault stays. */
void tare_module_fault(struct tare_module *module, struct tare_arena *arena, enum tare_code code,
                       const struct tare_tensor *tensor, const char *format, ...) TARE_PRINTF(5, 6);
/* "[4096, 512]", in the arena; never NULL. */
const char *tare_shape_text(struct tare_arena *arena, int rank, const int64_t *shape);
/* Checks that a part is there, and has one of the dtypes in the bit set (1u << TARE_F16 ..); else records a fault. */
bool tare_part_check(struct tare_module *module, struct tare_arena *arena, enum tare_part part, unsigned dtypes);
/* Gives the module a logical shape of `rank` numbers in the arena, for the caller to fill; NULL: no memory. */
int64_t *tare_module_shape(struct tare_module *module, struct tare_arena *arena, int rank);
/* "model.layers.0.mlp.up_proj" of "model.layers.0.mlp.up_proj.weight", in the arena; never NULL. */
const char *tare_module_path(const struct tare_module *module, struct tare_arena *arena);

/* "model.layers.0.mlp.up_proj.qzeros": the name that a part has or would have, in the arena; never NULL. */
const char *tare_part_name(const struct tare_module *module, enum tare_part part, struct tare_arena *arena);
/* "qweight": what a part is called in a sentence, the last component of its name. */
const char *tare_part_word(const struct tare_module *module, enum tare_part part);

#define TARE_SCALE_DTYPES (1u << TARE_F16 | 1u << TARE_BF16 | 1u << TARE_F32)
#define TARE_REMEDY "`tare repair` writes a config.json that agrees with the tensors"

#endif
