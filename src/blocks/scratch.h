/* SPDX-License-Identifier: MIT
 * scratch.h - the work memory of a block, cut into its parts.
 *
 * A block has one function that takes its parts one after another. ops->scratch calls it without memory, which only
 * counts, and forward calls it with pass->scratch, so that the two cannot disagree:
 *
 *     static size_t lay_out(const struct block *b, int64_t tokens, float *memory, struct job *j)
 *     {
 *         struct tare_scratch s = {memory, 0};
 *         j->hidden = tare_scratch_take(&s, tokens, b->hidden);
 *         return s.floats;
 *     }
 */
#ifndef TARE_BLOCKS_SCRATCH_H
#define TARE_BLOCKS_SCRATCH_H

#include <stddef.h>
#include <stdint.h>

struct tare_scratch {
    float *memory; /* NULL: only count */
    size_t floats; /* taken so far */
};

/* The next rows * width floats, NULL while counting. They may hold any type of 4 bytes; what needs more alignment is
 * taken first. A count that does not fit becomes too large for any session, which then refuses it. */
void *tare_scratch_take(struct tare_scratch *s, int64_t rows, int64_t width);

#endif
