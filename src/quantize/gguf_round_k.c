/* SPDX-License-Identifier: MIT
 * gguf_round_k.c - 256 columns to blocks of Q2_K, Q3_K, Q4_K and Q5_K, with the bits of ggml's reference functions.
 *
 * Q2_K, Q4_K, Q5_K: a group of 16 or 32 columns is a scale times a code plus a least value that is 0 or less. A search
 * rounds the columns at some twenty scales around (high - least) / most, fits a line through the codes by weighted least
 * squares, and keeps the line that is nearest to the values; its least value is that of the next tries. Eight groups are searched side by side, each in the order
 * in which its sums are defined, so the compiler can use vectors and no bit changes.
 * Q3_K: a group of 16 is a scale times a code from -4 to 3; the codes are then changed one by one as long as the fit
 * becomes better.
 * The scales and least values of a block become whole multiples (4 or 6 bits) of the block's two float16.
 * Source: docs/quantizing.md; docs/layouts.md, "GGUF blocks"; ggml's results.
 */
#include "quantize/gguf_round.h"

#define LANES 8 /* groups that are searched side by side */
#define MOST_COLUMNS 32

/* How the scale of a group is searched: at (first + step * k + most) / (high - least) for k from 0 to tries. */
struct search {
    int columns; /* of a group */
    int most;    /* the largest code */
    float first, step;
    int tries;
    bool sizes; /* weights and distances are sizes, |x|; else weights are mean + |x|, and distances squares */
};

/* Eight groups: column by column, a lane for each. */
struct groups {
    float x[MOST_COLUMNS][LANES], weight[MOST_COLUMNS][LANES];
    float low[LANES], high[LANES], weights[LANES], values[LANES]; /* sums of weight, and of weight * x */
    float code[MOST_COLUMNS][LANES];                              /* the best, and that of the line that is tried */
    float other[MOST_COLUMNS][LANES];
    float scale[LANES], least[LANES], error[LANES];
};

static void load(const struct search *search, const float *x, struct groups *g)
{
    for (int lane = 0; lane < LANES; lane++) {
        const float *own = x + lane * search->columns;
        float squares = 0;
        for (int c = 0; c < search->columns; c++)
            squares += own[c] * own[c];
        const float mean = search->sizes ? 0 : sqrtf(squares / (float)search->columns);
        for (int c = 0; c < search->columns; c++) {
            g->x[c][lane] = own[c];
            g->weight[c][lane] = search->sizes ? fabsf(own[c]) : mean + fabsf(own[c]);
        }
    }
    for (int lane = 0; lane < LANES; lane++) {
        g->low[lane] = g->high[lane] = g->x[0][lane];
        g->weights[lane] = g->weight[0][lane];
        g->values[lane] = g->weights[lane] * g->x[0][lane];
    }
    for (int c = 1; c < search->columns; c++)
        for (int lane = 0; lane < LANES; lane++) {
            const float value = g->x[c][lane];
            g->low[lane] = value < g->low[lane] ? value : g->low[lane];
            g->high[lane] = value > g->high[lane] ? value : g->high[lane];
            g->weights[lane] += g->weight[c][lane];
            g->values[lane] += g->weight[c][lane] * value;
        }
    for (int lane = 0; lane < LANES; lane++)
        g->low[lane] = g->low[lane] > 0 ? 0 : g->low[lane];
}

/* The codes of all columns at an inverse scale, from the least value of the best line so far. */
static void round_all(const struct search *search, const struct groups *g, const float inverse[LANES],
                      float (*code)[LANES])
{
    const int most = search->most;
    for (int c = 0; c < search->columns; c++)
        for (int lane = 0; lane < LANES; lane++)
            code[c][lane] = (float)nearest(inverse[lane] * (g->x[c][lane] - g->least[lane]), 0, most);
}

/* How far the values are from a line through their codes. */
static void measure(const struct search *search, const struct groups *g, float (*code)[LANES], const float *scale,
                    const float *least, float error[LANES])
{
    float sum[LANES] = {0};
    for (int c = 0; c < search->columns; c++)
        for (int lane = 0; lane < LANES; lane++) {
            const float away = scale[lane] * code[c][lane] + least[lane] - g->x[c][lane];
            sum[lane] += g->weight[c][lane] * (search->sizes ? fabsf(away) : away * away);
        }
    memcpy(error, sum, sizeof sum);
}

/* A line through the codes: sums of weight * code, * code^2, * code * x. */
struct line {
    float codes[LANES], squares[LANES], products[LANES];
    float scale[LANES], least[LANES], error[LANES];
    bool fits[LANES];
};

static void fit(const struct search *search, struct groups *g, const float inverse[LANES], struct line *line)
{
    float codes[LANES] = {0}, squares[LANES] = {0}, products[LANES] = {0};
    round_all(search, g, inverse, g->other);
    for (int c = 0; c < search->columns; c++)
        for (int lane = 0; lane < LANES; lane++) {
            const float code = g->other[c][lane], weighted = g->weight[c][lane] * code;
            codes[lane] += weighted;
            squares[lane] += weighted * code;
            products[lane] += weighted * g->x[c][lane];
        }
    for (int lane = 0; lane < LANES; lane++) {
        const float spread = g->weights[lane] * squares[lane] - codes[lane] * codes[lane];
        float scale = (g->weights[lane] * products[lane] - g->values[lane] * codes[lane]) / spread;
        float least = (squares[lane] * g->values[lane] - codes[lane] * products[lane]) / spread;
        line->fits[lane] = spread > 0;
        if (least > 0) {
            least = 0;
            scale = products[lane] / squares[lane];
        }
        line->scale[lane] = scale;
        line->least[lane] = least;
    }
}

/* Of each of eight groups the scale, the size of the least value, and the codes at them. */
static void find_lines(const struct search *search, const float *x, float *scale, float *least, uint8_t *code)
{
    struct groups g;
    struct line line;
    float inverse[LANES];
    load(search, x, &g);
    for (int lane = 0; lane < LANES; lane++) {
        inverse[lane] = (float)search->most / (g.high[lane] - g.low[lane]);
        g.scale[lane] = 1 / inverse[lane];
        g.least[lane] = g.low[lane];
    }
    round_all(search, &g, inverse, g.code);
    measure(search, &g, g.code, g.scale, g.least, g.error);
    for (int k = 0; k <= search->tries; k++) {
        for (int lane = 0; lane < LANES; lane++)
            inverse[lane] =
                (search->first + search->step * (float)k + (float)search->most) / (g.high[lane] - g.least[lane]);
        fit(search, &g, inverse, &line);
        measure(search, &g, g.other, line.scale, line.least, line.error);
        for (int lane = 0; lane < LANES; lane++) {
            if (!line.fits[lane] || !(line.error[lane] < g.error[lane]))
                continue;
            g.error[lane] = line.error[lane];
            g.scale[lane] = line.scale[lane];
            g.least[lane] = line.least[lane];
            for (int c = 0; c < search->columns; c++)
                g.code[c][lane] = g.other[c][lane];
        }
    }
    for (int lane = 0; lane < LANES; lane++) {
        const bool flat = g.high[lane] == g.low[lane];
        scale[lane] = flat ? 0 : g.scale[lane];
        least[lane] = flat ? -g.low[lane] : -g.least[lane];
        for (int c = 0; c < search->columns; c++)
            code[lane * search->columns + c] = flat ? 0 : (uint8_t)g.code[c][lane];
    }
}

static float largest(const float *x, int n)
{
    float found = 0;
    for (int k = 0; k < n; k++)
        found = x[k] > found ? x[k] : found;
    return found;
}

/* The codes of a group again, at the scale and the least value that were stored; at a scale of 0 they stay. */
static void round_again(const float *x, int n, float scale, float least, int most, uint8_t *code)
{
    for (int k = 0; k < n && scale != 0; k++)
        code[k] = (uint8_t)nearest((x[k] + least) / scale, 0, most);
}

/* ---- Q2_K ------------------------------------------------------------------------------------------------------ */

void tare_round_Q2_K(const float *x, unsigned char *to)
{
    static const struct search search = {16, 3, -0.5f, 0.1f, 15, true};
    float scale[16], least[16];
    uint8_t code[256];
    find_lines(&search, x, scale, least, code);
    find_lines(&search, x + 128, scale + 8, least + 8, code + 128);
    const float most = largest(scale, 16), deepest = largest(least, 16);
    const float up = most > 0 ? 15.0f / most : 0, down = deepest > 0 ? 15.0f / deepest : 0;
    const float d = as_half(most / 15.0f), dmin = as_half(deepest / 15.0f);
    put_half(put_half(to + 80, most / 15.0f), deepest / 15.0f);
    for (int g = 0; g < 16; g++) {
        const unsigned pair = ((unsigned)whole_of(up * scale[g]) | (unsigned)whole_of(down * least[g]) << 4) & 255;
        to[g] = (unsigned char)pair;
        round_again(x + 16 * g, 16, d * (float)(pair & 15), dmin * (float)(pair >> 4), 3, code + 16 * g);
    }
    put_pairs(code, 0, to + 16);
    put_pairs(code + 128, 0, to + 48);
}

/* ---- Q4_K, Q5_K ------------------------------------------------------------------------------------------------ */

/* 8 scales and 8 least values of 6 bits: the first four of each in the low bits of a byte, the last four as nibbles, and
 * their high bits on top of the first. */
static void put_six_bits(const uint8_t *scale, const uint8_t *least, unsigned char *to)
{
    for (int k = 0; k < 4; k++) {
        const unsigned a = scale[k + 4], b = least[k + 4];
        to[k] = (unsigned char)(scale[k] | a >> 4 << 6);
        to[k + 4] = (unsigned char)(least[k] | b >> 4 << 6);
        to[k + 8] = (unsigned char)((a & 15) | (b & 15) << 4);
    }
}

static uint8_t six_bits(float value)
{
    const uint8_t low = (uint8_t)(whole_of(value) & 255);
    return low < 63 ? low : 63;
}

/* d, dmin and scales of eight groups of 32; the codes are left to the caller. */
static void put_eight(const struct search *search, const float *x, unsigned char *to, uint8_t *code)
{
    float scale[LANES], least[LANES];
    uint8_t times[LANES], below[LANES];
    find_lines(search, x, scale, least, code);
    const float most = largest(scale, LANES), deepest = largest(least, LANES);
    const float up = most > 0 ? 63.0f / most : 0, down = deepest > 0 ? 63.0f / deepest : 0;
    const float d = as_half(most / 63.0f), dmin = as_half(deepest / 63.0f);
    put_half(put_half(to, most / 63.0f), deepest / 63.0f);
    for (int g = 0; g < LANES; g++) {
        times[g] = six_bits(up * scale[g]);
        below[g] = six_bits(down * least[g]);
        round_again(x + 32 * g, 32, d * (float)times[g], dmin * (float)below[g], search->most, code + 32 * g);
    }
    put_six_bits(times, below, to + 4);
}

/* Low nibbles: 32 columns and the next 32 in the same 32 bytes. */
static void put_runs(const uint8_t *code, unsigned char *to)
{
    for (int run = 0; run < 4; run++)
        for (int k = 0; k < 32; k++)
            to[32 * run + k] = (unsigned char)((code[64 * run + k] & 15) | (code[64 * run + k + 32] & 15) << 4);
}

void tare_round_Q4_K(const float *x, unsigned char *to)
{
    static const struct search search = {32, 15, -1.0f, 0.1f, 20, false};
    uint8_t code[256];
    put_eight(&search, x, to, code);
    put_runs(code, to + 16);
}

void tare_round_Q5_K(const float *x, unsigned char *to)
{
    static const struct search search = {32, 31, -0.5f, 0.1f, 15, false};
    uint8_t code[256];
    put_eight(&search, x, to, code);
    put_bits(code, 4, to + 16);
    put_runs(code, to + 48);
}

/* ---- Q3_K ------------------------------------------------------------------------------------------------------ */

/* Sums of x^2 * x * code and x^2 * code^2: the scale that fits is their quotient. */
struct fit {
    float product, square;
};

/* One pass over 16 columns: a code gives way to that which the others' scale asks for, where the fit becomes better. */
static bool change_codes(const float *x, int *code, struct fit *fit)
{
    bool changed = false;
    for (int k = 0; k < 16; k++) {
        const float weight = x[k] * x[k];
        struct fit without = {.product = fit->product - weight * x[k] * (float)code[k]};
        if (!(without.product > 0))
            continue;
        without.square = fit->square - weight * (float)code[k] * (float)code[k];
        const int wanted = nearest(x[k] * without.square / without.product, -4, 3);
        if (wanted == code[k])
            continue;
        without.product += weight * x[k] * (float)wanted;
        without.square += weight * (float)wanted * (float)wanted;
        if (without.square > 0 &&
            without.product * without.product * fit->square > fit->product * fit->product * without.square) {
            code[k] = wanted;
            *fit = without;
            changed = true;
        }
    }
    return changed;
}

/* The scale of 16 columns, and their codes from 0 to 7. */
static float scale_of_16(const float *x, uint8_t *code)
{
    const float edge = farthest(x, 16), inverse = -4.0f / edge;
    struct fit fit = {0};
    int whole[16];
    memset(code, 0, 16);
    if (fabsf(edge) < LEAST)
        return 0;
    for (int k = 0; k < 16; k++) {
        const float weight = x[k] * x[k];
        whole[k] = nearest(inverse * x[k], -4, 3);
        fit.product += weight * x[k] * (float)whole[k];
        fit.square += weight * (float)whole[k] * (float)whole[k];
    }
    for (int pass = 0; pass < 5 && change_codes(x, whole, &fit); pass++)
        ;
    for (int k = 0; k < 16; k++)
        code[k] = (uint8_t)(whole[k] + 4);
    return fit.square > 0 ? fit.product / fit.square : 0;
}

void tare_round_Q3_K(const float *x, unsigned char *to)
{
    float scale[16];
    uint8_t code[256];
    unsigned char *scales = to + 96;
    for (int g = 0; g < 16; g++)
        scale[g] = scale_of_16(x + 16 * g, code + 16 * g);
    const float edge = farthest(scale, 16), inverse = edge != 0 ? -32.0f / edge : 0;
    const float d = edge != 0 ? 1 / inverse : 0;
    put_half(to + 108, d);
    memset(scales, 0, 12);
    for (int g = 0; g < 16; g++) {
        const unsigned times = edge != 0 ? (unsigned)(nearest(inverse * scale[g], -32, 31) + 32) : 0;
        const float step = as_half(d) * (float)((int)times - 32);
        scales[g % 8] |= (unsigned char)((times & 15) << (g < 8 ? 0 : 4));
        scales[8 + g % 4] |= (unsigned char)(times >> 4 << 2 * (g / 4));
        for (int k = 0; k < 16 && step != 0; k++)
            code[16 * g + k] = (uint8_t)(nearest(x[16 * g + k] / step, -4, 3) + 4);
    }
    put_bits(code, 2, to);
    put_pairs(code, 0, to + 32);
    put_pairs(code + 128, 0, to + 64);
}
