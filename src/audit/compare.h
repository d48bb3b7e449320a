/* SPDX-License-Identifier: MIT
 * compare.h - two parameters held against each other, tile by tile. */
#ifndef TARE_AUDIT_COMPARE_H
#define TARE_AUDIT_COMPARE_H

#include "audit/audit.h"

/* What one tile says; the parameter's own is the sum of all. Zero-initialised: nothing differs. */
struct tare_finding_of_tile {
    bool bits;  /* a number has other bits, or was rounded before it could be compared bit by bit */
    bool codes; /* other codes or scales, or there is no such thing on a side */
    bool zeros; /* other zeros or biases */
    uint64_t differing;
    double largest, value[2];
    int64_t at;          /* element of the parameter */
    double apart, whole; /* sums of the squares of differences, and of the first side's numbers; tare_comparer.sums */
};

/* What a worker needs again and again; zero-initialise. */
struct tare_comparer {
    struct tare_arena arena[2], work;
    void *numbers[2]; /* heap: doubles or floats of a tile */
    size_t room;      /* elements of 8 bytes */
    bool sums;        /* apart and whole are wanted, also where codes are the same */
};
void tare_comparer_release(struct tare_comparer *comparer);

/* One tile of both sides, which have the same shape. */
enum tare_code tare_tiles_compare(const struct tare_readable side[2], const struct tare_tile *tile,
                                  struct tare_comparer *comparer, struct tare_finding_of_tile *found,
                                  struct tare_error *err);
/* Add what a tile says to what others said. */
void tare_found_add(struct tare_finding_of_tile *sum, const struct tare_finding_of_tile *found);
/* Do both sides consist of like modules in like places, so that equal bytes of all parts make them equal? */
bool tare_views_alike(const struct tare_readable *first, const struct tare_readable *second);

#endif
