/* SPDX-License-Identifier: MIT
 * slots.h - the state of a recurrence. A cache holds every position, so what a cancelled feed left in it does no harm; a
 * recurrence overwrites what it was. So three slots: that of before the feed is kept until the feed is through.
 */
#ifndef TARE_RUN_SLOTS_H
#define TARE_RUN_SLOTS_H

#include "run/pass.h"

enum { TARE_SLOTS = 3 };
struct tare_slots {
    int64_t position[TARE_SLOTS]; /* tokens that a slot has seen; -1: it holds nothing */
    float values[];               /* (TARE_SLOTS, n); zero after no tokens */
};

size_t tare_slots_size(int64_t n);
/* What the pass starts from, and where it leaves what comes out; they do not overlap. */
void tare_slots_take(struct tare_slots *slots, const struct tare_pass *pass, int64_t n, const float **from, float **to);

#endif
