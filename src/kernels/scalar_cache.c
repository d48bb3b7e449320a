/* SPDX-License-Identifier: MIT
 * scalar_cache.c - rows of an attention cache in 16, 8 and 4 bits: the reference of every set. */
#include <math.h>
#include <string.h>

#include "base/half.h"
#include "kernels/kernels.h"

#define BLOCK TARE_CACHE_BLOCK
#define PIECE 256 /* numbers of a row that are expanded together; a multiple of BLOCK */
#define LARGEST 65504.0f

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Bytes of a block of 32 numbers; F16 fills up by half blocks only. */
static size_t block_bytes(enum tare_cache cache)
{
    static const size_t bytes[TARE_CACHES] = {4 * BLOCK, 2 * BLOCK, 2 + BLOCK, 4 + BLOCK / 2};
    return bytes[cache];
}

size_t tare_cache_row(enum tare_cache cache, int64_t n)
{
    if (cache == TARE_CACHE_F32)
        return 4 * (size_t)n;
    if (cache == TARE_CACHE_F16)
        return ((size_t)n + 15) / 16 * 32;
    return ((size_t)n + BLOCK - 1) / BLOCK * block_bytes(cache);
}

static float get_half(const unsigned char *bytes)
{
    uint16_t half;
    memcpy(&half, bytes, sizeof half);
    return tare_from_float16(half);
}

/* Writes x rounded to float16, clamped to the largest one, and returns the value that was written. */
static float put_half(unsigned char *bytes, float x)
{
    const uint16_t half = tare_to_float16(x > LARGEST ? LARGEST : x < -LARGEST ? -LARGEST : x);
    memcpy(bytes, &half, sizeof half);
    return tare_from_float16(half);
}

static void store_f16(const float *x, int64_t n, unsigned char *row)
{
    memset(row, 0, tare_cache_row(TARE_CACHE_F16, n));
    for (int64_t i = 0; i < n; i++)
        put_half(row + 2 * i, x[i]);
}

static bool all_finite(const float *x, int64_t n)
{
    float sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i] * 0;
    return sum == 0;
}

static int code(float scaled, int lowest, int highest)
{
    const float rounded = rintf(scaled);
    return rounded < (float)lowest ? lowest : rounded > (float)highest ? highest : (int)rounded;
}

static void store_q8(const float *x, int64_t n, unsigned char *row)
{
    memset(row, 0, tare_cache_row(TARE_CACHE_Q8, n));
    for (int64_t start = 0; start < n; start += BLOCK, row += block_bytes(TARE_CACHE_Q8)) {
        const int64_t k = least(BLOCK, n - start);
        float most = 0;
        for (int64_t i = 0; i < k; i++)
            most = fmaxf(most, fabsf(x[start + i]));
        const bool fine = all_finite(x + start, k);
        const float scale = put_half(row, fine ? most / 127 : NAN);
        for (int64_t i = 0; i < k && fine && scale > 0; i++)
            row[2 + i] = (unsigned char)code(x[start + i] / scale, -127, 127);
    }
}

static void store_q4(const float *x, int64_t n, unsigned char *row)
{
    memset(row, 0, tare_cache_row(TARE_CACHE_Q4, n));
    for (int64_t start = 0; start < n; start += BLOCK, row += block_bytes(TARE_CACHE_Q4)) {
        const int64_t k = least(BLOCK, n - start);
        float low = x[start], high = x[start];
        for (int64_t i = 1; i < k; i++) {
            low = fminf(low, x[start + i]);
            high = fmaxf(high, x[start + i]);
        }
        const bool fine = all_finite(x + start, k);
        const float scale = put_half(row, fine ? high / 15 - low / 15 : NAN),
                    lowest = put_half(row + 2, fine ? low : 0);
        for (int64_t i = 0; i < k && fine && scale > 0; i++)
            row[4 + i % 16] |= (unsigned char)(code((x[start + i] - lowest) / scale, 0, 15) << (i < 16 ? 0 : 4));
    }
}

static void load_f16(const unsigned char *row, int64_t n, float *x)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = get_half(row + 2 * i);
}

static void load_q8(const unsigned char *row, int64_t n, float *x)
{
    for (int64_t i = 0; i < n; i++) {
        const unsigned char *block = row + (size_t)(i / BLOCK) * block_bytes(TARE_CACHE_Q8);
        x[i] = get_half(block) * (float)(int8_t)block[2 + i % BLOCK];
    }
}

static void load_q4(const unsigned char *row, int64_t n, float *x)
{
    for (int64_t i = 0; i < n; i++) {
        const unsigned char *block = row + (size_t)(i / BLOCK) * block_bytes(TARE_CACHE_Q4);
        const int both = block[4 + i % 16];
        x[i] = fmaf(get_half(block), (float)(i % BLOCK < 16 ? both & 15 : both >> 4), get_half(block + 2));
    }
}

/* Expands numbers [start, start + n) of a row; start is a multiple of BLOCK. */
static void load_piece(enum tare_cache cache, const unsigned char *row, int64_t start, int64_t n, float *x)
{
    row += (size_t)(start / BLOCK) * block_bytes(cache);
    if (cache == TARE_CACHE_F32)
        memcpy(x, row, (size_t)n * sizeof *x);
    else if (cache == TARE_CACHE_F16)
        load_f16(row, n, x);
    else if (cache == TARE_CACHE_Q8)
        load_q8(row, n, x);
    else
        load_q4(row, n, x);
}

void tare_scalar_cache_store(enum tare_cache cache, const float *x, int64_t n, unsigned char *row)
{
    if (cache == TARE_CACHE_F32)
        memcpy(row, x, (size_t)n * sizeof *x);
    else if (cache == TARE_CACHE_F16)
        store_f16(x, n, row);
    else if (cache == TARE_CACHE_Q8)
        store_q8(x, n, row);
    else
        store_q4(x, n, row);
}

void tare_scalar_cache_load(const struct tare_rows *r, float *x)
{
    for (int64_t j = 0; j < r->n; j++)
        load_piece(r->cache, r->data + (size_t)j * tare_cache_row(r->cache, r->dim), 0, r->dim, x + j * r->dim);
}

/* Adds in the order of scores() in scalar.c, so that the sums are those of loaded rows, bit for bit. */
void tare_scalar_cache_scores(const float *q, const struct tare_rows *r, float scale, float *into)
{
    float piece[PIECE];
    for (int64_t j = 0; j < r->n; j++) {
        const unsigned char *row = r->data + (size_t)j * tare_cache_row(r->cache, r->dim);
        float lane[16] = {0}, sum = 0;
        for (int64_t start = 0; start < r->dim; start += PIECE) {
            const int64_t k = least(PIECE, r->dim - start);
            load_piece(r->cache, row, start, k, piece);
            for (int64_t i = 0; i < k; i++)
                lane[i % 16] += q[start + i] * piece[i];
        }
        for (int l = 0; l < 16; l++)
            sum += lane[l];
        into[j] = scale * sum;
    }
}

void tare_scalar_cache_mix(const float *p, const struct tare_rows *r, float *y)
{
    float piece[PIECE];
    for (int64_t j = 0; j < r->n; j++)
        for (int64_t start = 0; start < r->dim; start += PIECE) {
            const int64_t k = least(PIECE, r->dim - start);
            load_piece(r->cache, r->data + (size_t)j * tare_cache_row(r->cache, r->dim), start, k, piece);
            for (int64_t i = 0; i < k; i++)
                y[start + i] += p[j] * piece[i];
        }
}

void tare_scalar_scores_each(const struct tare_queries *queries, const float *keys, float scale)
{
    for (int64_t t = 0; t < queries->n; t++)
        tare_kernels_scalar.scores(queries->x + t * queries->dim, keys, queries->rows, queries->dim, scale,
                                   queries->score + t * queries->ld);
}

void tare_scalar_mix_each(const struct tare_queries *queries, const float *values)
{
    for (int64_t t = 0; t < queries->n; t++)
        tare_kernels_scalar.mix(queries->score + t * queries->ld, values, queries->rows, queries->dim,
                                queries->x + t * queries->dim);
}
