/* SPDX-License-Identifier: MIT
 * round_trip.c - numbers to e4m3 and e2m1 and back: OCP Microscaling Formats 1.0, section 5; scales as DeepSeek-V4's
 * kernels have them. */
#include "blocks/round_trip.h"

#include <math.h>

#define E4M3_MOST 448.0f
#define E2M1_MOST 6.0f

/* The nearest number with `fraction` bits behind the first, of equals the even one; steps end at that of `least`. */
static float nearest(float x, int fraction, int least)
{
    int exponent;
    (void)frexpf(x, &exponent); /* 2^(exponent - 1) <= |x| */
    const float step = ldexpf(1, (exponent - 1 > least ? exponent - 1 : least) - fraction);
    return rintf(x / step) * step;
}

static float to_e4m3(float x)
{
    return fmaxf(-E4M3_MOST, fminf(E4M3_MOST, nearest(x, 3, -6)));
}

static float to_e2m1(float x)
{
    return fmaxf(-E2M1_MOST, fminf(E2M1_MOST, nearest(x, 1, 0)));
}

/* The least power of two that is not below x > 0. */
static float power_above(float x)
{
    int exponent;
    return ldexpf(1, frexpf(x, &exponent) == 0.5f ? exponent - 1 : exponent);
}

static float largest(const float *x, int64_t n, float least)
{
    for (int64_t i = 0; i < n; i++)
        least = fabsf(x[i]) > least ? fabsf(x[i]) : least;
    return least;
}

void tare_round_e4m3(float *x, int64_t n, int64_t block)
{
    for (int64_t from = 0; n % block == 0 && from < n; from += block) {
        const float scale = power_above(largest(x + from, block, 1e-4f) / E4M3_MOST);
        for (int64_t i = from; i < from + block; i++)
            x[i] = to_e4m3(x[i] / scale) * scale;
    }
}

void tare_round_e2m1(float *x, int64_t n, int64_t block, bool e4m3_scale)
{
    const float least = E2M1_MOST * (e4m3_scale ? 0x1p-9f : 0x1p-126f); /* the least scale */
    for (int64_t from = 0; n % block == 0 && from < n; from += block) {
        const float most = largest(x + from, block, least) / E2M1_MOST;
        const float scale = e4m3_scale ? to_e4m3(most) : power_above(most);
        for (int64_t i = from; i < from + block; i++)
            x[i] = to_e2m1(x[i] / scale) * scale;
    }
}
