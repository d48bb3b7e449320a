/* SPDX-License-Identifier: MIT
 * mlx_round.c - rows of floats to MLX's codes and scales, with the bits of mlx's own quantize() on a CPU.
 *
 * affine: the end of a group's range that is farther from 0 becomes a whole number of steps from 0, so 0 is a code
 * wherever the range holds it. All is float32; scale and bias are rounded to the stored dtype only afterwards, and codes
 * do not follow from the rounded ones.
 * Source: docs/quantizing.md; mlx's documentation of mlx.core.quantize, and its results.
 */
#include <math.h>

#include "base/small_float.h"
#include "quantize/quantizing.h"

#define SCALE_LEAST 1e-7f /* of a group whose values are all alike */

static void round_group(const float *x, int64_t n, float steps, uint8_t *code, float *scale, float *bias)
{
    float low = x[0], high = x[0];
    for (int64_t i = 1; i < n; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    const bool from_low = fabsf(low) > fabsf(high);
    const float edge = from_low ? low : high;
    float step = (high - low) / steps, start = 0;
    step = step > SCALE_LEAST ? step : SCALE_LEAST;
    step = from_low ? step : -step;
    const float whole = rintf(edge / step);
    if (whole != 0) {
        step = edge / whole;
        start = edge;
    }
    for (int64_t i = 0; i < n; i++) {
        const float at = rintf((x[i] - start) / step);
        code[i] = (uint8_t)(at > 0 ? at < steps ? at : steps : 0);
    }
    *scale = step;
    *bias = start;
}

void tare_round_affine(const float *row, int64_t n, int bits, int64_t group_size, uint8_t *code, float *scale,
                       float *bias)
{
    const float steps = (float)((1 << bits) - 1);
    for (int64_t g = 0; g < n / group_size; g++)
        round_group(row + g * group_size, group_size, steps, code + g * group_size, &scale[g], &bias[g]);
}

uint8_t tare_to_e4m3(float value)
{
    const uint32_t bits = tare_float_bits(value);
    const uint8_t sign = (uint8_t)(bits >> 24 & 0x80);
    const float size = fabsf(value);
    if (!(size < 448)) /* the largest; larger ones become it */
        return sign | 0x7e;
    if (size < 0x1p-6f) /* multiples of 2^-9, the subnormal step; 8 of them are the least normal number's byte */
        return sign | (uint8_t)rintf(size * 0x1p9f);
    /* Three fraction bits stay. The exponent's bias is 7 instead of 127. */
    const uint32_t own = bits & 0x7fffffff, odd = own >> 20 & 1;
    return sign | (uint8_t)(((own + 0x7ffff + odd) >> 20) - (120u << 3));
}

/* The nearest of 0, .5, 1, 1.5, 2, 3, 4, 6; of two that are equally near the smaller, and there is no negative zero.
 * MLX compares the differences in the stored dtype, where those of a value that is far too large are all alike. */
static uint8_t to_e2m1(float value, enum tare_dtype stored)
{
    const float size = fabsf(value);
    float least = size;
    int found = 0;
    if (size < 8) /* differences are exact, or decide nothing */
        found = (size > 0.25f) + (size > 0.75f) + (size > 1.25f) + (size > 1.75f) + (size > 2.5f) + (size > 3.5f) +
                (size > 5.0f);
    for (int k = 1; k < 8 && size >= 8; k++) {
        const float difference = tare_float_round(stored, fabsf(size - tare_from_e2m1((uint8_t)k)));
        if (difference < least) {
            least = difference;
            found = k;
        }
    }
    return (uint8_t)(found && value < 0 ? found | 8 : found);
}

/* The least k for which 2^k is not below a positive number. */
static int ceil_log2(float value)
{
    int exponent;
    const float fraction = frexpf(value, &exponent); /* in [0.5, 1) */
    return fraction > 0.5f ? exponent : exponent - 1;
}

void tare_round_floats(const float *row, int64_t n, enum tare_mlx_mode mode, enum tare_dtype stored, uint8_t *code,
                       uint8_t *scale)
{
    const int64_t group_size = mode == TARE_MLX_NVFP4 ? 16 : 32;
    const float most = mode == TARE_MLX_MXFP8 ? 448 : 6;
    for (int64_t g = 0; g < n / group_size; g++) {
        const float *x = row + g * group_size;
        uint8_t *to = code + g * group_size;
        float largest = 0, step;
        for (int64_t i = 0; i < group_size; i++)
            largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
        const float wanted = tare_float_round(stored, largest / most);
        if (mode == TARE_MLX_NVFP4) {
            scale[g] = tare_to_e4m3(wanted);
            step = tare_from_e4m3(scale[g]);
        } else {
            const int exponent = wanted > 0 ? ceil_log2(wanted) : 0;
            scale[g] = (uint8_t)((unsigned)(exponent + 127) & 0xff); /* below 2^-127 it wraps in MLX, too */
            step = ldexpf(1, exponent);
        }
        for (int64_t i = 0; i < group_size; i++) {
            const float at = step != 0 ? tare_float_round(stored, x[i] / step) : 0;
            to[i] = mode == TARE_MLX_MXFP8 ? tare_to_e4m3(at) : to_e2m1(at, stored);
        }
    }
}
