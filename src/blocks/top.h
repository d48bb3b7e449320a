/* SPDX-License-Identifier: MIT
 * top.h - the few largest of many numbers. */
#ifndef TARE_BLOCKS_TOP_H
#define TARE_BLOCKS_TOP_H

#include <stdint.h>

/* Where the `top` largest of x (n) are, ascending, of equals the first ones; all n when top >= n. NaNs count as
 * smallest or largest by their sign. Returns how many: min(n, top). Takes about 32 n steps whatever top is. */
int64_t tare_top_largest(const float *x, int64_t n, int64_t top, int32_t *chosen);

#endif
