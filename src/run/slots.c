/* SPDX-License-Identifier: MIT
 * slots.c - which slot of a recurrence a pass reads and which it writes. */
#include "run/slots.h"

size_t tare_slots_size(int64_t n)
{
    size_t bytes;
    if (__builtin_mul_overflow((size_t)n, TARE_SLOTS * sizeof(float), &bytes) || bytes > SIZE_MAX / 4)
        return SIZE_MAX / 4; /* nobody has so much */
    return sizeof(struct tare_slots) + bytes;
}

static int find(const struct tare_slots *slots, int64_t position, int but)
{
    for (int i = 0; i < TARE_SLOTS; i++)
        if (i != but && slots->position[i] == position)
            return i;
    return 0;
}

void tare_slots_take(struct tare_slots *slots, const struct tare_pass *pass, int64_t n, const float **from, float **to)
{
    const int kept = find(slots, pass->fed, -1);
    for (int i = 0; i < TARE_SLOTS && pass->start == pass->fed; i++)
        slots->position[i] = i == kept ? pass->fed : -1;
    const int source = pass->start == pass->fed ? kept : find(slots, pass->start, kept);
    int target = 0;
    while (target == kept || target == source)
        target++;
    slots->position[target] = pass->start + pass->tokens;
    *from = slots->values + source * n;
    *to = slots->values + target * n;
}
