/* SPDX-License-Identifier: MIT
 * avx512_tiles.c - kernels of tiles for AVX-512 with VNNI: one register is one step of 16 rows, and one vpdpbusd
 * multiplies four columns of all of them by four activations that are broadcast. */
#include "kernels/avx512_tile.h"

#if defined(__AVX512VNNI__)
#define BLOCK TARE_ACTIVATION_BLOCK
enum { REGISTERS = BLOCK / 4 };
/* The most tokens whose sums stay in registers; docs/performance.md has the times. */
#define TOKENS_OF(storage, look_up)                                                                                    \
    (((storage) == TARE_STORE_T4 && (look_up) < 2) || (storage) == TARE_STORE_T6 ? TARE_TILE_TOKENS : 4)

/* Sixteen factors of one byte each. */
INLINE __m512 factors_at(enum tare_factors kind, const unsigned char *at)
{
    const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
    if (kind == TARE_FACTORS_I8)
        return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
    const __m512i word = _mm512_cvtepu8_epi32(bytes), odd = _mm512_set1_epi32(0x00400000);
    if (kind == TARE_FACTORS_E8M0) { /* 0 is a subnormal number, 255 NaN: both have this bit of the fraction */
        const __mmask16 ends = _mm512_cmpeq_epi32_mask(word, _mm512_setzero_si512()) |
                               _mm512_cmpeq_epi32_mask(word, _mm512_set1_epi32(255));
        const __m512i power = _mm512_slli_epi32(word, 23);
        return _mm512_castsi512_ps(_mm512_mask_or_epi32(power, ends, power, odd));
    }
    const __m512i size = _mm512_and_si512(word, _mm512_set1_epi32(0x7f));
    const __mmask16 nan = _mm512_cmpeq_epi32_mask(size, _mm512_set1_epi32(0x7f));
    __m512i value =
        _mm512_castps_si512(_mm512_mul_ps(_mm512_castsi512_ps(_mm512_slli_epi32(size, 20)), _mm512_set1_ps(0x1p120f)));
    value = _mm512_mask_mov_epi32(value, nan, _mm512_set1_epi32(0x7fc00000));
    return _mm512_castsi512_ps(_mm512_or_si512(value, _mm512_slli_epi32(_mm512_srli_epi32(word, 7), 31)));
}

/* The scales and offsets of sixteen rows: those of the header, and of a group. */
struct numbers {
    __m512 scale, offset;
};

INLINE struct numbers header_numbers(const struct tare_matrix *m, const unsigned char *at)
{
    return (struct numbers){numbers_at(m, at), numbers_at(m, at + tare_tile_scales(m))};
}

INLINE struct numbers group_numbers(const struct tare_matrix *m, struct numbers header, const unsigned char *factors)
{
    if (!m->factors)
        return header;
    header.scale = _mm512_mul_ps(header.scale, factors_at(m->factors, factors));
    if (!m->zeros) {
        const __m128i least = _mm_loadu_si128((const __m128i *)(const void *)(factors + TARE_TILE_ROWS));
        header.offset = _mm512_mul_ps(header.offset, _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(least)));
    }
    return header;
}

/* The planes of a block; see tiles.h. */
INLINE void block_nibbles(const unsigned char *steps, __m512i code[REGISTERS])
{
    const __m512i low = _mm512_set1_epi8(15);
    for (int k = 0; k < REGISTERS / 2; k++) {
        const __m512i both = _mm512_loadu_si512(steps + TARE_STEP_BYTES * k);
        code[2 * k] = _mm512_and_si512(both, low);
        code[2 * k + 1] = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
    }
}

INLINE void block_pairs(const unsigned char *plane, __m512i code[REGISTERS])
{
    const __m512i all = _mm512_loadu_si512(plane), low = _mm512_set1_epi8(3);
    code[0] = _mm512_and_si512(all, low);
    code[1] = _mm512_and_si512(_mm512_srli_epi16(all, 2), low);
    code[2] = _mm512_and_si512(_mm512_srli_epi16(all, 4), low);
    code[3] = _mm512_and_si512(_mm512_srli_epi16(all, 6), low);
}

INLINE void add_pairs(const unsigned char *plane, __m512i code[REGISTERS])
{
    const __m512i all = _mm512_loadu_si512(plane), high = _mm512_set1_epi8(0x30);
    code[0] = _mm512_or_si512(code[0], _mm512_and_si512(_mm512_slli_epi16(all, 4), high));
    code[1] = _mm512_or_si512(code[1], _mm512_and_si512(_mm512_slli_epi16(all, 2), high));
    code[2] = _mm512_or_si512(code[2], _mm512_and_si512(all, high));
    code[3] = _mm512_or_si512(code[3], _mm512_and_si512(_mm512_srli_epi16(all, 2), high));
}

INLINE void add_bits(const unsigned char *plane, char weight, __m512i code[REGISTERS])
{
    for (int k = 0; k < REGISTERS; k++) {
        uint64_t word;
        memcpy(&word, plane + 8 * k, sizeof word);
        code[k] = _mm512_mask_add_epi8(code[k], word, code[k], _mm512_set1_epi8(weight));
    }
}

/* Unpacks the codes of a block into registers of four columns each. */
INLINE void block_codes(enum tare_storage storage, const unsigned char *steps, bool look_up, __m512i table,
                        __m512i code[REGISTERS])
{
    if (storage == TARE_STORE_T8)
        for (int k = 0; k < REGISTERS; k++)
            code[k] = _mm512_loadu_si512(steps + TARE_STEP_BYTES * k);
    else if (storage == TARE_STORE_T2 || storage == TARE_STORE_T3)
        block_pairs(steps, code);
    else
        block_nibbles(steps, code);
    if (storage == TARE_STORE_T6)
        add_pairs(steps + 2 * TARE_STEP_BYTES, code);
    if (storage == TARE_STORE_T3)
        add_bits(steps + TARE_STEP_BYTES, 4, code);
    if (storage == TARE_STORE_T5)
        add_bits(steps + 2 * TARE_STEP_BYTES, 16, code);
    for (int k = 0; look_up && k < REGISTERS; k++)
        code[k] = _mm512_shuffle_epi8(table, code[k]);
    for (int k = 0; storage == TARE_STORE_T8 && k < REGISTERS; k++)
        __asm__("" : "+v"(code[k])); /* or gcc loads it again for each token */
}

#define EACH_TOKEN _Pragma("GCC unroll 8") for (int t = 0; t < T; t++)

/* Prefetches the codes that are needed in a while. The processor's own guesses come too late for a stream that is read
 * once and computed on for long; docs/performance.md tells the gain. An address past the end does no harm. */
INLINE void ask_ahead(const unsigned char *steps, int lines)
{
    for (int k = 0; k < lines; k++)
        _mm_prefetch((const char *)steps + TARE_TILE_AHEAD + k * TARE_STEP_BYTES, _MM_HINT_T0);
}

/* The tables of a matrix. */
struct tables {
    __m512i table, low;
};

INLINE struct tables tables_of(const struct tare_matrix *m, int look_up)
{
    struct tables t = {_mm512_setzero_si512(), _mm512_setzero_si512()};
    if (look_up)
        t.table = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)m->table));
    if (look_up > 1)
        t.low = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)m->low));
    return t;
}

/* Multiplies a block of codes by 16 activations. */
INLINE __m512i block_dot(const __m512i code[REGISTERS], const int8_t *q)
{
    __m512i even = _mm512_setzero_si512(), odd = _mm512_setzero_si512();
    _Pragma("GCC unroll 4") for (int k = 0; k < REGISTERS; k += 2)
    {
        even = _mm512_dpbusd_epi32(even, code[k], four(q + 4 * k));
        odd = _mm512_dpbusd_epi32(odd, code[k + 1], four(q + 4 * k + 4));
    }
    return _mm512_add_epi32(even, odd);
}

/* Multiplies a block of columns of a tile by T tokens, and adds the sums to part[t]. */
INLINE void block_sums(enum tare_storage storage, int look_up, int T, const unsigned char *steps, struct tables tables,
                       const struct tare_tokens *x, int64_t block, __m512 part[TARE_TILE_TOKENS])
{
    __m512i code[REGISTERS], low[REGISTERS];
    block_codes(storage, steps, look_up == 1, tables.table, code);
    for (int k = 0; look_up == 2 && k < REGISTERS; k++) {
        low[k] = _mm512_shuffle_epi8(tables.low, code[k]);
        code[k] = _mm512_shuffle_epi8(tables.table, code[k]);
    }
    ask_ahead(steps, ((int)tare_tile_block(storage) + TARE_STEP_BYTES - 1) / TARE_STEP_BYTES);
    EACH_TOKEN
    {
        const int8_t *q = x->q + t * x->in + block * BLOCK;
        __m512i dot = block_dot(code, q);
        if (look_up == 2)
            dot = _mm512_add_epi32(_mm512_slli_epi32(dot, 8), block_dot(low, q));
        part[t] = _mm512_fmadd_ps(_mm512_set1_ps(x->scale[t * x->blocks + block]), _mm512_cvtepi32_ps(dot), part[t]);
    }
}

/* Adds what a group's sums come to, to total[t]. sum: those of its activations. */
INLINE void add_group(bool zeros, int T, struct numbers n, const float *sum, int64_t blocks,
                      const __m512 part[TARE_TILE_TOKENS], __m512 total[TARE_TILE_TOKENS])
{
    EACH_TOKEN
    {
        const __m512 v = _mm512_set1_ps(sum[t * blocks]);
        total[t] = zeros ? _mm512_fmadd_ps(n.scale, _mm512_fnmadd_ps(n.offset, v, part[t]), total[t])
                         : _mm512_fmadd_ps(n.offset, v, _mm512_fmadd_ps(n.scale, part[t], total[t]));
    }
}

INLINE void one_tile(enum tare_storage storage, int look_up, bool zeros, int T, const struct tare_matrix *m,
                     int64_t tile, const struct tare_tokens *x, float *y, int64_t ldy)
{
    const unsigned char *at = m->data + (size_t)tile * m->stride;
    const size_t bytes = tare_tile_block(storage), header = tare_tile_header(m), all = tare_tile_group(m);
    const size_t numbers = 2 * tare_tile_scales(m), factors = tare_tile_factors(m);
    const int64_t blocks = m->group / BLOCK, end = m->in / BLOCK, columns = tare_tile_columns(m) / BLOCK;
    const struct tables tables = tables_of(m, look_up);
    __m512 total[TARE_TILE_TOKENS], part[TARE_TILE_TOKENS];
    EACH_TOKEN
    total[t] = _mm512_setzero_ps();
    for (int64_t block = 0; block < end; at += all) {
        const struct numbers both = header_numbers(m, at);
        const unsigned char *steps = at + header, *factor = at + numbers;
        for (const int64_t last = block + columns; block < last; factor += factors) {
            const struct numbers n = group_numbers(m, both, factor);
            const float *sum = x->sum + block;
            EACH_TOKEN
            part[t] = _mm512_setzero_ps();
            for (const int64_t next = block + blocks; block < next; block++, steps += bytes)
                block_sums(storage, look_up, T, steps, tables, x, block, part);
            add_group(zeros, T, n, sum, x->blocks, part, total);
        }
    }
    EACH_TOKEN
    _mm512_mask_storeu_ps(y + t * ldy, rows_of(m, tile), total[t]);
}

INLINE void some_tiles(enum tare_storage storage, int look_up, int T, const struct tare_matrix *m, int64_t tile,
                       int64_t n, const struct tare_tokens *x, float *y, int64_t ldy)
{
    for (int64_t i = 0; i < n; i++)
        if (m->zeros)
            one_tile(storage, look_up, true, T, m, tile + i, x, y + i * TARE_TILE_ROWS, ldy);
        else
            one_tile(storage, look_up, false, T, m, tile + i, x, y + i * TARE_TILE_ROWS, ldy);
}

/* Returns the weights of column j of four, for 16 rows: byte j of each 32-bit lane. */
INLINE __m512 column(const struct tare_matrix *m, __m512 levels, __m512i four_columns, int j, struct numbers n)
{
    const __m512i byte = _mm512_and_si512(_mm512_srli_epi32(four_columns, (unsigned)(8 * j)), _mm512_set1_epi32(255));
    if (m->levels)
        return _mm512_mul_ps(n.scale, _mm512_permutexvar_ps(byte, levels));
    const __m512 code = _mm512_cvtepi32_ps(byte);
    return m->zeros ? _mm512_mul_ps(n.scale, _mm512_sub_ps(code, n.offset)) : _mm512_fmadd_ps(n.scale, code, n.offset);
}

/* Multiplies a block by T tokens in float32. Two sums a token take turns, to hide the latency of addition. */
INLINE void exact_block(int T, const struct tare_matrix *m, __m512 levels, const __m512i code[REGISTERS],
                        struct numbers n, const float *x, int64_t ldx, __m512 sum[TARE_TILE_TOKENS][2])
{
    for (int k = 0; k < REGISTERS; k++)
        for (int j = 0; j < 4; j++) {
            const __m512 w = column(m, levels, code[k], j, n);
            for (int t = 0; t < T; t++)
                sum[t][k & 1] = _mm512_fmadd_ps(w, _mm512_set1_ps(x[t * ldx + 4 * k + j]), sum[t][k & 1]);
        }
}

INLINE void exact_tile(enum tare_storage storage, int T, const struct tare_matrix *m, int64_t tile, const float *x,
                       int64_t ldx, float *y, int64_t ldy)
{
    const unsigned char *at = m->data + (size_t)tile * m->stride;
    const size_t numbers = 2 * tare_tile_scales(m), bytes = tare_tile_block(storage), header = tare_tile_header(m);
    const bool look_up = m->table && !m->levels;
    const struct tables tables = tables_of(m, look_up);
    const __m512 levels = m->levels ? _mm512_loadu_ps(m->levels) : _mm512_setzero_ps();
    __m512 sum[TARE_TILE_TOKENS][2];
    for (int t = 0; t < T; t++)
        sum[t][0] = sum[t][1] = _mm512_setzero_ps();
    for (int64_t i = 0; i < m->in; at += tare_tile_group(m)) {
        const struct numbers both = header_numbers(m, at);
        const unsigned char *steps = at + header, *factor = at + numbers;
        for (const int64_t last = i + tare_tile_columns(m); i < last; factor += tare_tile_factors(m)) {
            const struct numbers n = group_numbers(m, both, factor);
            for (const int64_t next = i + m->group; i < next; i += BLOCK, steps += bytes, x += BLOCK) {
                __m512i code[REGISTERS];
                block_codes(storage, steps, look_up, tables.table, code);
                exact_block(T, m, levels, code, n, x, ldx, sum);
            }
        }
    }
    for (int t = 0; t < T; t++)
        _mm512_mask_storeu_ps(y + t * ldy, rows_of(m, tile), _mm512_add_ps(sum[t][0], sum[t][1]));
}

INLINE void exact_tiles(enum tare_storage storage, int T, const struct tare_matrix *m, int64_t tile, int64_t n,
                        const float *x, int64_t ldx, float *y, int64_t ldy)
{
    for (int64_t i = 0; i < n; i++)
        exact_tile(storage, T, m, tile + i, x, ldx, y + i * TARE_TILE_ROWS, ldy);
}

/* Loads 16 activations, in the order of the matrix's columns. */
INLINE __m512 sixteen(const float *x, const int32_t *order, int64_t i)
{
    return order ? _mm512_i32gather_ps(_mm512_loadu_si512(order + i), x, 4) : _mm512_loadu_ps(x + i);
}

static void quantize(const float *x, const int32_t *order, int64_t n, const struct tare_activations *to, int64_t token)
{
    int8_t *q = to->q + token * to->in;
    float *scale = to->scale + token * (to->in / BLOCK), *sum = to->sum + token * (to->in / BLOCK);
    for (int64_t i = 0; i < n; i += BLOCK, scale++, sum++) {
        const __m512 v = sixteen(x, order, i);
        const float most = _mm512_reduce_max_ps(_mm512_abs_ps(v));
        const __mmask16 bad =
            _mm512_cmp_ps_mask(_mm512_mul_ps(v, _mm512_setzero_ps()), _mm512_setzero_ps(), _CMP_UNORD_Q);
        const __m512 scaled = _mm512_mul_ps(v, _mm512_set1_ps(tare_activation_inverse(most)));
        /* A block with a NaN gets codes 0, or their sum would overflow. */
        const __mmask16 fits = _mm512_cmp_ps_mask(_mm512_abs_ps(scaled), _mm512_set1_ps(128), _CMP_LT_OQ);
        const __m512i c = _mm512_maskz_cvtps_epi32(fits, scaled);
        _mm_storeu_si128((__m128i *)(void *)(q + i), _mm512_cvtsepi32_epi8(c));
        *scale = bad ? __builtin_nanf("") : most / 127;
        *sum = *scale * (float)_mm512_reduce_add_epi32(c);
    }
}

#include "kernels/tiles_dispatch.h"

void tare_kernels_avx512_tiles(struct tare_kernels *k)
{
    fill_tiles(k);
}
#else
void tare_kernels_avx512_tiles(struct tare_kernels *k)
{
    (void)k;
}
#endif
