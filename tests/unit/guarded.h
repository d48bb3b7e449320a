/* SPDX-License-Identifier: MIT
 * guarded.h - for tests of kernels: random numbers that every run repeats, buffers that end at a page which may not be
 * touched, and each set of kernels in turn. */
#ifndef TARE_TESTS_GUARDED_H
#define TARE_TESTS_GUARDED_H

#include <stdint.h>

#include "fixture.h"
#include "kernels/kernels.h"

void random_start(void);
uint32_t next(void);
float real(void);           /* [-1, 1] */
int64_t size(int64_t most); /* 1 to most */

/* Memory whose last byte is followed by a page that faults. */
struct guarded {
    unsigned char *map;
    size_t total;
    void *data;
};
struct guarded guard(size_t bytes);
void unguard(struct guarded *g);             /* Was anything before the buffer written? */
float *floats(struct guarded *g, int64_t n); /* random ones */

/* test(k) for each set that this CPU has; each starts with the same random numbers. */
void each_set(void (*test)(const struct tare_kernels *k));

#endif
