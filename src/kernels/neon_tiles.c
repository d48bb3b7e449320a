/* SPDX-License-Identifier: MIT
 * neon_tiles.c - kernels of tiles for 64-bit ARM with dot products of bytes: a register is a quarter of a step, 4 rows
 * of four columns, and is multiplied by one lane of 16 activations (sdot by element). Codes of T6 and entries of a
 * table are below 64, so signed bytes hold them. From a code of T8, and from an entry of a wide table, 128 is
 * subtracted, and 128 times the block's sum of q is added back to the product, all in integers. */
#include "kernels/tiles.h"

#if defined(__aarch64__) && defined(__ARM_FEATURE_DOTPROD)
#include "kernels/neon.h"

#define BLOCK TARE_ACTIVATION_BLOCK
#define TOKENS_OF(storage, look_up) TOKENS
#define LANES 4
enum { TOKENS = 4, QUARTERS = 4 }; /* the most whose sums stay in registers; not both at once */

/* Four of sixteen scales or offsets. */
TARE_INLINE float32x4_t numbers_at(const struct tare_matrix *m, const unsigned char *at, int quarter)
{
    if (m->scales == TARE_SCALES_F32)
        return tare_four_f32(at + 16 * quarter);
    return m->scales == TARE_SCALES_F16 ? tare_four_f16(at + 8 * quarter) : tare_four_bf16(at + 8 * quarter);
}

/* Four of sixteen factors of one byte each. */
TARE_INLINE float32x4_t factors_at(enum tare_factors kind, const unsigned char *at, int quarter)
{
    float four[4];
    for (int r = 0; r < 4; r++)
        four[r] = tare_tile_factor(kind, at[4 * quarter + r]);
    return vld1q_f32(four);
}

/* The scales and offsets of four rows: those of the header, and of a group. */
struct numbers {
    float32x4_t scale, offset;
};

TARE_INLINE struct numbers header_numbers(const struct tare_matrix *m, const unsigned char *at, int quarter)
{
    return (struct numbers){numbers_at(m, at, quarter), numbers_at(m, at + tare_tile_scales(m), quarter)};
}

TARE_INLINE struct numbers group_numbers(const struct tare_matrix *m, struct numbers header,
                                         const unsigned char *factors, int quarter)
{
    if (!m->factors)
        return header;
    header.scale = vmulq_f32(header.scale, factors_at(m->factors, factors, quarter));
    if (!m->zeros) {
        float least[4];
        for (int r = 0; r < 4; r++)
            least[r] = factors[TARE_TILE_ROWS + 4 * quarter + r];
        header.offset = vmulq_f32(header.offset, vld1q_f32(least));
    }
    return header;
}

/* The planes of a block, 16 columns of four rows; see tiles.h. */
TARE_INLINE void block_nibbles(const unsigned char *steps, uint8x16_t code[4])
{
    for (int k = 0; k < 2; k++) {
        const uint8x16_t both = vld1q_u8(steps + TARE_STEP_BYTES * k);
        code[2 * k] = vandq_u8(both, vdupq_n_u8(15));
        code[2 * k + 1] = vshrq_n_u8(both, 4);
    }
}

TARE_INLINE void block_pairs(const unsigned char *plane, uint8x16_t code[4])
{
    const uint8x16_t all = vld1q_u8(plane), low = vdupq_n_u8(3);
    code[0] = vandq_u8(all, low);
    code[1] = vandq_u8(vshrq_n_u8(all, 2), low);
    code[2] = vandq_u8(vshrq_n_u8(all, 4), low);
    code[3] = vshrq_n_u8(all, 6);
}

TARE_INLINE void add_pairs(const unsigned char *plane, uint8x16_t code[4])
{
    uint8x16_t pair[4];
    block_pairs(plane, pair);
    for (int k = 0; k < 4; k++)
        code[k] = vorrq_u8(code[k], vshlq_n_u8(pair[k], 4));
}

/* Bits of 16 bytes stand in two bytes: each is brought to the eight bytes that it has bits of. */
TARE_INLINE void add_bits(const unsigned char *plane, int quarter, uint8_t weight, uint8x16_t code[4])
{
    const uint8x16_t one = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201u));
    for (int k = 0; k < 4; k++) {
        const unsigned char *two = plane + 8 * k + 2 * quarter;
        const uint8x16_t bits = vcombine_u8(vdup_n_u8(two[0]), vdup_n_u8(two[1]));
        code[k] = vorrq_u8(code[k], vandq_u8(vtstq_u8(bits, one), vdupq_n_u8(weight)));
    }
}

/* Unpacks a block of 16 columns of four rows: code[k] has columns 4k .. 4k + 3. `block` is its first byte. */
TARE_INLINE void block_bytes(enum tare_storage storage, bool look_up, uint8x16_t table, const unsigned char *block,
                             int quarter, uint8x16_t code[4])
{
    const unsigned char *steps = block + 16 * quarter;
    if (storage == TARE_STORE_T8) {
        for (int k = 0; k < 4; k++)
            code[k] = vld1q_u8(steps + TARE_STEP_BYTES * k);
        return;
    }
    if (storage == TARE_STORE_T2 || storage == TARE_STORE_T3)
        block_pairs(steps, code);
    else
        block_nibbles(steps, code);
    if (storage == TARE_STORE_T6)
        add_pairs(steps + 2 * TARE_STEP_BYTES, code);
    if (storage == TARE_STORE_T3)
        add_bits(block + TARE_STEP_BYTES, quarter, 4, code);
    if (storage == TARE_STORE_T5)
        add_bits(block + 2 * TARE_STEP_BYTES, quarter, 16, code);
    for (int k = 0; look_up && k < 4; k++)
        code[k] = vqtbl1q_u8(table, code[k]);
}

/* The same as signed bytes; of T8, less 128. */
TARE_INLINE void block_codes(enum tare_storage storage, bool look_up, uint8x16_t table, const unsigned char *block,
                             int quarter, int8x16_t code[4])
{
    uint8x16_t bytes[4];
    block_bytes(storage, look_up, table, block, quarter, bytes);
    for (int k = 0; k < 4; k++)
        code[k] = vreinterpretq_s8_u8(storage == TARE_STORE_T8 ? veorq_u8(bytes[k], vdupq_n_u8(128)) : bytes[k]);
}

TARE_INLINE int32x4_t block_dot(const int8x16_t code[4], int8x16_t q, int32x4_t dot)
{
    dot = vdotq_laneq_s32(dot, code[0], q, 0);
    dot = vdotq_laneq_s32(dot, code[1], q, 1);
    dot = vdotq_laneq_s32(dot, code[2], q, 2);
    return vdotq_laneq_s32(dot, code[3], q, 3);
}

/* The tables of a matrix; with two, or a wide one, their entries less 128 as signed bytes. */
struct tables {
    uint8x16_t table, low;
};

TARE_INLINE struct tables tables_of(const struct tare_matrix *m, int look_up)
{
    const uint8x16_t middle = vdupq_n_u8(m->wide || look_up == 2 ? 128 : 0);
    struct tables t = {vdupq_n_u8(0), vdupq_n_u8(0)};
    if (look_up)
        t.table = veorq_u8(vld1q_u8(m->table), middle);
    if (look_up == 2)
        t.low = veorq_u8(vld1q_u8(m->low), middle);
    return t;
}

/* The same as block_dot() for codes that stand for the numbers of both tables; start: 128 times the sum of q. */
TARE_INLINE int32x4_t block_two(const int8x16_t code[4], struct tables tables, int8x16_t q, int32x4_t start)
{
    int8x16_t high[4], low[4];
    for (int k = 0; k < 4; k++) {
        high[k] = vreinterpretq_s8_u8(vqtbl1q_u8(tables.table, vreinterpretq_u8_s8(code[k])));
        low[k] = vreinterpretq_s8_u8(vqtbl1q_u8(tables.low, vreinterpretq_u8_s8(code[k])));
    }
    return vaddq_s32(vshlq_n_s32(block_dot(high, q, start), 8), block_dot(low, q, start));
}

/* Multiplies Q quarters of block b, whose codes begin at steps, by T tokens, and adds the sums to
 * part[quarter][token]. */
TARE_INLINE void block(enum tare_storage storage, int look_up, bool wide, int Q, int T, struct tables tables,
                       const unsigned char *steps, int quarter, const struct tare_tokens *x, int64_t b,
                       float32x4_t part[QUARTERS][TOKENS])
{
    const bool middle = storage == TARE_STORE_T8 || look_up == 2 || (look_up && wide);
    int8x16_t q[TOKENS];
    int32x4_t start[TOKENS];
    float scale[TOKENS];
    for (int t = 0; t < T; t++) {
        q[t] = vld1q_s8(x->q + t * x->in + b * BLOCK);
        start[t] = vdupq_n_s32(middle ? 128 * vaddlvq_s8(q[t]) : 0);
        scale[t] = x->scale[t * x->blocks + b];
    }
    for (int k = 0; k < Q; k++) {
        int8x16_t code[4];
        block_codes(storage, look_up == 1, tables.table, steps, quarter + k, code);
        for (int t = 0; t < T; t++) {
            const int32x4_t dot =
                look_up == 2 ? block_two(code, tables, q[t], start[t]) : block_dot(code, q[t], start[t]);
            part[k][t] = vfmaq_n_f32(part[k][t], vcvtq_f32_s32(dot), scale[t]);
        }
    }
}

/* Adds what a group's sums come to, to total[t]; `first` is its first block. */
TARE_INLINE void add_group(const struct tare_matrix *m, int T, struct numbers n, const struct tare_tokens *x,
                           int64_t first, const float32x4_t part[TOKENS], float32x4_t total[TOKENS])
{
    for (int t = 0; t < T; t++) {
        const float32x4_t v = vdupq_n_f32(x->sum[t * x->blocks + first]);
        total[t] = m->zeros ? vfmaq_f32(total[t], n.scale, vfmsq_f32(part[t], n.offset, v))
                            : vfmaq_f32(vfmaq_f32(total[t], n.scale, part[t]), n.offset, v);
    }
}

/* Multiplies rows [4 quarter, 4 quarter + 4 Q) of a tile by T tokens. */
TARE_INLINE void some_rows(enum tare_storage storage, int look_up, int Q, int T, const struct tare_matrix *m,
                           int64_t tile, int quarter, const struct tare_tokens *x, float32x4_t total[QUARTERS][TOKENS])
{
    const unsigned char *at = m->data + (size_t)tile * m->stride;
    const int64_t blocks = m->group / BLOCK, end = m->in / BLOCK, columns = tare_tile_columns(m) / BLOCK;
    const struct tables tables = tables_of(m, look_up);
    for (int k = 0; k < Q; k++)
        for (int t = 0; t < T; t++)
            total[k][t] = vdupq_n_f32(0);
    for (int64_t b = 0; b < end; at += tare_tile_group(m)) {
        const unsigned char *steps = at + tare_tile_header(m), *factor = at + 2 * tare_tile_scales(m);
        for (const int64_t last = b + columns; b < last; factor += tare_tile_factors(m)) {
            const int64_t first = b;
            float32x4_t part[QUARTERS][TOKENS];
            for (int k = 0; k < Q; k++)
                for (int t = 0; t < T; t++)
                    part[k][t] = vdupq_n_f32(0);
            for (; b < first + blocks; b++, steps += tare_tile_block(storage))
                block(storage, look_up, m->wide, Q, T, tables, steps, quarter, x, b, part);
            for (int k = 0; k < Q; k++)
                add_group(m, T, group_numbers(m, header_numbers(m, at, quarter + k), factor, quarter + k), x, first,
                          part[k], total[k]);
        }
    }
}

/* Stores up to four sums, for the rows from `row` on; fewer when the matrix ends first. */
TARE_INLINE void store(const struct tare_matrix *m, int64_t row, float32x4_t value, float *y)
{
    tare_four_store(y, m->rows - row, value);
}

/* Up to two tokens are multiplied by whole tiles, four by half ones: 32 registers hold 8 sums, 4 registers of codes and
 * the activations. */
TARE_INLINE void some_tiles(enum tare_storage storage, int look_up, int T, const struct tare_matrix *m, int64_t tile,
                            int64_t n, const struct tare_tokens *x, float *y, int64_t ldy)
{
    const int Q = T > 2 ? 2 : 4;
    for (int64_t i = 0; i < n; i++)
        for (int quarter = 0; quarter < QUARTERS; quarter += Q) {
            float32x4_t total[QUARTERS][TOKENS];
            some_rows(storage, look_up, Q, T, m, tile + i, quarter, x, total);
            for (int k = 0; k < Q; k++)
                for (int t = 0; t < T; t++) {
                    const int64_t row = i * TARE_TILE_ROWS + (quarter + k) * LANES;
                    store(m, tile * TARE_TILE_ROWS + row, total[k][t], y + t * ldy + row);
                }
        }
}

/* Returns the weights of column j of four, for four rows: byte j of each 32-bit lane. */
TARE_INLINE float32x4_t column(const struct tare_matrix *m, uint8x16_t codes, int j, struct numbers n)
{
    const uint32x4_t word = vreinterpretq_u32_u8(codes);
    const uint32x4_t byte = vandq_u32(vshlq_u32(word, vdupq_n_s32(-8 * j)), vdupq_n_u32(255));
    if (m->levels) {
        const float level[4] = {m->levels[vgetq_lane_u32(byte, 0)], m->levels[vgetq_lane_u32(byte, 1)],
                                m->levels[vgetq_lane_u32(byte, 2)], m->levels[vgetq_lane_u32(byte, 3)]};
        return vmulq_f32(n.scale, vld1q_f32(level));
    }
    const float32x4_t code = vcvtq_f32_u32(byte);
    return m->zeros ? vmulq_f32(n.scale, vsubq_f32(code, n.offset)) : vfmaq_f32(n.offset, n.scale, code);
}

/* Multiplies a block by T tokens in float32. Two sums a token take turns, to hide the latency of addition. */
TARE_INLINE void exact_block(int T, const struct tare_matrix *m, const uint8x16_t code[4], struct numbers n,
                             const float *x, int64_t ldx, float32x4_t sum[TOKENS][2])
{
    for (int k = 0; k < 4; k++)
        for (int j = 0; j < 4; j++) {
            const float32x4_t w = column(m, code[k], j, n);
            for (int t = 0; t < T; t++)
                sum[t][k % 2] = vfmaq_n_f32(sum[t][k % 2], w, x[t * ldx + 4 * k + j]);
        }
}

TARE_INLINE void exact_rows(enum tare_storage storage, int T, const struct tare_matrix *m, int64_t tile, int quarter,
                            const float *x, int64_t ldx, float32x4_t sum[TOKENS][2])
{
    const unsigned char *at = m->data + (size_t)tile * m->stride;
    const bool look_up = m->table && !m->levels;
    const uint8x16_t table = look_up ? vld1q_u8(m->table) : vdupq_n_u8(0);
    for (int t = 0; t < T; t++)
        sum[t][0] = sum[t][1] = vdupq_n_f32(0);
    for (int64_t i = 0; i < m->in; at += tare_tile_group(m)) {
        const struct numbers both = header_numbers(m, at, quarter);
        const unsigned char *steps = at + tare_tile_header(m), *factor = at + 2 * tare_tile_scales(m);
        for (const int64_t last = i + tare_tile_columns(m); i < last; factor += tare_tile_factors(m)) {
            const struct numbers n = group_numbers(m, both, factor, quarter);
            for (const int64_t next = i + m->group; i < next; i += BLOCK, x += BLOCK) {
                uint8x16_t code[4];
                block_bytes(storage, look_up, table, steps, quarter, code);
                exact_block(T, m, code, n, x, ldx, sum);
                steps += tare_tile_block(storage);
            }
        }
    }
}

TARE_INLINE void exact_tiles(enum tare_storage storage, int T, const struct tare_matrix *m, int64_t tile, int64_t n,
                             const float *x, int64_t ldx, float *y, int64_t ldy)
{
    for (int64_t i = 0; i < n; i++)
        for (int quarter = 0; quarter < QUARTERS; quarter++) {
            float32x4_t sum[TOKENS][2];
            exact_rows(storage, T, m, tile + i, quarter, x, ldx, sum);
            const int64_t row = i * TARE_TILE_ROWS + quarter * LANES;
            for (int t = 0; t < T; t++)
                store(m, tile * TARE_TILE_ROWS + row, vaddq_f32(sum[t][0], sum[t][1]), y + t * ldy + row);
        }
}

TARE_INLINE float32x4_t four_at(const float *x, const int32_t *order, int64_t i)
{
    if (!order)
        return vld1q_f32(x + i);
    const float four[4] = {x[order[i]], x[order[i + 1]], x[order[i + 2]], x[order[i + 3]]};
    return vld1q_f32(four);
}

/* Rounds to integers, to even ones from halves; a NaN becomes 0. */
TARE_INLINE int16x4_t rounded(float32x4_t scaled)
{
    return vmovn_s32(vcvtnq_s32_f32(scaled));
}

static void quantize(const float *x, const int32_t *order, int64_t n, const struct tare_activations *to, int64_t token)
{
    int8_t *q = to->q + token * to->in;
    float *scale = to->scale + token * (to->in / BLOCK), *sum = to->sum + token * (to->in / BLOCK);
    for (int64_t i = 0; i < n; i += BLOCK, scale++, sum++) {
        float32x4_t value[4], most = vdupq_n_f32(0), poison = vdupq_n_f32(0);
        for (int k = 0; k < 4; k++) {
            value[k] = four_at(x, order, i + 4 * k);
            most = vmaxnmq_f32(most, vabsq_f32(value[k])); /* of a number and a NaN it takes the number */
            poison = vfmaq_n_f32(poison, value[k], 0);
        }
        const float top = vmaxnmvq_f32(most), inverse = tare_activation_inverse(top);
        int16x4_t code[4];
        for (int k = 0; k < 4; k++)
            code[k] = rounded(vmulq_n_f32(value[k], inverse));
        const int8x16_t all =
            vcombine_s8(vmovn_s16(vcombine_s16(code[0], code[1])), vmovn_s16(vcombine_s16(code[2], code[3])));
        vst1q_s8(q + i, all);
        *scale = top / 127 + vaddvq_f32(poison);
        *sum = *scale * (float)vaddlvq_s8(all);
    }
}

#include "kernels/tiles_dispatch.h"

void tare_kernels_neon_tiles(struct tare_kernels *k)
{
    fill_tiles(k);
}
#else
void tare_kernels_neon_tiles(struct tare_kernels *k)
{
    (void)k;
}
#endif
