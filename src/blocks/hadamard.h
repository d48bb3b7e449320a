/* SPDX-License-Identifier: MIT
 * hadamard.h - rows turned by a signed Walsh-Hadamard transform (PrismML; QuIP#: Tseng et al. 2024), so that weights
 * whose rows were turned alike can have few bits: sum_i w[i] x[i] is the same when both are turned.
 *
 *     turn(x) = H (signs x) / sqrt(block)     in blocks; H[i][j] = -1 to the number of bits that i and j share
 *     back(y) = signs (H y) / sqrt(block)     back(turn(x)) = x
 */
#ifndef TARE_BLOCKS_HADAMARD_H
#define TARE_BLOCKS_HADAMARD_H

#include "blocks/pass.h"

/* x -> y, n floats; block: a power of two that divides n. x == y is fine. */
void tare_hadamard_turn(const float *signs, int64_t block, int64_t n, const float *x, float *y);
void tare_hadamard_back(const float *signs, int64_t block, int64_t n, float *x); /* in place */

/* Rows (n_rows, ldx) that are to be multiplied by `weight`, as it wants them: x itself, or pass->turned, turned. */
const float *tare_hadamard_rows(const struct tare_pass *pass, const struct tare_parameter *weight, const float *x,
                                int64_t *ldx, int64_t n_rows);

/* What becomes of a row (n) of an embedding after it was read: rounded, turned back, or nothing. */
void tare_hadamard_embedded(const struct tare_pass *pass, const struct tare_parameter *embedding, int64_t n, float *x);

#endif
