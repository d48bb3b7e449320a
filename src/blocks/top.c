/* SPDX-License-Identifier: MIT
 * top.c - the few largest of many numbers, by a search for the least of them bit by bit. */
#include "blocks/top.h"

#include <string.h>

/* Numbers that are ordered as the floats are. */
static uint32_t key(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}

static int64_t count(const float *x, int64_t n, uint32_t least)
{
    int64_t many = 0;
    for (int64_t i = 0; i < n; i++)
        many += key(x[i]) >= least;
    return many;
}

int64_t tare_top_largest(const float *x, int64_t n, int64_t top, int32_t *chosen)
{
    uint32_t least = 0; /* the largest key that at least `top` numbers reach */
    int64_t have = 0, above = 0;
    for (uint32_t bit = 0x80000000u; bit && top < n; bit >>= 1)
        if (count(x, n, least | bit) >= top)
            least |= bit;
    for (int64_t i = 0; i < n && top < n; i++)
        above += key(x[i]) > least;
    int64_t equals = top < n ? top - above : n;
    for (int64_t i = 0; i < n && have < top; i++) {
        const uint32_t k = key(x[i]);
        if (k > least || (k == least && equals-- > 0) || top >= n)
            chosen[have++] = (int32_t)i;
    }
    return have;
}
