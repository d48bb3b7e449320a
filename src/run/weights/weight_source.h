/* SPDX-License-Identifier: MIT
 * weight_source.h - the two ways in which the pieces of a flat recipe become a matrix: copied as floats, or repacked
 * as codes. */
#ifndef TARE_RUN_WEIGHTS_WEIGHT_SOURCE_H
#define TARE_RUN_WEIGHTS_WEIGHT_SOURCE_H

#include "base/pool.h"
#include "kernels/kernels.h"
#include "plan/plan.h"

/* Copies the elements of a flat recipe as dense rows of `dtype` (F32, F16, BF16) to dst, which has room for all. */
enum tare_code tare_source_copy(struct tare_checkpoint *checkpoint, const struct tare_flat *flat, enum tare_dtype dtype,
                                void *dst, struct tare_error *err);
/* Repacks the rows of a packed recipe for m, as weight_plan.h decided it, into `data`. By rows (Q4, Q8), scale and
 * offset (rows, groups) are written too; E4M3 has no offset, and tiles hold their own numbers: NULL. */
enum tare_code tare_source_repack(struct tare_checkpoint *checkpoint, const struct tare_flat *flat,
                                  const struct tare_matrix *m, unsigned char *data, float *scale, float *offset,
                                  struct tare_pool *pool, struct tare_error *err);

#endif
