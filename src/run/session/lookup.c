/* SPDX-License-Identifier: MIT
 * lookup.c - guesses the next ids from the text itself: prompt lookup decoding (Saxena 2023). */
#include "run/session/lookup.h"

#include <string.h>

size_t tare_lookup(const int32_t *ids, size_t n, int32_t *draft, size_t most)
{
    for (size_t run = 4; run >= 2; run--) {
        const int32_t *last = n > run ? ids + n - run : NULL;
        for (size_t at = n - run; last && at-- > 0;) {
            if (memcmp(ids + at, last, run * sizeof *ids) != 0)
                continue;
            const size_t left = n - at - run, count = left < most ? left : most;
            memcpy(draft, ids + at + run, count * sizeof *draft);
            return count;
        }
    }
    return 0;
}
