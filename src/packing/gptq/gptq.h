/* SPDX-License-Identifier: MIT
 * gptq.h - what the files about GPTQ share: those of its layout (gptq.c), its shapes (gptq_shape.c), its way to tiles
 * (gptq_to_tiles.c) and its zeros (plan/gptq_zeros.c). */
#ifndef TARE_PACKING_GPTQ_GPTQ_H
#define TARE_PACKING_GPTQ_GPTQ_H

#include "packing/packing.h"

#define TARE_GPTQ_BLOCK 32 /* that many codes fill whole words, whatever their bits */

/* Is it one of GPTQ's: v1 (by field or by word), v2, planar? */
bool tare_packing_is_gptq(const struct tare_packing *packing);
/* Checks the shapes of the parts against each other and the config. A config's rules for single modules (dynamic) are
 * left out: they need regular expressions, which plan/gptq_judge.c compiles once for all modules. */
void tare_gptq_shape(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena);
/* Records a fault if the config's bits or group size (0: the config does not say) contradict the module's shapes. */
void tare_gptq_agree(struct tare_module *module, int bits, int64_t group_size, const char *place,
                     struct tare_arena *arena);
/* The to_tiles() of v1, v2 and gptq-words. */
bool tare_gptq_to_tiles(const struct tare_stretch *stretch);
/* How many words the zeros of one group take. */
int64_t tare_gptq_zero_words(const struct tare_module *module);
/* The 32 fields of a group's zeros from 32 * block on, as they are stored. */
void tare_gptq_fields(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t group,
                      int64_t block, uint8_t field[TARE_GPTQ_BLOCK]);

#endif
