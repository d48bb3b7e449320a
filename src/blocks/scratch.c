/* SPDX-License-Identifier: MIT
 * scratch.c - the work memory of a block, cut into its parts. */
#include "blocks/scratch.h"

#define FLOATS_MOST (SIZE_MAX / 8) /* a runner refuses SIZE_MAX / 16 and more */

void *tare_scratch_take(struct tare_scratch *s, int64_t rows, int64_t width)
{
    float *part = s->memory ? s->memory + s->floats : NULL;
    size_t floats;
    if (rows < 0 || width < 0 || __builtin_mul_overflow((size_t)rows, (size_t)width, &floats) ||
        __builtin_add_overflow(s->floats, floats, &floats) || floats > FLOATS_MOST)
        floats = FLOATS_MOST;
    s->floats = floats;
    return part;
}
