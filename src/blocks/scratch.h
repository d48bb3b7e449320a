/* SPDX-License-Identifier: MIT
 * scratch.h - a block's work memory cut into its parts. */
#ifndef TARE_BLOCKS_SCRATCH_H
#define TARE_BLOCKS_SCRATCH_H

#include <stddef.h>
#include <stdint.h>

/* parts[i] (void *, of any type) begins where floats[i] floats begin, one part behind the other; scratch NULL: none is
 * cut. Returns how many floats all take. What needs more alignment than a float comes first. */
size_t tare_scratch_cut(float *scratch, const int64_t *floats, size_t n, void **parts);

#endif
