/* SPDX-License-Identifier: MIT
 * gptq.h - what GPTQ's files share: its layout (gptq.c), its shapes (gptq_shape.c), its zeros (plan/gptq_zeros.c). */
#ifndef TARE_PACKING_GPTQ_GPTQ_H
#define TARE_PACKING_GPTQ_GPTQ_H

#include "packing/packing.h"

#define TARE_GPTQ_BLOCK 32 /* codes that fill whole words, whatever their bits */

/* Is it one of GPTQ's: v1 (by field or by word), v2, planar? */
bool tare_packing_is_gptq(const struct tare_packing *packing);
/* Shapes of the parts against each other and the config. A module's rules (dynamic) are not looked at: they need
 * regular expressions, and plan/gptq_judge.c opens them once for all modules. */
void tare_gptq_shape(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena);
/* What a config of these bits and group size (0: not said) has against a module whose shapes are understood: a fault.
 */
void tare_gptq_agree(struct tare_module *module, int bits, int64_t group_size, const char *place,
                     struct tare_arena *arena);
/* The to_tiles() of v1, v2 and gptq-words. */
bool tare_gptq_to_tiles(const struct tare_stretch *stretch);
/* Words of a group's zeros. */
int64_t tare_gptq_zero_words(const struct tare_module *module);
/* Fields [32 * block, ..) of a group's zeros, as they are stored. */
void tare_gptq_fields(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t group,
                      int64_t block, uint8_t field[TARE_GPTQ_BLOCK]);

#endif
