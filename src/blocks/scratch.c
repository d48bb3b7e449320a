/* SPDX-License-Identifier: MIT
 * scratch.c - a block's work memory cut into its parts. */
#include "blocks/scratch.h"

size_t tare_scratch_cut(float *scratch, const int64_t *floats, size_t n, void **parts)
{
    size_t total = 0;
    for (size_t i = 0; i < n; i++) {
        parts[i] = scratch ? scratch + total : NULL;
        total += (size_t)floats[i];
    }
    return total;
}
