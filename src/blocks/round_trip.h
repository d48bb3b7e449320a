/* SPDX-License-Identifier: MIT
 * round_trip.h - numbers to a few bits and back, as models do to what they keep when they were trained so. In place, by
 * blocks with a scale each; n that the block does not divide is left as it is (mlx-lm). */
#ifndef TARE_BLOCKS_ROUND_TRIP_H
#define TARE_BLOCKS_ROUND_TRIP_H

#include <stdbool.h>
#include <stdint.h>

/* e4m3, scale a power of two. */
void tare_round_e4m3(float *x, int64_t n, int64_t block);
/* e2m1; scale a power of two, or e4m3 itself. */
void tare_round_e2m1(float *x, int64_t n, int64_t block, bool e4m3_scale);

#endif
