/* SPDX-License-Identifier: MIT
 * transposed.h - products with matrices that lie the other way round. */
#ifndef TARE_BLOCKS_TRANSPOSED_H
#define TARE_BLOCKS_TRANSPOSED_H

#include "blocks/pass.h"

/*
 * y[t * ldy + i] = sum_r w[r][i] * x[t * ldx + r] for each of n products: x has matrix.rows numbers a token, y
 * matrix.in. bias and first are not looked at. Results do not depend on the number of threads.
 */
void tare_transposed_each(const struct tare_pass *pass, const struct tare_product *products, size_t n);

#endif
