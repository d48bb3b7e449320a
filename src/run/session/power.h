/* SPDX-License-Identifier: MIT
 * power.h - powers of e for probabilities. They are computed here, without fused operations and without a library
 * whose last bit differs between machines.
 */
#ifndef TARE_RUN_SESSION_POWER_H
#define TARE_RUN_SESSION_POWER_H

#include <stdint.h>
#include <string.h>

/* Returns e^x for x <= 0, within 2e-7 of its value: 2^whole * 2^part, with part in (-1, 0] by its Taylor series. NaN
 * and all x below -87 give 0. There is no branch, so that loops over it become vector instructions. */
static inline float tare_power(float x)
{
    const float y = (x >= -87 ? x : -87) * 1.44269504f;
    const int32_t whole = (int32_t)y;
    const float z = (y - (float)whole) * 0.693147181f;
    float sum = 1.0f / 40320;
    sum = sum * z + 1.0f / 5040;
    sum = sum * z + 1.0f / 720;
    sum = sum * z + 1.0f / 120;
    sum = sum * z + 1.0f / 24;
    sum = sum * z + 1.0f / 6;
    sum = sum * z + 0.5f;
    sum = sum * z + 1;
    sum = sum * z + 1;
    const uint32_t bits = (uint32_t)(whole + 127) << 23;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return x >= -87 ? sum * scale : 0;
}

enum { TARE_POWER_LANES = 16, TARE_POWER_RUN = 256 };

/* How logits become powers: e^((logit - most) / temperature), and 0 for logits below `least`. */
struct tare_power_scale {
    float most, least, temperature;
};

/* Computes the powers of up to TARE_POWER_RUN logits in one loop of vector instructions; an impossible id gets 0. */
static inline void tare_powers(const float *logits, int64_t n, struct tare_power_scale scale, float e[TARE_POWER_RUN])
{
    for (int64_t i = 0; i < n; i++) {
        const float p = tare_power((logits[i] - scale.most) / scale.temperature);
        e[i] = logits[i] >= scale.least ? p : 0;
    }
}

#endif
