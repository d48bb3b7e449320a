/* SPDX-License-Identifier: MIT
 * neon_rows.c - kernels for 64-bit ARM: dense weights, and functions of vectors. Four floats a register, 32 registers.
 */
#include "kernels/kernels.h"

#if defined(__aarch64__) && defined(__ARM_FEATURE_DOTPROD)
#include "base/half.h"
#include "kernels/neon.h"

TARE_INLINE float32x4_t four_of(enum tare_storage storage, const unsigned char *row, int64_t i)
{
    if (storage == TARE_STORE_F32)
        return tare_four_f32(row + 4 * i);
    return storage == TARE_STORE_F16 ? tare_four_f16(row + 2 * i) : tare_four_bf16(row + 2 * i);
}

TARE_INLINE float one_of(enum tare_storage storage, const unsigned char *row, int64_t i)
{
    float whole;
    uint16_t half;
    if (storage == TARE_STORE_F32) {
        memcpy(&whole, row + 4 * i, sizeof whole);
        return whole;
    }
    memcpy(&half, row + 2 * i, sizeof half);
    return storage == TARE_STORE_F16 ? tare_from_float16(half) : tare_from_bfloat16(half);
}

/* y[t * ldy + r] (+)= sum over k columns; rows of w are `stride` bytes apart. */
struct product {
    const unsigned char *w;
    size_t stride;
    const float *x;
    int64_t ldx, k;
    float *y;
    int64_t ldy;
    bool add;
};

/* Adds the products of the columns that do not fill two registers. */
TARE_INLINE float leftover(enum tare_storage storage, const unsigned char *row, const float *x, int64_t start,
                           int64_t end)
{
    float sum = 0;
    for (int64_t i = start; i < end; i++)
        sum += one_of(storage, row, i) * x[i];
    return sum;
}

/* Multiplies rows r .. r + R - 1 by tokens t .. t + T - 1, with R * T sums in registers. One token alone gives the same
 * bits as among others, and weights that were expanded before give the same bits as those that are expanded here. */
TARE_INLINE void tile(enum tare_storage storage, int R, int T, const struct product *p, int64_t r, int64_t t)
{
    const int64_t whole = p->k / 8 * 8;
    const unsigned char *w = p->w + (size_t)r * p->stride;
    const float *x = p->x + t * p->ldx;
    float *y = p->y + t * p->ldy + r;
    struct tare_eight sum[4][2];
    for (int a = 0; a < R; a++)
        for (int b = 0; b < T; b++)
            sum[a][b] = tare_eight_zero();
    for (int64_t i = 0; i < whole; i += 8) {
        struct tare_eight row[4];
        for (int a = 0; a < R; a++) {
            const unsigned char *at = w + (size_t)a * p->stride;
            row[a] = (struct tare_eight){four_of(storage, at, i), four_of(storage, at, i + 4)};
        }
        for (int b = 0; b < T; b++) {
            const struct tare_eight token = tare_eight_load(x + b * p->ldx + i, 8);
            for (int a = 0; a < R; a++)
                sum[a][b] = tare_eight_madd(row[a], token, sum[a][b]);
        }
    }
    for (int b = 0; b < T; b++)
        for (int a = 0; a < R; a++) {
            float *to = y + b * p->ldy + a;
            const float rest = leftover(storage, w + (size_t)a * p->stride, x + b * p->ldx, whole, p->k);
            *to = (p->add ? *to : 0) + tare_eight_total(sum[a][b]) + rest;
        }
}

TARE_INLINE void some_tokens(enum tare_storage storage, int T, const struct product *p, int64_t rows, int64_t t)
{
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4)
        tile(storage, 4, T, p, r, t);
    for (; r < rows; r++)
        tile(storage, 1, T, p, r, t);
}

static void panel(const float *w, int64_t ldw, int64_t rows, const float *x, int64_t ldx, int64_t tokens, int64_t k,
                  float *y, int64_t ldy, bool add)
{
    const struct product p = {(const unsigned char *)w, (size_t)ldw * sizeof *w, x, ldx, k, y, ldy, add};
    int64_t t = 0;
    for (; t + 2 <= tokens; t += 2)
        some_tokens(TARE_STORE_F32, 2, &p, rows, t);
    if (t < tokens)
        some_tokens(TARE_STORE_F32, 1, &p, rows, t);
}

/* Eight columns of e4m3, times 2^-8: with a bit more of exponent they are float16, but for NaN. */
TARE_INLINE struct tare_eight eight_e4m3(const unsigned char *at)
{
    const int16x8_t wide = vshlq_n_s16(vmovl_s8(vreinterpret_s8_u8(vld1_u8(at))), 7);
    const float16x8_t half = vreinterpretq_f16_s16(vandq_s16(wide, vdupq_n_s16((int16_t)0xbf80)));
    return (struct tare_eight){vcvt_f32_f16(vget_low_f16(half)), vcvt_f32_f16(vget_high_f16(half))};
}

static void unpack_e4m3(const struct tare_matrix *m, int64_t row, int64_t start, int64_t n, float *dst)
{
    const unsigned char *data = m->data + (size_t)row * m->stride;
    for (int64_t i = start, end = start + n, next; i < end; i = next) {
        const int64_t last = (i / m->group + 1) * m->group;
        const float scale = m->scale[row * m->groups + i / m->group] * 256;
        int64_t k = i;
        next = last < end ? last : end;
        for (; k + 8 <= next; k += 8) {
            const struct tare_eight w = eight_e4m3(data + k);
            vst1q_f32(dst + k - start, vmulq_n_f32(w.low, scale));
            vst1q_f32(dst + k - start + 4, vmulq_n_f32(w.high, scale));
        }
        if (k < next)
            tare_kernels_scalar.unpack[TARE_STORE_E4M3](m, row, k, next - k, dst + k - start);
    }
}

/* Four rows at a time are expanded to float32 and then multiplied. */
static void dot_expanded(const struct tare_matrix *m, int64_t row, int64_t rows, const float *x, float *y)
{
    float w[4 * TARE_PANEL_COLUMNS];
    for (int64_t r = 0, some; r < rows; r += some) {
        some = rows - r < 4 ? rows - r : 4;
        for (int64_t start = 0; start < m->in; start += TARE_PANEL_COLUMNS) {
            const int64_t n = m->in - start < TARE_PANEL_COLUMNS ? m->in - start : TARE_PANEL_COLUMNS;
            for (int64_t k = 0; k < some; k++)
                unpack_e4m3(m, row + r + k, start, n, w + k * TARE_PANEL_COLUMNS);
            panel(w, TARE_PANEL_COLUMNS, some, x + start, m->in, 1, n, y + r, some, start > 0);
        }
    }
}

/* Takes as many columns at a time as panel() is given at once. */
TARE_INLINE void dot_dense(enum tare_storage storage, const struct tare_matrix *m, int64_t row, int64_t rows,
                           const float *x, float *y)
{
    const size_t item = storage == TARE_STORE_F32 ? 4 : 2;
    if (storage == TARE_STORE_E4M3) {
        dot_expanded(m, row, rows, x, y);
        return;
    }
    for (int64_t start = 0; start < m->in; start += TARE_PANEL_COLUMNS) {
        const int64_t n = m->in - start < TARE_PANEL_COLUMNS ? m->in - start : TARE_PANEL_COLUMNS;
        const struct product p = {.w = m->data + (size_t)row * m->stride + (size_t)start * item,
                                  .stride = m->stride,
                                  .x = x + start,
                                  .k = n,
                                  .y = y,
                                  .add = start > 0};
        some_tokens(storage, 1, &p, rows, 0);
    }
}

TARE_INLINE void unpack_dense(enum tare_storage storage, const struct tare_matrix *m, int64_t row, int64_t start,
                              int64_t n, float *dst)
{
    const unsigned char *from = m->data + (size_t)row * m->stride + 2 * (size_t)start;
    int64_t i = 0;
    for (; i + 4 <= n; i += 4)
        vst1q_f32(dst + i, four_of(storage, from, i));
    for (; i < n; i++)
        dst[i] = one_of(storage, from, i);
}

/* exp x = 2^n * exp r, n = round(x / ln 2), |r| <= ln 2 / 2: the eighth Taylor term is below 2^-27. ln 2 in two parts,
 * the first short enough for n times it to be exact. x within +-87, so that 2^n is a normal float. */
TARE_INLINE float32x4_t exponential(float32x4_t x)
{
    static const float inverse_factorial[] = {1.0f / 5040, 1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1, 1};
    const float32x4_t n = vrndnq_f32(vmulq_n_f32(x, 1.44269504f));
    const float32x4_t r = vfmsq_f32(vfmsq_f32(x, n, vdupq_n_f32(0.693359375f)), n, vdupq_n_f32(-2.12194440e-4f));
    float32x4_t sum = vdupq_n_f32(inverse_factorial[0]);
    for (int i = 1; i < 8; i++)
        sum = vfmaq_f32(vdupq_n_f32(inverse_factorial[i]), sum, r);
    const int32x4_t power = vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127)), 23);
    return vmulq_f32(sum, vreinterpretq_f32_s32(power));
}

/* max and min of this set give NaN when one is. */
static float exponents(float *s, int64_t n, float most)
{
    static const int32_t places[] = {0, 1, 2, 3};
    const float32x4_t least = vdupq_n_f32(-87);
    float32x4_t sum = vdupq_n_f32(0);
    for (int64_t i = 0; i < n; i += 4) {
        const int32_t left = n - i < 4 ? (int32_t)(n - i) : 4;
        const float32x4_t x = vsubq_f32(tare_four_load(s + i, left), vdupq_n_f32(most));
        const uint32x4_t there = vcltq_s32(vld1q_s32(places), vdupq_n_s32(left));
        const uint32x4_t kept = vbicq_u32(there, vcltq_f32(x, least)); /* what is smaller becomes zero */
        const uint32x4_t bits = vreinterpretq_u32_f32(exponential(vmaxq_f32(least, x)));
        const float32x4_t e = vreinterpretq_f32_u32(vandq_u32(bits, kept));
        tare_four_store(s + i, left, e);
        sum = vaddq_f32(sum, e);
    }
    return vaddvq_f32(sum);
}

static void silu(float *gate, const float *up, int64_t n)
{
    const float32x4_t one = vdupq_n_f32(1), most = vdupq_n_f32(87), least = vdupq_n_f32(-87);
    for (int64_t i = 0; i < n; i += 4) {
        const float32x4_t g = tare_four_load(gate + i, n - i);
        const float32x4_t x = vminq_f32(most, vmaxq_f32(least, vnegq_f32(g)));
        const float32x4_t act = vdivq_f32(g, vaddq_f32(one, exponential(x)));
        tare_four_store(gate + i, n - i, vmulq_f32(act, up ? tare_four_load(up + i, n - i) : one));
    }
}

static float squares(const float *x, int64_t n)
{
    struct tare_eight sum[2] = {tare_eight_zero(), tare_eight_zero()};
    for (int64_t i = 0; i < n; i += 16)
        for (int k = 0; k < 2 && i + 8 * k < n; k++) {
            const struct tare_eight v = tare_eight_load(x + i + 8 * k, n - i - 8 * k);
            sum[k] = tare_eight_madd(v, v, sum[k]);
        }
    return tare_eight_total(sum[0]) + tare_eight_total(sum[1]);
}

#include "kernels/rows_dispatch.h"

void tare_kernels_neon(struct tare_kernels *k)
{
    fill_rows(k);
}
#else
void tare_kernels_neon(struct tare_kernels *k)
{
    (void)k;
}
#endif
