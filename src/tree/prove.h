/* SPDX-License-Identifier: MIT
 * prove.h - compares an output head with the embedding by value: the one place where planning reads weights, and only
 * where asked. */
#ifndef TARE_TREE_PROVE_H
#define TARE_TREE_PROVE_H

#include "base/pool.h"
#include "packing/packing.h"
#include "tree/tie.h"

/*
 * Equal: each element of the head, dequantized, lies within half a quantization step of the embedding's, or further out
 * in the right direction where its code stands at an end of its range (producers clip). Both packed: half a step of
 * either. Both plain: equal up to the rounding of the coarser dtype. By tiles of rows, on all threads of the pool.
 *   difference  receives, when they differ, where and by how much (in arena)
 */
enum tare_code tare_head_prove(struct tare_checkpoint *checkpoint, const struct tare_module *head,
                               const struct tare_module *embedding, struct tare_pool *pool, struct tare_arena *arena,
                               enum tare_proof *proof, const char **difference, struct tare_error *err);
/* Is every element of a plain float tensor zero? */
enum tare_code tare_module_is_zero(struct tare_checkpoint *checkpoint, const struct tare_module *module, bool *zero,
                                   struct tare_error *err);

#endif
