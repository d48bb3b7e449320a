/* SPDX-License-Identifier: MIT
 * tiles.c - rows into tiles and back, and the scalar kernels of tiles: the reference of all others. */
#include "kernels/tiles.h"

#include <math.h>

#include "base/small_float.h"

struct tare_matrix tare_matrix_part(const struct tare_matrix *m, int64_t first, int64_t rows)
{
    struct tare_matrix part = *m;
    const int64_t per_stride = m->storage >= TARE_STORE_T4 ? TARE_TILE_ROWS : 1;
    part.rows = rows;
    part.data += (size_t)(first / per_stride) * m->stride;
    if (m->scale)
        part.scale += first * m->groups;
    if (m->offset)
        part.offset += first * m->groups;
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

/* Where the planes of a block lie, for a storage that has them. */
struct planes {
    size_t pairs, bits; /* behind the nibbles */
    int pair_shift, bit_shift;
    bool has_nibbles, has_pairs, has_bits;
};

static struct planes planes_of(enum tare_storage storage)
{
    const int bits = tare_tile_bits(storage);
    struct planes p = {.has_nibbles = bits & 4, .has_pairs = bits & 2, .has_bits = bits & 1};
    p.pairs = p.has_nibbles ? 2 * TARE_STEP_BYTES : 0;
    p.bits = p.pairs + (p.has_pairs ? TARE_STEP_BYTES : 0);
    p.pair_shift = p.has_nibbles ? 4 : 0;
    p.bit_shift = bits - 1;
    return p;
}

/* Puts 16 codes of a row into a block: four neighbouring columns are a word of 32 bits in all planes. */
static void put_planes(const struct planes *p, unsigned char *block, int64_t lane, const uint8_t *codes)
{
    uint32_t word[4], pairs = 0;
    memcpy(word, codes, sizeof word);
    for (int k = 0; p->has_nibbles && k < 4; k += 2) {
        const uint32_t both = (word[k] & 0x0f0f0f0f) | (word[k + 1] & 0x0f0f0f0f) << 4;
        memcpy(block + k / 2 * TARE_STEP_BYTES + 4 * lane, &both, sizeof both);
    }
    for (int k = 0; k < 4; k++)
        pairs |= (word[k] >> p->pair_shift & 0x03030303) << 2 * k;
    if (p->has_pairs)
        memcpy(block + p->pairs + 4 * (size_t)lane, &pairs, sizeof pairs);
    for (int k = 0; p->has_bits && k < 4; k++) { /* the product brings the four bits together at the top */
        const uint32_t four = (word[k] >> p->bit_shift & 0x01010101) * 0x10204080u >> 28;
        unsigned char *byte = block + p->bits + 8 * (ptrdiff_t)k + lane / 2;
        *byte = (unsigned char)((*byte & 0xf0 >> 4 * (lane % 2)) | four << 4 * (lane % 2));
    }
}

void tare_tile_put(const struct tare_matrix *m, unsigned char *data, int64_t row, const uint8_t *codes,
                   const float *scale, const float *offset)
{
    const int64_t lane = row % TARE_TILE_ROWS, columns = tare_tile_columns(m);
    const struct planes planes = planes_of(m->storage);
    unsigned char *at = data + (size_t)(row / TARE_TILE_ROWS) * m->stride;
    const size_t group = tare_tile_group(m);
    for (int64_t g = 0; g < m->in / columns; g++, at += group, codes += columns) {
        unsigned char *steps = at + tare_tile_header(m);
        put_number(m, at, lane, scale[g]);
        put_number(m, at + tare_tile_scales(m), lane, offset[g]);
        if (m->storage == TARE_STORE_T4)
            put_codes(steps + 4 * lane, codes, columns);
        else if (m->storage == TARE_STORE_T8)
            for (int64_t i = 0; i < columns; i += 4, steps += TARE_STEP_BYTES)
                memcpy(steps + 4 * lane, codes + i, 4);
        else
            for (int64_t i = 0; i < columns; i += TARE_ACTIVATION_BLOCK, steps += tare_tile_block(m->storage))
                put_planes(&planes, steps, lane, codes + i);
    }
}

void tare_tile_put_factors(const struct tare_matrix *m, unsigned char *data, int64_t row, const uint8_t *factor,
                           const uint8_t *least)
{
    const int64_t each = m->super / m->group;
    const size_t all = tare_tile_group(m), bytes = tare_tile_factors(m);
    unsigned char *header = data + (size_t)(row / TARE_TILE_ROWS) * m->stride + 2 * tare_tile_scales(m);
    for (int64_t g = 0; g < m->groups; header += all) {
        unsigned char *at = header + row % TARE_TILE_ROWS;
        for (const int64_t end = g + each; g < end; g++, at += bytes) {
            *at = factor[g];
            if (!m->zeros)
                at[TARE_TILE_ROWS] = least[g];
        }
    }
}

float tare_tile_factor(enum tare_factors factors, uint8_t byte)
{
    switch (factors) {
    case TARE_FACTORS_E4M3:
        return tare_from_e4m3(byte);
    case TARE_FACTORS_E8M0:
        return tare_from_e8m0(byte);
    default:
        return (float)(int8_t)byte;
    }
}

/* A group of one row: its scale and offset, and where its codes begin. */
struct group {
    float scale, offset;
    const unsigned char *steps;
};

static struct group group_at(const struct tare_matrix *m, int64_t row, int64_t g)
{
    const int64_t lane = row % TARE_TILE_ROWS, each = tare_tile_columns(m) / m->group, within = g % each;
    const unsigned char *at =
        m->data + (size_t)(row / TARE_TILE_ROWS) * m->stride + (size_t)(g / each) * tare_tile_group(m);
    const size_t numbers = tare_tile_scales(m), blocks = (size_t)(within * m->group / TARE_ACTIVATION_BLOCK);
    struct group group = {.scale = tare_tile_number(m, at, lane),
                          .offset = tare_tile_number(m, at + numbers, lane),
                          .steps = at + tare_tile_header(m) + blocks * tare_tile_block(m->storage)};
    if (m->factors) {
        const unsigned char *factors = at + 2 * numbers + (size_t)within * tare_tile_factors(m);
        group.scale *= tare_tile_factor(m->factors, factors[lane]);
        group.offset *= m->zeros ? 1 : (float)factors[TARE_TILE_ROWS + lane];
    }
    return group;
}

/* Returns the code of column i of a group, in row `lane` of the tile, as it is stored. */
static int code_at(const struct tare_matrix *m, const unsigned char *steps, int64_t lane, int64_t i)
{
    if (m->storage == TARE_STORE_T8)
        return steps[i / 4 * TARE_STEP_BYTES + 4 * lane + i % 4];
    if (m->storage == TARE_STORE_T4) {
        const int byte = steps[i / 8 * TARE_STEP_BYTES + 4 * lane + i % 4];
        return i % 8 < 4 ? byte & 15 : byte >> 4;
    }
    const struct planes p = planes_of(m->storage);
    const unsigned char *block = steps + (size_t)(i / TARE_ACTIVATION_BLOCK) * tare_tile_block(m->storage);
    const int64_t k = i % TARE_ACTIVATION_BLOCK / 4, byte = 4 * lane + i % 4;
    int code = p.has_nibbles ? block[k / 2 * TARE_STEP_BYTES + byte] >> 4 * (k % 2) & 15 : 0;
    if (p.has_pairs)
        code |= (block[p.pairs + (size_t)byte] >> 2 * k & 3) << p.pair_shift;
    if (p.has_bits)
        code |= (block[p.bits + (size_t)(8 * k + byte / 8)] >> byte % 8 & 1) << p.bit_shift;
    return code;
}

/* The whole number that a code stands for. */
static int whole(const struct tare_matrix *m, int code)
{
    return m->low ? 256 * m->table[code] + m->low[code] : m->table ? m->table[code] : code;
}

static float weight(const struct tare_matrix *m, const struct group *group, int code)
{
    if (m->levels)
        return group->scale * m->levels[code];
    return m->zeros ? group->scale * ((float)whole(m, code) - group->offset)
                    : fmaf(group->scale, (float)whole(m, code), group->offset);
}

void tare_scalar_unpack_tile(const struct tare_matrix *m, int64_t row, int64_t start, int64_t n, float *dst)
{
    const int64_t lane = row % TARE_TILE_ROWS;
    struct group group = {0};
    for (int64_t i = 0; i < n; i++) {
        const int64_t column = start + i, g = column / m->group, at = column - g * m->group;
        if (i == 0 || at == 0)
            group = group_at(m, row, g);
        dst[m->order ? m->order[column] - start : i] = weight(m, &group, code_at(m, group.steps, lane, at));
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
    float y = 0;
    for (int64_t g = 0; g < m->groups; g++) {
        const struct group group = group_at(m, row, g);
        const float v = *sum;
        float part = 0;
        for (int64_t i = 0; i < m->group; i += TARE_ACTIVATION_BLOCK, xs++, sum++) {
            int32_t dot = 0;
            for (int64_t k = 0; k < TARE_ACTIVATION_BLOCK; k++)
                dot += whole(m, code_at(m, group.steps, row % TARE_TILE_ROWS, i + k)) * *q++;
            part = fmaf(*xs, (float)dot, part);
        }
        y = m->zeros ? fmaf(group.scale, fmaf(-group.offset, v, part), y)
                     : fmaf(group.offset, v, fmaf(group.scale, part, y));
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
    float sum[2] = {0};
    for (int64_t g = 0; g < m->groups; g++, x += m->group) {
        const struct group group = group_at(m, row, g);
        for (int64_t i = 0; i < m->group; i++)
            sum[i / 4 % 2] += weight(m, &group, code_at(m, group.steps, row % TARE_TILE_ROWS, i)) * x[i];
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
    for (int64_t r = row; r < row + rows; r++) {
        float sum = 0;
        for (int64_t g = 0; g < m->groups; g++) {
            const struct group group = group_at(m, r, g);
            for (int64_t i = 0; i < m->group; i++) {
                const int64_t column = g * m->group + i;
                const float w = weight(m, &group, code_at(m, group.steps, r % TARE_TILE_ROWS, i));
                sum += w * x[m->order ? m->order[column] : column];
            }
        }
        y[r - row] = sum;
    }
}
