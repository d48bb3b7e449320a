/* SPDX-License-Identifier: MIT
 * scalar.c - the reference of every kernel, in plain C. Sums run in 16 lanes, which a compiler may put into vector
 * registers. */
#include "kernels/tiles.h"

#include <math.h>
#include <string.h>

#include "base/dtype.h"
#include "base/small_float.h"
#include "kernels/delta.h"
#include "kernels/state_step.h"

#define LANES 16

static float lanes_sum(const float lane[LANES])
{
    float sum = 0;
    for (int half = 0; half < LANES; half++)
        sum += lane[half];
    return sum;
}

static float inner(const float *a, const float *b, int64_t n)
{
    float lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++)
            lane[l] += a[i + l] * b[i + l];
    for (int l = 0; i < n; i++, l++)
        lane[l] += a[i] * b[i];
    return lanes_sum(lane);
}

static void unpack_f32(const struct tare_matrix *m, int64_t row, int64_t start, int64_t n, float *dst)
{
    memcpy(dst, m->data + (size_t)row * m->stride + (size_t)start * 4, (size_t)n * 4);
}

/* Tensors of a file need not be aligned to their elements, hence memcpy. */
static uint16_t load16(const unsigned char *bytes)
{
    uint16_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

static void unpack_f16(const struct tare_matrix *m, int64_t row, int64_t start, int64_t n, float *dst)
{
    const unsigned char *data = m->data + (size_t)row * m->stride + (size_t)start * 2;
    for (int64_t i = 0; i < n; i++)
        dst[i] = tare_from_float16(load16(data + 2 * i));
}

static void unpack_bf16(const struct tare_matrix *m, int64_t row, int64_t start, int64_t n, float *dst)
{
    const unsigned char *data = m->data + (size_t)row * m->stride + (size_t)start * 2;
    for (int64_t i = 0; i < n; i++)
        dst[i] = tare_from_bfloat16(load16(data + 2 * i));
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void unpack_e4m3(const struct tare_matrix *m, int64_t row, int64_t start, int64_t n, float *dst)
{
    const unsigned char *data = m->data + (size_t)row * m->stride;
    for (int64_t c = start, end = start + n, run; c < end; c += run, dst += run) {
        const float scale = m->scale[row * m->groups + c / m->group];
        run = least(end - c, m->group - c % m->group);
        for (int64_t i = 0; i < run; i++)
            dst[i] = scale * tare_from_e4m3(data[c + i]);
    }
}

/* Goes through runs of columns that share a shift and a group. */
static void unpack_q4(const struct tare_matrix *m, int64_t row, int64_t start, int64_t n, float *dst)
{
    const unsigned char *data = m->data + (size_t)row * m->stride;
    for (int64_t c = start, end = start + n, run; c < end; c += run, dst += run) {
        const float scale = m->scale[row * m->groups + c / m->group],
                    offset = m->offset[row * m->groups + c / m->group];
        const unsigned char *words = data + c / TARE_Q4_BLOCK * TARE_Q4_BYTES + c % 16 * 4;
        const uint32_t shift = (uint32_t)(c % TARE_Q4_BLOCK / 16 * 4);
        run = least(end - c, least(16 - c % 16, m->group - c % m->group));
        for (int64_t i = 0; i < run; i++) {
            uint32_t word;
            memcpy(&word, words + 4 * i, sizeof word);
            dst[i] = scale * (float)(int32_t)(word >> shift & 15) + offset;
        }
    }
}

static void unpack_q8(const struct tare_matrix *m, int64_t row, int64_t start, int64_t n, float *dst)
{
    const unsigned char *data = m->data + (size_t)row * m->stride;
    for (int64_t c = start, end = start + n, run; c < end; c += run, dst += run) {
        const float scale = m->scale[row * m->groups + c / m->group],
                    offset = m->offset[row * m->groups + c / m->group];
        run = least(end - c, m->group - c % m->group);
        for (int64_t i = 0; i < run; i++)
            dst[i] = scale * (float)data[c + i] + offset;
    }
}

static void dot_any(const struct tare_matrix *m, int64_t row, int64_t rows, const float *x, float *y)
{
    float w[TARE_PANEL_COLUMNS];
    for (int64_t r = 0; r < rows; r++) {
        float sum = 0;
        for (int64_t start = 0; start < m->in; start += TARE_PANEL_COLUMNS) {
            const int64_t n = m->in - start < TARE_PANEL_COLUMNS ? m->in - start : TARE_PANEL_COLUMNS;
            tare_kernels_scalar.unpack[m->storage](m, row + r, start, n, w);
            sum += inner(w, x + start, n);
        }
        y[r] = sum;
    }
}

static void panel(const float *w, int64_t ldw, int64_t rows, const float *x, int64_t ldx, int64_t tokens, int64_t k,
                  float *y, int64_t ldy, bool add)
{
    for (int64_t t = 0; t < tokens; t++)
        for (int64_t r = 0; r < rows; r++) {
            const float sum = inner(w + r * ldw, x + t * ldx, k);
            y[t * ldy + r] = add ? y[t * ldy + r] + sum : sum;
        }
}

static void scores(const float *q, const float *keys, int64_t n, int64_t dim, float scale, float *into)
{
    for (int64_t j = 0; j < n; j++)
        into[j] = scale * inner(q, keys + j * dim, dim);
}

static void mix(const float *p, const float *values, int64_t n, int64_t dim, float *y)
{
    for (int64_t j = 0; j < n; j++)
        for (int64_t d = 0; d < dim; d++)
            y[d] += p[j] * values[j * dim + d];
}

static float exponents(float *s, int64_t n, float most)
{
    float sum = 0;
    for (int64_t j = 0; j < n; j++) {
        s[j] = expf(s[j] - most);
        sum += s[j];
    }
    return sum;
}

static void silu(float *gate, const float *up, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        gate[i] = gate[i] / (1 + expf(-gate[i])) * (up ? up[i] : 1);
}

static float squares(const float *x, int64_t n)
{
    return inner(x, x, n);
}

static void to_float16(const float *x, int64_t n, void *to)
{
    tare_floats_put(to, TARE_F16, x, n);
}

static void to_bfloat16(const float *x, int64_t n, void *to)
{
    tare_floats_put(to, TARE_BF16, x, n);
}

/* One function for all storages by tiles. */
#define EACH_TILE(function)                                                                                            \
    [TARE_STORE_T4] = (function), [TARE_STORE_T8] = (function), [TARE_STORE_T2] = (function),                          \
    [TARE_STORE_T3] = (function), [TARE_STORE_T5] = (function), [TARE_STORE_T6] = (function)

const struct tare_kernels tare_kernels_scalar = {
    .name = "scalar",
    .dot = {dot_any, dot_any, dot_any, dot_any, dot_any, dot_any, EACH_TILE(tare_scalar_dot_tile)},
    .unpack = {unpack_f32, unpack_f16, unpack_bf16, unpack_e4m3, unpack_q4, unpack_q8,
               EACH_TILE(tare_scalar_unpack_tile)},
    .quantize = tare_scalar_quantize,
    .tiles = {EACH_TILE(tare_scalar_tiles)},
    .tiles_exact = {EACH_TILE(tare_scalar_tiles_exact)},
    .panel = panel,
    .cache_store = tare_scalar_cache_store,
    .cache_load = tare_scalar_cache_load,
    .cache_scores = tare_scalar_cache_scores,
    .cache_mix = tare_scalar_cache_mix,
    .scores_each = tare_scalar_scores_each,
    .mix_each = tare_scalar_mix_each,
    .scores = scores,
    .mix = mix,
    .exponents = exponents,
    .silu = silu,
    .squares = squares,
    .to_float16 = to_float16,
    .to_bfloat16 = to_bfloat16,
    .scan = scan,
    .delta = delta,
};
