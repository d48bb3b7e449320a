/* SPDX-License-Identifier: MIT
 * projection.h - what stands in the place of a block when a model has no real one there (nemotron-nas): one linear, or
 * nothing.
 */
#ifndef TARE_BLOCKS_PROJECTION_H
#define TARE_BLOCKS_PROJECTION_H

#include "blocks/decoder.h"

void tare_projection(struct tare_block *block, struct tare_at at, const char *name, int64_t dim, bool bias);
void tare_nothing(struct tare_block *block, struct tare_at at, int64_t dim); /* its output is 0 */

#endif
