/* SPDX-License-Identifier: MIT
 * weight_source.h - boxes of modules, copied or repacked into a matrix: the two ways a piece of a flat recipe is
 * executed for running. */
#ifndef TARE_RUN_WEIGHTS_WEIGHT_SOURCE_H
#define TARE_RUN_WEIGHTS_WEIGHT_SOURCE_H

#include "base/pool.h"
#include "kernels/kernels.h"
#include "plan/plan.h"

/* Elements of a flat recipe as dense rows of `dtype` (F32, F16, BF16) at dst, which has room for all of them. */
enum tare_code tare_source_copy(struct tare_checkpoint *checkpoint, const struct tare_flat *flat, enum tare_dtype dtype,
                                void *dst, struct tare_error *err);
/* Rows of a packed recipe into m, whose storage (Q4 or Q8), group and memory are set: data, scale and offset are
 * written. */
enum tare_code tare_source_repack(struct tare_checkpoint *checkpoint, const struct tare_flat *flat,
                                  const struct tare_matrix *m, unsigned char *data, float *scale, float *offset,
                                  struct tare_pool *pool, struct tare_error *err);

#endif
