/* SPDX-License-Identifier: MIT
 * avx2_rows.c - kernels for AVX2 with FMA and F16C, for dense weights and for vectors: 8 floats a register, 16
 * registers. */
#include "kernels/kernels.h"

#if defined(__AVX2__)
#include <immintrin.h>

#include "kernels/dense_rows.h"

static inline float total(__m256 v)
{
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_shuffle_ps(half, half, 1)));
}

static inline __m256i tail(int64_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n < 8 ? (int)n : 8), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

/* The first n (at most 8) of 8 floats, zeros after them. */
static inline __m256 some(const float *x, int64_t n)
{
    return n >= 8 ? _mm256_loadu_ps(x) : _mm256_maskload_ps(x, tail(n));
}

static inline __m256 dense(enum tare_storage storage, const unsigned char *row, int64_t i)
{
    if (storage == TARE_STORE_F32)
        return _mm256_loadu_ps((const float *)(const void *)(row + 4 * i));
    const __m128i half = _mm_loadu_si128((const __m128i *)(const void *)(row + 2 * i));
    return storage == TARE_STORE_F16 ? _mm256_cvtph_ps(half)
                                     : _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}

/* Eight columns of e4m3 from i on, times 2^-8: with a bit more of exponent they are float16, but for NaN. */
static inline __m256 e4m3(const unsigned char *row, int64_t i)
{
    const __m128i wide = _mm_cvtepi8_epi16(_mm_loadl_epi64((const __m128i *)(const void *)(row + i)));
    return _mm256_cvtph_ps(_mm_and_si128(_mm_slli_epi16(wide, 7), _mm_set1_epi16((short)0xbf80)));
}

/* Adds the products of the columns [start, whole) of R rows to sum[r]. */
INLINE void dot_columns(enum tare_storage storage, int R, const struct tare_matrix *m, int64_t row, int64_t start,
                        int64_t whole, const float *x, __m256 sum[4])
{
    for (int64_t i = start; storage != TARE_STORE_E4M3 && i < whole; i += 8)
        for (int r = 0; r < R; r++)
            sum[r] = _mm256_fmadd_ps(dense(storage, row_of(m, row + r), i), _mm256_loadu_ps(x + i), sum[r]);
    for (int64_t i = start, next; storage == TARE_STORE_E4M3 && i < whole; i = next) {
        __m256 scale[4];
        next = e4m3_end(m, i, whole);
        for (int r = 0; r < R; r++)
            scale[r] = _mm256_set1_ps(e4m3_scale(m, row + r, i));
        for (int64_t k = i; k < next; k += 8)
            for (int r = 0; r < R; r++)
                sum[r] = _mm256_fmadd_ps(_mm256_mul_ps(scale[r], e4m3(row_of(m, row + r), k)), _mm256_loadu_ps(x + k),
                                         sum[r]);
    }
}

INLINE void dot_part(enum tare_storage storage, int R, const struct tare_matrix *m, int64_t row, int64_t start,
                     int64_t end, const float *x, float *y)
{
    const int64_t whole = start + (end - start) / 8 * 8;
    __m256 sum[4];
    for (int r = 0; r < R; r++)
        sum[r] = _mm256_setzero_ps();
    dot_columns(storage, R, m, row, start, whole, x, sum);
    for (int r = 0; r < R; r++) {
        float rest[8] = {0}, last = 0;
        if (whole < end)
            tare_kernels_scalar.unpack[storage](m, row + r, whole, end - whole, rest);
        for (int64_t k = 0; whole + k < end; k++)
            last += rest[k] * x[whole + k];
        y[r] = (start > 0 ? y[r] : 0) + total(sum[r]) + last;
    }
}

INLINE void unpack_dense(enum tare_storage storage, const struct tare_matrix *m, int64_t row, int64_t start, int64_t n,
                         float *dst)
{
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(dst + i, dense(storage, row_of(m, row), start + i));
    if (i < n)
        tare_kernels_scalar.unpack[storage](m, row, start + i, n - i, dst + i);
}

static void unpack_e4m3(const struct tare_matrix *m, int64_t row, int64_t start, int64_t n, float *dst)
{
    for (int64_t i = start, next; i < start + n; i = next) {
        const __m256 scale = _mm256_set1_ps(e4m3_scale(m, row, i));
        int64_t k = i;
        next = e4m3_end(m, i, start + n);
        for (; k + 8 <= next; k += 8)
            _mm256_storeu_ps(dst + k - start, _mm256_mul_ps(scale, e4m3(row_of(m, row), k)));
        if (k < next)
            tare_kernels_scalar.unpack[TARE_STORE_E4M3](m, row, k, next - k, dst + k - start);
    }
}

/* Multiplies R rows by T tokens, with R * T sums in registers; R and T are constants where this is called, so the loops
 * unroll. */
INLINE void tile(int R, int T, const float *w, int64_t ldw, const float *x, int64_t ldx, int64_t k, float *y,
                 int64_t ldy, bool add)
{
    const int64_t whole = k / 8 * 8;
    __m256 sum[4][2];
    for (int r = 0; r < R; r++)
        for (int t = 0; t < T; t++)
            sum[r][t] = _mm256_setzero_ps();
    for (int64_t i = 0; i < whole; i += 8) {
        __m256 row[4];
        for (int r = 0; r < R; r++)
            row[r] = _mm256_loadu_ps(w + r * ldw + i);
        for (int t = 0; t < T; t++) {
            const __m256 token = _mm256_loadu_ps(x + t * ldx + i);
            for (int r = 0; r < R; r++)
                sum[r][t] = _mm256_fmadd_ps(row[r], token, sum[r][t]);
        }
    }
    for (int t = 0; t < T; t++)
        for (int r = 0; r < R; r++)
            y[t * ldy + r] =
                (add ? y[t * ldy + r] : 0) + total(sum[r][t]) + leftover(w + r * ldw, x + t * ldx, whole, k);
}

static void panel(const float *w, int64_t ldw, int64_t rows, const float *x, int64_t ldx, int64_t tokens, int64_t k,
                  float *y, int64_t ldy, bool add)
{
    for (int64_t t = 0; t < tokens; t += 2) {
        const bool two = t + 2 <= tokens;
        const float *at = x + t * ldx;
        float *into = y + t * ldy;
        int64_t r = 0;
        for (; r + 4 <= rows; r += 4)
            if (two)
                tile(4, 2, w + r * ldw, ldw, at, ldx, k, into + r, ldy, add);
            else
                tile(4, 1, w + r * ldw, ldw, at, ldx, k, into + r, ldy, add);
        for (; r < rows; r++)
            if (two)
                tile(1, 2, w + r * ldw, ldw, at, ldx, k, into + r, ldy, add);
            else
                tile(1, 1, w + r * ldw, ldw, at, ldx, k, into + r, ldy, add);
    }
}

static void scores(const float *q, const float *keys, int64_t n, int64_t dim, float scale, float *into)
{
    int64_t j = 0;
    for (; j + 4 <= n; j += 4) {
        __m256 sum[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
        for (int64_t d = 0; d < dim; d += 8) {
            const __m256 part = some(q + d, dim - d);
            for (int k = 0; k < 4; k++)
                sum[k] = _mm256_fmadd_ps(part, some(keys + (j + k) * dim + d, dim - d), sum[k]);
        }
        for (int k = 0; k < 4; k++)
            into[j + k] = scale * total(sum[k]);
    }
    for (; j < n; j++) {
        __m256 sum = _mm256_setzero_ps();
        for (int64_t d = 0; d < dim; d += 8)
            sum = _mm256_fmadd_ps(some(q + d, dim - d), some(keys + j * dim + d, dim - d), sum);
        into[j] = scale * total(sum);
    }
}

/* Adds up 64 columns: eight sums stay in registers while the loop runs over the rows of values. */
static inline void mix_wide(const float *p, const float *values, int64_t n, int64_t dim, float *y)
{
    __m256 sum[8];
    for (int k = 0; k < 8; k++)
        sum[k] = _mm256_loadu_ps(y + 8 * k);
    for (int64_t j = 0; j < n; j++)
        for (int k = 0; k < 8; k++)
            sum[k] = _mm256_fmadd_ps(_mm256_set1_ps(p[j]), _mm256_loadu_ps(values + j * dim + 8 * k), sum[k]);
    for (int k = 0; k < 8; k++)
        _mm256_storeu_ps(y + 8 * k, sum[k]);
}

static void mix(const float *p, const float *values, int64_t n, int64_t dim, float *y)
{
    int64_t d = 0;
    for (; d + 64 <= dim; d += 64)
        mix_wide(p, values + d, n, dim, y + d);
    for (; d < dim; d += 8) {
        __m256 sum = some(y + d, dim - d);
        for (int64_t j = 0; j < n; j++)
            sum = _mm256_fmadd_ps(_mm256_set1_ps(p[j]), some(values + j * dim + d, dim - d), sum);
        _mm256_maskstore_ps(y + d, tail(dim - d), sum);
    }
}

/* exp x = 2^n * exp r, n = round(x / ln 2), |r| <= ln 2 / 2: the eighth Taylor term is below 2^-27. ln 2 in two parts,
 * the first short enough for n times it to be exact. x within +-87, so that 2^n is a normal float. */
static inline __m256 exponential(__m256 x)
{
    const __m256 n =
        _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(1.44269504f)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m256 r =
        _mm256_fnmadd_ps(n, _mm256_set1_ps(-2.12194440e-4f), _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693359375f), x));
    static const float inverse_factorial[] = {1.0f / 5040, 1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1, 1};
    __m256 sum = _mm256_set1_ps(inverse_factorial[0]);
    for (int i = 1; i < 8; i++)
        sum = _mm256_fmadd_ps(sum, r, _mm256_set1_ps(inverse_factorial[i]));
    const __m256i power = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
    return _mm256_mul_ps(sum, _mm256_castsi256_ps(power));
}

static float exponents(float *s, int64_t n, float most)
{
    __m256 sum = _mm256_setzero_ps();
    const __m256 least = _mm256_set1_ps(-87);
    for (int64_t i = 0; i < n; i += 8) {
        const __m256i mask = tail(n - i);
        const __m256 x = _mm256_sub_ps(some(s + i, n - i), _mm256_set1_ps(most));
        const __m256 small = _mm256_cmp_ps(x, least, _CMP_LT_OQ); /* becomes zero */
        __m256 e = _mm256_andnot_ps(small, exponential(_mm256_max_ps(least, x)));
        e = _mm256_and_ps(e, _mm256_castsi256_ps(mask));
        _mm256_maskstore_ps(s + i, mask, e);
        sum = _mm256_add_ps(sum, e);
    }
    return total(sum);
}

static void silu(float *gate, const float *up, int64_t n)
{
    const __m256 one = _mm256_set1_ps(1), most = _mm256_set1_ps(87), least = _mm256_set1_ps(-87);
    for (int64_t i = 0; i < n; i += 8) {
        const __m256 g = some(gate + i, n - i);
        const __m256 x = _mm256_min_ps(most, _mm256_max_ps(least, _mm256_sub_ps(_mm256_setzero_ps(), g)));
        const __m256 act = _mm256_div_ps(g, _mm256_add_ps(one, exponential(x)));
        _mm256_maskstore_ps(gate + i, tail(n - i), _mm256_mul_ps(act, up ? some(up + i, n - i) : one));
    }
}

static float squares(const float *x, int64_t n)
{
    __m256 sum[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    for (int64_t i = 0; i < n; i += 16)
        for (int k = 0; k < 2; k++) {
            const __m256 v = i + 8 * k < n ? some(x + i + 8 * k, n - i - 8 * k) : _mm256_setzero_ps();
            sum[k] = _mm256_fmadd_ps(v, v, sum[k]);
        }
    return total(_mm256_add_ps(sum[0], sum[1]));
}

#include "kernels/rows_dispatch.h"

void tare_kernels_avx2(struct tare_kernels *k)
{
    fill_rows(k);
    k->scores = scores;
    k->mix = mix;
}
#else
void tare_kernels_avx2(struct tare_kernels *k)
{
    (void)k;
}
#endif
