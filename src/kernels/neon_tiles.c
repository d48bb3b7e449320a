/* SPDX-License-Identifier: MIT
 * neon_tiles.c - kernels of tiles for 64-bit ARM with dot products of bytes: a register is a quarter of a step, 4 rows
 * of four columns, and is multiplied by one lane of 16 activations (sdot by element). Codes of T4 and entries of a
 * table are below 32, so signed bytes hold them. From a code of T8, and from an entry of a wide table, 128 is
 * subtracted, and 128 times the block's sum of q is added back to the product, all in integers. */
#include "kernels/tiles.h"

#if defined(__aarch64__) && defined(__ARM_FEATURE_DOTPROD)
#include "kernels/neon.h"

#define BLOCK TARE_ACTIVATION_BLOCK
#define LANES 4
enum { TOKENS = 4, QUARTERS = 4 }; /* the most whose sums stay in registers; not both at once */

/* Four of sixteen scales or offsets. */
TARE_INLINE float32x4_t numbers_at(const struct tare_matrix *m, const unsigned char *at, int quarter)
{
    if (m->scales == TARE_SCALES_F32)
        return tare_four_f32(at + 16 * quarter);
    return m->scales == TARE_SCALES_F16 ? tare_four_f16(at + 8 * quarter) : tare_four_bf16(at + 8 * quarter);
}

/* Unpacks a block of 16 columns of four rows: code[k] has columns 4k .. 4k + 3. */
TARE_INLINE void block_codes(enum tare_storage storage, bool look_up, uint8x16_t table, const unsigned char *steps,
                             int8x16_t code[4])
{
    const uint8x16_t low = vdupq_n_u8(15), middle = vdupq_n_u8(128);
    if (storage == TARE_STORE_T8) {
        for (int k = 0; k < 4; k++)
            code[k] = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(steps + TARE_STEP_BYTES * k), middle));
        return;
    }
    for (int k = 0; k < 2; k++) {
        const uint8x16_t both = vld1q_u8(steps + TARE_STEP_BYTES * k);
        uint8x16_t a = vandq_u8(both, low), b = vshrq_n_u8(both, 4);
        if (look_up) {
            a = vqtbl1q_u8(table, a);
            b = vqtbl1q_u8(table, b);
        }
        code[2 * k] = vreinterpretq_s8_u8(a);
        code[2 * k + 1] = vreinterpretq_s8_u8(b);
    }
}

TARE_INLINE int32x4_t block_dot(const int8x16_t code[4], int8x16_t q, int32x4_t dot)
{
    dot = vdotq_laneq_s32(dot, code[0], q, 0);
    dot = vdotq_laneq_s32(dot, code[1], q, 1);
    dot = vdotq_laneq_s32(dot, code[2], q, 2);
    return vdotq_laneq_s32(dot, code[3], q, 3);
}

/* Multiplies block b, whose codes for the first of Q quarters begin at steps, by T tokens, and adds the sums to
 * part[quarter][token]. */
TARE_INLINE void block(enum tare_storage storage, bool look_up, bool wide, int Q, int T, uint8x16_t table,
                       const unsigned char *steps, const struct tare_tokens *x, int64_t b,
                       float32x4_t part[QUARTERS][TOKENS])
{
    int8x16_t q[TOKENS];
    int32x4_t start[TOKENS];
    float scale[TOKENS];
    for (int t = 0; t < T; t++) {
        q[t] = vld1q_s8(x->q + t * x->in + b * BLOCK);
        start[t] = vdupq_n_s32(storage == TARE_STORE_T8 || (look_up && wide) ? 128 * vaddlvq_s8(q[t]) : 0);
        scale[t] = x->scale[t * x->blocks + b];
    }
    for (int k = 0; k < Q; k++) {
        int8x16_t code[4];
        block_codes(storage, look_up, table, steps + 16 * k, code);
        for (int t = 0; t < T; t++)
            part[k][t] = vfmaq_n_f32(part[k][t], vcvtq_f32_s32(block_dot(code, q[t], start[t])), scale[t]);
    }
}

/* Multiplies rows [4 quarter, 4 quarter + 4 Q) of a tile by T tokens. */
TARE_INLINE void some_rows(enum tare_storage storage, bool look_up, int Q, int T, const struct tare_matrix *m,
                           int64_t tile, int quarter, const struct tare_tokens *x, float32x4_t total[QUARTERS][TOKENS])
{
    const unsigned char *at = m->data + (size_t)tile * m->stride;
    const size_t numbers = tare_tile_scales(m), bytes = (storage == TARE_STORE_T4 ? 2 : 4) * TARE_STEP_BYTES;
    const int64_t blocks = m->group / BLOCK;
    const uint8x16_t entries = look_up ? vld1q_u8(m->table) : vdupq_n_u8(0);
    const uint8x16_t table = m->wide ? veorq_u8(entries, vdupq_n_u8(128)) : entries; /* - 128, as signed bytes */
    for (int k = 0; k < Q; k++)
        for (int t = 0; t < T; t++)
            total[k][t] = vdupq_n_f32(0);
    for (int64_t g = 0, b = 0; g < m->groups; g++, at += tare_tile_group(m)) {
        const unsigned char *steps = at + 2 * numbers + 16 * quarter;
        float32x4_t part[QUARTERS][TOKENS];
        for (int k = 0; k < Q; k++)
            for (int t = 0; t < T; t++)
                part[k][t] = vdupq_n_f32(0);
        for (int64_t i = 0; i < blocks; i++, b++, steps += bytes)
            block(storage, look_up, m->wide, Q, T, table, steps, x, b, part);
        for (int k = 0; k < Q; k++) {
            const float32x4_t s = numbers_at(m, at, quarter + k), o = numbers_at(m, at + numbers, quarter + k);
            for (int t = 0; t < T; t++) {
                const float32x4_t v = vdupq_n_f32(x->sum[t * x->blocks + g * blocks]);
                total[k][t] = m->zeros ? vfmaq_f32(total[k][t], s, vfmsq_f32(part[k][t], o, v))
                                       : vfmaq_f32(vfmaq_f32(total[k][t], s, part[k][t]), o, v);
            }
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
TARE_INLINE void some_tiles(enum tare_storage storage, bool look_up, int T, const struct tare_matrix *m, int64_t tile,
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

/* Unpacks the codes of columns 4i .. 4i + 3 of a group, for four rows; `at` is the quarter's first step. */
TARE_INLINE uint32x4_t exact_codes(enum tare_storage storage, const struct tare_matrix *m, const unsigned char *at,
                                   int64_t i)
{
    if (storage == TARE_STORE_T8)
        return vreinterpretq_u32_u8(vld1q_u8(at + i * TARE_STEP_BYTES));
    const uint8x16_t both = vld1q_u8(at + i / 2 * TARE_STEP_BYTES);
    const uint8x16_t code = i % 2 ? vshrq_n_u8(both, 4) : vandq_u8(both, vdupq_n_u8(15));
    return vreinterpretq_u32_u8(m->table ? vqtbl1q_u8(vld1q_u8(m->table), code) : code);
}

/* Returns the weights of column j of four, for four rows: byte j of each 32-bit lane. */
TARE_INLINE float32x4_t column(const struct tare_matrix *m, uint32x4_t codes, int j, float32x4_t s, float32x4_t o)
{
    const uint32x4_t byte = vandq_u32(vshlq_u32(codes, vdupq_n_s32(-8 * j)), vdupq_n_u32(255));
    const float32x4_t code = vcvtq_f32_u32(byte);
    return m->zeros ? vmulq_f32(s, vsubq_f32(code, o)) : vfmaq_f32(o, s, code);
}

TARE_INLINE void exact_rows(enum tare_storage storage, int T, const struct tare_matrix *m, int64_t tile, int quarter,
                            const float *x, int64_t ldx, float32x4_t sum[TOKENS][2])
{
    const unsigned char *at = m->data + (size_t)tile * m->stride;
    const size_t numbers = tare_tile_scales(m);
    for (int t = 0; t < T; t++)
        sum[t][0] = sum[t][1] = vdupq_n_f32(0);
    for (int64_t g = 0; g < m->groups; g++, at += tare_tile_group(m)) {
        const float32x4_t s = numbers_at(m, at, quarter), o = numbers_at(m, at + numbers, quarter);
        for (int64_t i = 0; i < m->group / 4; i++, x += 4) {
            const uint32x4_t codes = exact_codes(storage, m, at + 2 * numbers + 16 * quarter, i);
            for (int j = 0; j < 4; j++) {
                const float32x4_t w = column(m, codes, j, s, o);
                for (int t = 0; t < T; t++)
                    sum[t][i % 2] = vfmaq_n_f32(sum[t][i % 2], w, x[t * ldx + j]);
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
