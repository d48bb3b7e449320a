/* SPDX-License-Identifier: MIT
 * value.h - functions of a module's elements (module/module.h, struct tare_value), computed in float32. */
#ifndef TARE_PACKING_VALUE_H
#define TARE_PACKING_VALUE_H

#include "packing/packing.h"

/*
 * Computes what DIVIDE_BY_NORM in the chain needs, the norm of each row or column of the module. *norms lies in the
 * arena; it is NULL when the chain has no such function.
 */
enum tare_code tare_value_norms(const struct tare_value *value, const struct tare_module *module,
                                const void *const part[TARE_PARTS], struct tare_arena *arena, const float **norms,
                                struct tare_error *err);
/* The same where the module is not held yet. */
enum tare_code tare_value_read(const struct tare_value *value, const struct tare_module *module,
                               const void *const part[TARE_PARTS], struct tare_checkpoint *checkpoint,
                               struct tare_arena *arena, const float **norms, struct tare_error *err);
/* Applies the chain to rows [row, row + rows) of the module, which x holds, without rounding. value may be NULL. */
void tare_value_apply(const struct tare_value *value, const float *norms, int64_t row, int64_t rows, int64_t columns,
                      float *x);

#endif
