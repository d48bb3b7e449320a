/* SPDX-License-Identifier: MIT
 * gguf_round_iq4.c - blocks of IQ4_NL and IQ4_XS, whose codes stand for sixteen unevenly spaced numbers, with the bits
 * of ggml's functions.
 *
 * 32 columns try fifteen scales around that which puts the value farthest from 0 on the lowest number, and keep that of
 * weighted least squares. IQ4_NL stores it; of IQ4_XS eight of them become whole multiples of the block's float16.
 * Source: docs/quantizing.md; docs/layouts.md, "GGUF blocks"; ggml's results.
 */
#include "packing/gguf/gguf_block.h"
#include "quantize/gguf_round.h"

#define COLUMNS 32

static float number_of(int code)
{
    return (float)tare_block_nonlinear.value[code] - tare_block_nonlinear.zero;
}

/* The code whose number is nearest; of two equally near the higher. */
static int code_of(float value)
{
    int above = 1;
    if (value <= number_of(0))
        return 0;
    if (value >= number_of(15))
        return 15;
    while (above < 15 && !(value < number_of(above)))
        above++;
    return value - number_of(above - 1) < number_of(above) - value ? above - 1 : above;
}

/* Sums of x^2 * x * number and x^2 * number^2 at an inverse scale. */
static void fit(const float *x, float inverse, float *product, float *square)
{
    *product = *square = 0;
    for (int k = 0; k < COLUMNS; k++) {
        const float weight = x[k] * x[k], number = number_of(code_of(inverse * x[k]));
        *product += weight * number * x[k];
        *square += weight * number * number;
    }
}

static float best_scale(const float *x)
{
    const float edge = farthest(x, COLUMNS), lowest = number_of(0);
    float product, square;
    if (fabsf(edge) < LEAST)
        return 0;
    fit(x, 1 / (-edge / lowest), &product, &square);
    float scale = square > 0 ? product / square : 0, best = scale * product;
    for (int off = -7; off <= 7; off++) {
        fit(x, ((float)off + lowest) / edge, &product, &square);
        if (square > 0 && product * product > best * square) {
            scale = product / square;
            best = scale * product;
        }
    }
    return scale;
}

/* 32 codes at a scale: columns k and k + 16 in a byte. */
static void put_codes(const float *x, float scale, unsigned char *to)
{
    const float inverse = scale != 0 ? 1 / scale : 0;
    for (int k = 0; k < COLUMNS / 2; k++)
        to[k] = (unsigned char)(code_of(inverse * x[k]) | code_of(inverse * x[k + COLUMNS / 2]) << 4);
}

void tare_round_IQ4_NL(const float *x, unsigned char *to)
{
    const float scale = best_scale(x);
    put_codes(x, scale, put_half(to, scale));
}

void tare_round_IQ4_XS(const float *x, unsigned char *to)
{
    float scale[8];
    unsigned high = 0;
    for (int g = 0; g < 8; g++)
        scale[g] = best_scale(x + COLUMNS * g);
    const float d = -farthest(scale, 8) / 32, inverse = d != 0 ? 1 / d : 0;
    put_half(to, d);
    memset(to + 4, 0, 4);
    for (int g = 0; g < 8; g++) {
        const int times = nearest(inverse * scale[g], -32, 31);
        const unsigned stored = (unsigned)(times + 32);
        to[4 + g / 2] |= (unsigned char)((stored & 15) << 4 * (g % 2));
        high |= stored >> 4 << 2 * g;
        put_codes(x + COLUMNS * g, d * (float)times, to + 8 + 16 * g);
    }
    to[2] = (unsigned char)(high & 255);
    to[3] = (unsigned char)(high >> 8);
}
