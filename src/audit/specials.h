/* SPDX-License-Identifier: MIT
 * specials.h - stored floats that are no sound number: NaN, infinite, and of scales 0 and denormal. */
#ifndef TARE_AUDIT_SPECIALS_H
#define TARE_AUDIT_SPECIALS_H

#include "open/checkpoint.h"

enum tare_special { TARE_IS_NAN, TARE_IS_INFINITE, TARE_IS_ZERO, TARE_IS_DENORMAL, TARE_SPECIALS };

/* How many of each, and the index of the first; zero-initialise. */
struct tare_specials {
    uint64_t count[TARE_SPECIALS], first[TARE_SPECIALS];
};

/*
 * Look through n elements from index `at` on (data: of the first of these) and add what is found. small: also for 0 and
 * denormal numbers. Element types that are no floats have nothing special.
 */
void tare_specials_find(const void *data, enum tare_dtype dtype, uint64_t at, uint64_t n, bool small,
                        struct tare_specials *found);
void tare_specials_add(struct tare_specials *sum, const struct tare_specials *found);

#endif
