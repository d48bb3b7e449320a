/* SPDX-License-Identifier: MIT
 * avx512_rows.c - kernels for AVX-512 (F, BW, DQ, VL), for dense weights and for vectors: 16 floats a register, 32
 * registers. */
#include "kernels/kernels.h"

#if defined(__AVX512F__)
#include <immintrin.h>

#include "kernels/dense_rows.h"

static __mmask16 tail(int64_t n)
{
    const unsigned mask = n >= 16 ? 0xffff : (1u << n) - 1;
    return (__mmask16)mask;
}

/* Loads sixteen dense columns from i on, with zeros where mask has none. */
static inline __m512 dense(enum tare_storage storage, const unsigned char *row, int64_t i, __mmask16 mask)
{
    if (storage == TARE_STORE_F32)
        return _mm512_maskz_loadu_ps(mask, row + 4 * i);
    const __m256i half = _mm256_maskz_loadu_epi16(mask, row + 2 * i);
    return storage == TARE_STORE_F16 ? _mm512_cvtph_ps(half)
                                     : _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

/* Sixteen columns of e4m3 from i on, times 2^-8: with a bit more of exponent they are float16, but for NaN. */
static inline __m512 e4m3(const unsigned char *row, int64_t i, __mmask16 mask)
{
    const __m256i wide = _mm256_cvtepi8_epi16(_mm_maskz_loadu_epi8(mask, row + i));
    return _mm512_cvtph_ps(_mm256_and_si256(_mm256_slli_epi16(wide, 7), _mm256_set1_epi16((short)0xbf80)));
}

/* Adds the products of the columns [start, whole) of R rows to sum[r]. */
INLINE void dot_columns(enum tare_storage storage, int R, const struct tare_matrix *m, int64_t row, int64_t start,
                        int64_t whole, const float *x, __m512 sum[4])
{
    for (int64_t i = start; storage != TARE_STORE_E4M3 && i < whole; i += 16)
        for (int r = 0; r < R; r++)
            sum[r] = _mm512_fmadd_ps(dense(storage, row_of(m, row + r), i, 0xffff), _mm512_loadu_ps(x + i), sum[r]);
    for (int64_t i = start, next; storage == TARE_STORE_E4M3 && i < whole; i = next) {
        __m512 scale[4];
        next = e4m3_end(m, i, whole);
        for (int r = 0; r < R; r++)
            scale[r] = _mm512_set1_ps(e4m3_scale(m, row + r, i));
        for (int64_t k = i; k < next; k += 16)
            for (int r = 0; r < R; r++)
                sum[r] = _mm512_fmadd_ps(_mm512_mul_ps(scale[r], e4m3(row_of(m, row + r), k, 0xffff)),
                                         _mm512_loadu_ps(x + k), sum[r]);
    }
}

INLINE void dot_part(enum tare_storage storage, int R, const struct tare_matrix *m, int64_t row, int64_t start,
                     int64_t end, const float *x, float *y)
{
    const int64_t whole = start + (end - start) / 16 * 16;
    __m512 sum[4];
    for (int r = 0; r < R; r++)
        sum[r] = _mm512_setzero_ps();
    dot_columns(storage, R, m, row, start, whole, x, sum);
    for (int r = 0; r < R; r++) {
        float rest[16] = {0}, last = 0;
        if (whole < end)
            tare_kernels_scalar.unpack[storage](m, row + r, whole, end - whole, rest);
        for (int64_t k = 0; whole + k < end; k++)
            last += rest[k] * x[whole + k];
        y[r] = (start > 0 ? y[r] : 0) + _mm512_reduce_add_ps(sum[r]) + last;
    }
}

INLINE void unpack_dense(enum tare_storage storage, const struct tare_matrix *m, int64_t row, int64_t start, int64_t n,
                         float *dst)
{
    for (int64_t i = 0; i < n; i += 16)
        _mm512_mask_storeu_ps(dst + i, tail(n - i), dense(storage, row_of(m, row), start + i, tail(n - i)));
}

static void unpack_e4m3(const struct tare_matrix *m, int64_t row, int64_t start, int64_t n, float *dst)
{
    const unsigned char *data = row_of(m, row);
    for (int64_t i = start, next; i < start + n; i = next) {
        const __m512 scale = _mm512_set1_ps(e4m3_scale(m, row, i));
        next = e4m3_end(m, i, start + n);
        for (int64_t k = i; k < next; k += 16)
            _mm512_mask_storeu_ps(dst + k - start, tail(next - k), _mm512_mul_ps(scale, e4m3(data, k, tail(next - k))));
    }
}

/* Multiplies R rows by T tokens, with R * T sums in registers; R and T are constants where this is called, so the loops
 * unroll. */
INLINE void tile(int R, int T, const float *w, int64_t ldw, const float *x, int64_t ldx, int64_t k, float *y,
                 int64_t ldy, bool add)
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

#include "kernels/rows_dispatch.h"

void tare_kernels_avx512(struct tare_kernels *k)
{
    fill_rows(k);
    k->scores = scores;
    k->mix = mix;
}
#else
void tare_kernels_avx512(struct tare_kernels *k)
{
    (void)k;
}
#endif
