/* SPDX-License-Identifier: MIT
 * avx512.c - kernels for AVX-512 (F, BW, DQ, VL): 16 floats a register, 32 registers.
 *
 * Four-bit codes need no unpacking: one register holds 128 of them, a shift brings 16 to the lowest bits, and a
 * permutation that reads only those bits looks their weights up in a table of 16 that is made once a group.
 */
#include "kernels/kernels.h"

#if defined(__AVX512F__)
#include <immintrin.h>

#include "kernels/delta.h"
#include "kernels/state_step.h"

static const unsigned char *row_of(const struct tare_matrix *m, int64_t row)
{
    return m->data + (size_t)row * m->stride;
}

static __mmask16 tail(int64_t n)
{
    const unsigned mask = n >= 16 ? 0xffff : (1u << n) - 1;
    return (__mmask16)mask;
}

/* Sixteen dense columns from i on, n of them (at most 16) real. */
static inline __m512 dense(enum tare_storage storage, const unsigned char *row, int64_t i, __mmask16 mask)
{
    if (storage == TARE_STORE_F32)
        return _mm512_maskz_loadu_ps(mask, row + 4 * i);
    const __m256i half = _mm256_maskz_loadu_epi16(mask, row + 2 * i);
    return storage == TARE_STORE_F16 ? _mm512_cvtph_ps(half)
                                     : _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

static inline void dot_dense(enum tare_storage storage, const struct tare_matrix *m, int64_t row, int64_t rows,
                             const float *x, float *y)
{
    for (int64_t r = 0; r < rows; r++) {
        const unsigned char *w = row_of(m, row + r);
        __m512 sum[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()};
        int64_t i = 0;
        for (; i + 64 <= m->in; i += 64)
            for (int k = 0; k < 4; k++)
                sum[k] =
                    _mm512_fmadd_ps(dense(storage, w, i + 16 * k, 0xffff), _mm512_loadu_ps(x + i + 16 * k), sum[k]);
        for (; i < m->in; i += 16)
            sum[0] = _mm512_fmadd_ps(dense(storage, w, i, tail(m->in - i)),
                                     _mm512_maskz_loadu_ps(tail(m->in - i), x + i), sum[0]);
        y[r] = _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(sum[0], sum[1]), _mm512_add_ps(sum[2], sum[3])));
    }
}

static void dot_f32(const struct tare_matrix *m, int64_t row, int64_t rows, const float *x, float *y)
{
    dot_dense(TARE_STORE_F32, m, row, rows, x, y);
}

static void dot_f16(const struct tare_matrix *m, int64_t row, int64_t rows, const float *x, float *y)
{
    dot_dense(TARE_STORE_F16, m, row, rows, x, y);
}

static void dot_bf16(const struct tare_matrix *m, int64_t row, int64_t rows, const float *x, float *y)
{
    dot_dense(TARE_STORE_BF16, m, row, rows, x, y);
}

/* table[c] = scale * c + offset for the sixteen codes */
static inline __m512 table_of(const float *scale, const float *offset)
{
    const __m512 code = _mm512_set_ps(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    return _mm512_fmadd_ps(code, _mm512_set1_ps(*scale), _mm512_set1_ps(*offset));
}

/* Weights of columns 16k .. 16k + 15 of a block; the permutation reads the lowest four bits of each word. */
static inline __m512 look_up(__m512 table, __m512i words, unsigned k)
{
    return _mm512_permutexvar_ps(_mm512_srli_epi32(words, 4 * k), table);
}

/* Two registers of weights (32 columns, which share a group) times x. */
static inline void pair(__m512 table, __m512i words, unsigned p, const float *x, __m512 sum[2])
{
    sum[0] = _mm512_fmadd_ps(look_up(table, words, 2 * p), _mm512_loadu_ps(x + 32 * p), sum[0]);
    sum[1] = _mm512_fmadd_ps(look_up(table, words, 2 * p + 1), _mm512_loadu_ps(x + 32 * p + 16), sum[1]);
}

/* A whole block times x; a table for each 32 columns, which may be the same one. */
static inline void block(const unsigned char *w, const __m512 table[4], const float *x, __m512 sum[4])
{
    const __m512i words = _mm512_loadu_si512(w);
    pair(table[0], words, 0, x, sum);
    pair(table[1], words, 1, x, sum + 2);
    pair(table[2], words, 2, x, sum);
    pair(table[3], words, 3, x, sum + 2);
}

/* Blocks of a row; `shared` of the four tables of a block are one: 4, 2 or 1. Returns the columns done. */
static inline int64_t blocks(int shared, const struct tare_matrix *m, const unsigned char *w, const float *scale,
                             const float *offset, const float *x, __m512 sum[4])
{
    int64_t i = 0;
    for (; i + TARE_Q4_BLOCK <= m->in; i += TARE_Q4_BLOCK, w += TARE_Q4_BYTES) {
        const int64_t g = shared == 4 ? i / m->group : i / 32 / shared;
        __m512 table[4];
        for (int p = 0; p < 4; p++)
            table[p] = p % shared ? table[p - 1] : table_of(scale + g + p / shared, offset + g + p / shared);
        block(w, table, x + i, sum);
    }
    return i;
}

/* The columns from i on, in groups of any multiple of 32. */
static void rest(const struct tare_matrix *m, const unsigned char *w, const float *scale, const float *offset,
                 const float *x, int64_t i, __m512 sum[4])
{
    for (; i < m->in; i += 32) {
        const __m512i words = _mm512_loadu_si512(w + i / TARE_Q4_BLOCK * TARE_Q4_BYTES);
        const int64_t g = i / m->group, start = i / TARE_Q4_BLOCK * TARE_Q4_BLOCK;
        pair(table_of(scale + g, offset + g), words, (unsigned)(i - start) / 32, x + start, sum);
    }
}

static void dot_q4(const struct tare_matrix *m, int64_t row, int64_t rows, const float *x, float *y)
{
    for (int64_t r = 0; r < rows; r++) {
        const unsigned char *w = row_of(m, row + r);
        const float *scale = m->scale + (row + r) * m->groups, *offset = m->offset + (row + r) * m->groups;
        __m512 sum[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()};
        int64_t done = 0;
        if (m->group % TARE_Q4_BLOCK == 0)
            done = blocks(4, m, w, scale, offset, x, sum);
        else if (m->group == 64)
            done = blocks(2, m, w, scale, offset, x, sum);
        else if (m->group == 32)
            done = blocks(1, m, w, scale, offset, x, sum);
        rest(m, w, scale, offset, x, done, sum);
        y[r] = _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(sum[0], sum[1]), _mm512_add_ps(sum[2], sum[3])));
    }
}

static inline __m512 bytes(const unsigned char *codes)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)codes)));
}

static void dot_q8(const struct tare_matrix *m, int64_t row, int64_t rows, const float *x, float *y)
{
    for (int64_t r = 0; r < rows; r++) {
        const unsigned char *w = row_of(m, row + r);
        const float *scale = m->scale + (row + r) * m->groups, *offset = m->offset + (row + r) * m->groups;
        __m512 sum[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
        for (int64_t g = 0, i = 0; g < m->groups; g++) {
            const __m512 s = _mm512_set1_ps(scale[g]), o = _mm512_set1_ps(offset[g]);
            for (const int64_t end = i + m->group; i < end; i += 32)
                for (int k = 0; k < 2; k++)
                    sum[k] = _mm512_fmadd_ps(_mm512_fmadd_ps(bytes(w + i + 16 * k), s, o),
                                             _mm512_loadu_ps(x + i + 16 * k), sum[k]);
        }
        y[r] = _mm512_reduce_add_ps(_mm512_add_ps(sum[0], sum[1]));
    }
}

static void unpack_f16(const struct tare_matrix *m, int64_t row, int64_t start, int64_t n, float *dst)
{
    for (int64_t i = 0; i < n; i += 16)
        _mm512_mask_storeu_ps(dst + i, tail(n - i), dense(TARE_STORE_F16, row_of(m, row), start + i, tail(n - i)));
}

static void unpack_bf16(const struct tare_matrix *m, int64_t row, int64_t start, int64_t n, float *dst)
{
    for (int64_t i = 0; i < n; i += 16)
        _mm512_mask_storeu_ps(dst + i, tail(n - i), dense(TARE_STORE_BF16, row_of(m, row), start + i, tail(n - i)));
}

static void unpack_q4(const struct tare_matrix *m, int64_t row, int64_t start, int64_t n, float *dst)
{
    const unsigned char *w = row_of(m, row) + start / TARE_Q4_BLOCK * TARE_Q4_BYTES;
    const float *scale = m->scale + row * m->groups, *offset = m->offset + row * m->groups;
    int64_t g = start / m->group, left = m->group - start % m->group;
    for (int64_t i = 0; i < n; i += TARE_Q4_BLOCK, w += TARE_Q4_BYTES) {
        const __m512i words = _mm512_loadu_si512(w);
        for (unsigned k = 0; k < 8 && i + 16 * k < n; k++) {
            const int64_t at = i + 16 * k;
            _mm512_mask_storeu_ps(dst + at, tail(n - at), look_up(table_of(scale + g, offset + g), words, k));
            if ((left -= 16) == 0) {
                left = m->group;
                g++;
            }
            if (g >= m->groups)
                return;
        }
    }
}

static void unpack_q8(const struct tare_matrix *m, int64_t row, int64_t start, int64_t n, float *dst)
{
    const unsigned char *w = row_of(m, row) + start;
    const float *scale = m->scale + row * m->groups, *offset = m->offset + row * m->groups;
    for (int64_t i = 0; i < n; i += 16) {
        const int64_t g = (start + i) / m->group;
        _mm512_mask_storeu_ps(dst + i, tail(n - i),
                              _mm512_fmadd_ps(bytes(w + i), _mm512_set1_ps(scale[g]), _mm512_set1_ps(offset[g])));
    }
}

/* sum_k w[k] x[k] over the columns that fill no register. */
static float leftover(const float *w, const float *x, int64_t start, int64_t k)
{
    float sum = 0;
    for (int64_t i = start; i < k; i++)
        sum += w[i] * x[i];
    return sum;
}

/* R rows times T tokens, R * T sums in registers; R and T are constants where this is called, so the loops unroll. */
static inline __attribute__((always_inline)) void tile(int R, int T, const float *w, int64_t ldw, const float *x,
                                                       int64_t ldx, int64_t k, float *y, int64_t ldy, bool add)
{
    const int64_t whole = k / 16 * 16;
    __m512 sum[4][6];
    for (int r = 0; r < R; r++)
        for (int t = 0; t < T; t++)
            sum[r][t] = _mm512_setzero_ps();
    for (int64_t i = 0; i < whole; i += 16) {
        __m512 row[4];
        for (int r = 0; r < R; r++)
            row[r] = _mm512_loadu_ps(w + r * ldw + i);
        for (int t = 0; t < T; t++) {
            const __m512 token = _mm512_loadu_ps(x + t * ldx + i);
            for (int r = 0; r < R; r++)
                sum[r][t] = _mm512_fmadd_ps(row[r], token, sum[r][t]);
        }
    }
    for (int t = 0; t < T; t++)
        for (int r = 0; r < R; r++)
            y[t * ldy + r] = (add ? y[t * ldy + r] : 0) + _mm512_reduce_add_ps(sum[r][t]) +
                             leftover(w + r * ldw, x + t * ldx, whole, k);
}

static void tokens_of(int64_t rows, const float *w, int64_t ldw, const float *x, int64_t ldx, int tokens, int64_t k,
                      float *y, int64_t ldy, bool add)
{
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4)
        switch (tokens) {
        case 6:
            tile(4, 6, w + r * ldw, ldw, x, ldx, k, y + r, ldy, add);
            break;
        case 3:
            tile(4, 3, w + r * ldw, ldw, x, ldx, k, y + r, ldy, add);
            break;
        default:
            tile(4, 1, w + r * ldw, ldw, x, ldx, k, y + r, ldy, add);
        }
    for (; r < rows; r++)
        for (int t = 0; t < tokens; t++)
            tile(1, 1, w + r * ldw, ldw, x + t * ldx, ldx, k, y + t * ldy + r, ldy, add);
}

static void panel(const float *w, int64_t ldw, int64_t rows, const float *x, int64_t ldx, int64_t tokens, int64_t k,
                  float *y, int64_t ldy, bool add)
{
    for (int64_t t = 0, n; t < tokens; t += n) {
        n = tokens - t >= 6 ? 6 : tokens - t >= 3 ? 3 : 1;
        tokens_of(rows, w, ldw, x + t * ldx, ldx, (int)n, k, y + t * ldy, ldy, add);
    }
}

static void scores(const float *q, const float *keys, int64_t n, int64_t dim, float scale, float *into)
{
    int64_t j = 0;
    for (; j + 4 <= n; j += 4) {
        __m512 sum[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()};
        for (int64_t d = 0; d < dim; d += 16) {
            const __mmask16 mask = tail(dim - d);
            const __m512 part = _mm512_maskz_loadu_ps(mask, q + d);
            for (int k = 0; k < 4; k++)
                sum[k] = _mm512_fmadd_ps(part, _mm512_maskz_loadu_ps(mask, keys + (j + k) * dim + d), sum[k]);
        }
        for (int k = 0; k < 4; k++)
            into[j + k] = scale * _mm512_reduce_add_ps(sum[k]);
    }
    for (; j < n; j++) {
        __m512 sum = _mm512_setzero_ps();
        for (int64_t d = 0; d < dim; d += 16)
            sum = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(tail(dim - d), q + d),
                                  _mm512_maskz_loadu_ps(tail(dim - d), keys + j * dim + d), sum);
        into[j] = scale * _mm512_reduce_add_ps(sum);
    }
}

static void mix(const float *p, const float *values, int64_t n, int64_t dim, float *y)
{
    for (int64_t d = 0; d < dim; d += 64) {
        __mmask16 mask[4];
        __m512 sum[4];
        for (int k = 0; k < 4; k++) {
            const int64_t left = dim - d - 16 * k;
            mask[k] = tail(left > 0 ? left : 0);
            sum[k] = _mm512_maskz_loadu_ps(mask[k], y + d + 16 * k);
        }
        for (int64_t j = 0; j < n; j++)
            for (int k = 0; k < 4; k++)
                sum[k] = _mm512_fmadd_ps(_mm512_set1_ps(p[j]),
                                         _mm512_maskz_loadu_ps(mask[k], values + j * dim + d + 16 * k), sum[k]);
        for (int k = 0; k < 4; k++)
            _mm512_mask_storeu_ps(y + d + 16 * k, mask[k], sum[k]);
    }
}

/* exp x = 2^n * exp r, n = round(x / ln 2), |r| <= ln 2 / 2: the eighth Taylor term is below 2^-27. ln 2 in two parts,
 * the first short enough for n times it to be exact. */
static inline __m512 exponential(__m512 x)
{
    const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)),
                                          _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m512 r =
        _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x));
    static const float inverse_factorial[] = {1.0f / 5040, 1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1, 1};
    __m512 sum = _mm512_set1_ps(inverse_factorial[0]);
    for (int i = 1; i < 8; i++)
        sum = _mm512_fmadd_ps(sum, r, _mm512_set1_ps(inverse_factorial[i]));
    return _mm512_scalef_ps(sum, n);
}

static float exponents(float *s, int64_t n, float most)
{
    __m512 sum = _mm512_setzero_ps();
    for (int64_t i = 0; i < n; i += 16) {
        const __mmask16 mask = tail(n - i);
        const __m512 x = _mm512_sub_ps(_mm512_maskz_loadu_ps(mask, s + i), _mm512_set1_ps(most));
        /* Below -200 all is zero, and minus infinity would make r a NaN; a NaN of x passes, as it is the second
         * operand. */
        const __m512 e = exponential(_mm512_max_ps(_mm512_set1_ps(-200), x));
        _mm512_mask_storeu_ps(s + i, mask, e);
        sum = _mm512_mask_add_ps(sum, mask, sum, e);
    }
    return _mm512_reduce_add_ps(sum);
}

static void silu(float *gate, const float *up, int64_t n)
{
    for (int64_t i = 0; i < n; i += 16) {
        const __mmask16 mask = tail(n - i);
        const __m512 one = _mm512_set1_ps(1), g = _mm512_maskz_loadu_ps(mask, gate + i);
        /* At 100 the exponential is infinite already; an infinite argument would turn r into NaN. */
        const __m512 x = _mm512_min_ps(_mm512_set1_ps(100),
                                       _mm512_max_ps(_mm512_set1_ps(-100), _mm512_sub_ps(_mm512_setzero_ps(), g)));
        const __m512 act = _mm512_div_ps(g, _mm512_add_ps(one, exponential(x)));
        _mm512_mask_storeu_ps(gate + i, mask, _mm512_mul_ps(act, up ? _mm512_maskz_loadu_ps(mask, up + i) : one));
    }
}

static float squares(const float *x, int64_t n)
{
    __m512 sum = _mm512_setzero_ps();
    for (int64_t i = 0; i < n; i += 16) {
        const __m512 v = _mm512_maskz_loadu_ps(tail(n - i), x + i);
        sum = _mm512_fmadd_ps(v, v, sum);
    }
    return _mm512_reduce_add_ps(sum);
}

void tare_kernels_avx512(struct tare_kernels *k)
{
    k->dot[TARE_STORE_F32] = dot_f32;
    k->dot[TARE_STORE_F16] = dot_f16;
    k->dot[TARE_STORE_BF16] = dot_bf16;
    k->dot[TARE_STORE_Q4] = dot_q4;
    k->dot[TARE_STORE_Q8] = dot_q8;
    k->unpack[TARE_STORE_F16] = unpack_f16;
    k->unpack[TARE_STORE_BF16] = unpack_bf16;
    k->unpack[TARE_STORE_Q4] = unpack_q4;
    k->unpack[TARE_STORE_Q8] = unpack_q8;
    k->panel = panel;
    k->scores = scores;
    k->mix = mix;
    k->exponents = exponents;
    k->silu = silu;
    k->squares = squares;
    k->scan = scan;
    k->delta = delta;
}
#else
void tare_kernels_avx512(struct tare_kernels *k)
{
    (void)k;
}
#endif
