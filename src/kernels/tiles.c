/* SPDX-License-Identifier: MIT
 * tiles.c - rows into tiles and back, and the scalar kernels of tiles: the reference of all others. */
#include "kernels/tiles.h"

#include <math.h>

struct tare_matrix tare_matrix_part(const struct tare_matrix *m, int64_t first, int64_t rows)
{
    struct tare_matrix part = *m;
    const int64_t per_stride = m->storage >= TARE_STORE_T4 ? TARE_TILE_ROWS : 1;
    part.rows = rows;
    part.data += (size_t)(first / per_stride) * m->stride;
    if (m->scale) {
        part.scale += first * m->groups;
        part.offset += first * m->groups;
    }
    return part;
}

static void put_number(const struct tare_matrix *m, unsigned char *numbers, int64_t i, float number)
{
    if (m->scales == TARE_SCALES_F32) {
        memcpy(numbers + 4 * i, &number, sizeof number);
        return;
    }
    const uint16_t half = m->scales == TARE_SCALES_F16 ? tare_to_float16(number) : tare_to_bfloat16(number);
    memcpy(numbers + 2 * i, &half, sizeof half);
}

/* Packs eight codes of a row into four bytes, four in the low halves and four in the high ones; see tiles.h. */
static void put_codes(unsigned char *steps, const uint8_t *codes, int64_t n)
{
    for (int64_t i = 0; i < n; i += 8, steps += TARE_STEP_BYTES) {
        uint32_t low, high; /* four bytes at once: none is 16 or more, so none shifts into its neighbour */
        memcpy(&low, codes + i, sizeof low);
        memcpy(&high, codes + i + 4, sizeof high);
        low |= high << 4;
        memcpy(steps, &low, sizeof low);
    }
}

void tare_tile_put(const struct tare_matrix *m, unsigned char *data, int64_t row, const uint8_t *codes,
                   const float *scale, const float *offset)
{
    const int64_t lane = row % TARE_TILE_ROWS;
    unsigned char *at = data + (size_t)(row / TARE_TILE_ROWS) * m->stride;
    const size_t numbers = tare_tile_scales(m), group = tare_tile_group(m);
    for (int64_t g = 0; g < m->groups; g++, at += group, codes += m->group) {
        unsigned char *steps = at + 2 * numbers + 4 * lane;
        put_number(m, at, lane, scale[g]);
        put_number(m, at + numbers, lane, offset[g]);
        if (m->storage == TARE_STORE_T4)
            put_codes(steps, codes, m->group);
        else
            for (int64_t i = 0; i < m->group; i += 4, steps += TARE_STEP_BYTES)
                memcpy(steps, codes + i, 4);
    }
}

/* Returns the code of column i of a group, in row `lane` of the tile. */
static int code_at(const struct tare_matrix *m, const unsigned char *steps, int64_t lane, int64_t i)
{
    if (m->storage == TARE_STORE_T8)
        return steps[i / 4 * TARE_STEP_BYTES + 4 * lane + i % 4];
    const int byte = steps[i / 8 * TARE_STEP_BYTES + 4 * lane + i % 4], code = i % 8 < 4 ? byte & 15 : byte >> 4;
    return m->table ? m->table[code] : code;
}

static const unsigned char *group_at(const struct tare_matrix *m, int64_t tile, int64_t g)
{
    return m->data + (size_t)tile * m->stride + (size_t)g * tare_tile_group(m);
}

static float weight(const struct tare_matrix *m, float scale, float offset, int code)
{
    return m->zeros ? scale * ((float)code - offset) : fmaf(scale, (float)code, offset);
}

void tare_scalar_unpack_tile(const struct tare_matrix *m, int64_t row, int64_t start, int64_t n, float *dst)
{
    const int64_t lane = row % TARE_TILE_ROWS;
    const size_t numbers = tare_tile_scales(m);
    for (int64_t i = 0; i < n; i++) {
        const int64_t column = start + i, g = column / m->group;
        const unsigned char *group = group_at(m, row / TARE_TILE_ROWS, g);
        const int code = code_at(m, group + 2 * numbers, lane, column - g * m->group);
        dst[m->order ? m->order[column] - start : i] =
            weight(m, tare_tile_number(m, group, lane), tare_tile_number(m, group + numbers, lane), code);
    }
}

void tare_scalar_quantize(const float *x, const int32_t *order, int64_t n, const struct tare_activations *to,
                          int64_t token)
{
    int8_t *q = to->q + token * to->in;
    float *scale = to->scale + token * (to->in / TARE_ACTIVATION_BLOCK);
    float *sum = to->sum + token * (to->in / TARE_ACTIVATION_BLOCK);
    for (int64_t i = 0; i < n; i += TARE_ACTIVATION_BLOCK, q += TARE_ACTIVATION_BLOCK, scale++, sum++) {
        float most = 0, value[TARE_ACTIVATION_BLOCK], poison = 0;
        int32_t total = 0;
        for (int64_t k = 0; k < TARE_ACTIVATION_BLOCK; k++) {
            value[k] = x[order ? order[i + k] : i + k];
            most = fabsf(value[k]) > most ? fabsf(value[k]) : most;
            poison += value[k] * 0;
        }
        const float inverse = tare_activation_inverse(most);
        for (int64_t k = 0; k < TARE_ACTIVATION_BLOCK; k++) {
            const float scaled = value[k] * inverse; /* a NaN may get any code, as its scale is NaN too */
            q[k] = (int8_t)(scaled > -127.5f && scaled < 127.5f ? (int)rintf(scaled) : 0);
            total += q[k];
        }
        *scale = most / 127 + poison;
        *sum = *scale * (float)total;
    }
}

void tare_activations_group(const struct tare_activations *x, int64_t token, int64_t group)
{
    const int64_t n = x->in / TARE_ACTIVATION_BLOCK, each = group / TARE_ACTIVATION_BLOCK;
    float *sum = x->sum + token * n;
    for (int64_t b = 0; b < n; b += each)
        for (int64_t k = 1; k < each; k++)
            sum[b] += sum[b + k];
}

static float row_sum(const struct tare_matrix *m, int64_t row, const int8_t *q, const float *xs, const float *sum)
{
    const int64_t lane = row % TARE_TILE_ROWS;
    const size_t numbers = tare_tile_scales(m);
    float y = 0;
    for (int64_t g = 0; g < m->groups; g++) {
        const unsigned char *group = group_at(m, row / TARE_TILE_ROWS, g);
        const float s = tare_tile_number(m, group, lane), o = tare_tile_number(m, group + numbers, lane);
        const float v = *sum;
        float part = 0;
        for (int64_t i = 0; i < m->group; i += TARE_ACTIVATION_BLOCK, xs++, sum++) {
            int32_t dot = 0;
            for (int64_t k = 0; k < TARE_ACTIVATION_BLOCK; k++)
                dot += code_at(m, group + 2 * numbers, lane, i + k) * *q++;
            part = fmaf(*xs, (float)dot, part);
        }
        y = m->zeros ? fmaf(s, fmaf(-o, v, part), y) : fmaf(o, v, fmaf(s, part, y));
    }
    return y;
}

void tare_scalar_tiles(const struct tare_matrix *m, int64_t tile, int64_t n, const struct tare_activations *x,
                       int64_t first, int tokens, float *y, int64_t ldy)
{
    const int64_t start = tile * TARE_TILE_ROWS, end = start + n * TARE_TILE_ROWS;
    const int64_t blocks = x->in / TARE_ACTIVATION_BLOCK;
    for (int t = 0; t < tokens; t++)
        for (int64_t row = start; row < end && row < m->rows; row++)
            y[t * ldy + row - start] = row_sum(m, row, x->q + (first + t) * x->in, x->scale + (first + t) * blocks,
                                               x->sum + (first + t) * blocks);
}

static float row_exact(const struct tare_matrix *m, int64_t row, const float *x)
{
    const int64_t lane = row % TARE_TILE_ROWS;
    const size_t numbers = tare_tile_scales(m);
    float sum[2] = {0};
    for (int64_t g = 0; g < m->groups; g++, x += m->group) {
        const unsigned char *group = group_at(m, row / TARE_TILE_ROWS, g);
        const float s = tare_tile_number(m, group, lane), o = tare_tile_number(m, group + numbers, lane);
        for (int64_t i = 0; i < m->group; i++)
            sum[i / 4 % 2] += weight(m, s, o, code_at(m, group + 2 * numbers, lane, i)) * x[i];
    }
    return sum[0] + sum[1];
}

void tare_scalar_tiles_exact(const struct tare_matrix *m, int64_t tile, int64_t n, const float *x, int64_t ldx,
                             int tokens, float *y, int64_t ldy)
{
    const int64_t start = tile * TARE_TILE_ROWS, end = start + n * TARE_TILE_ROWS;
    for (int t = 0; t < tokens; t++)
        for (int64_t row = start; row < end && row < m->rows; row++)
            y[t * ldy + row - start] = row_exact(m, row, x + t * ldx);
}

void tare_scalar_dot_tile(const struct tare_matrix *m, int64_t row, int64_t rows, const float *x, float *y)
{
    const size_t numbers = tare_tile_scales(m);
    for (int64_t r = row; r < row + rows; r++) {
        const int64_t lane = r % TARE_TILE_ROWS;
        float sum = 0;
        for (int64_t i = 0; i < m->in; i++) {
            const unsigned char *group = group_at(m, r / TARE_TILE_ROWS, i / m->group);
            const float s = tare_tile_number(m, group, lane), o = tare_tile_number(m, group + numbers, lane);
            sum += weight(m, s, o, code_at(m, group + 2 * numbers, lane, i % m->group)) * x[m->order ? m->order[i] : i];
        }
        y[r - row] = sum;
    }
}
