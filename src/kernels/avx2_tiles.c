/* SPDX-License-Identifier: MIT
 * avx2_tiles.c - kernels of tiles for AVX2: a register is half a step, 8 rows of four columns. vpmaddubsw makes sums of
 * two products in 16 bits, of which four can be added before they must be widened to 32: codes of T4 and halves of
 * codes of T8 are at most 15, entries of a table and codes of T5 at most 31, and 4 * 2 * 127 * 31 is below 2^15. Of
 * codes of T6, two can be added. Entries of a wide table are multiplied as codes of T8 are. */
#include "kernels/tiles.h"

#if defined(__AVX2__)
#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))
#define BLOCK TARE_ACTIVATION_BLOCK
#define TOKENS_OF(storage, look_up) TOKENS
#define LANES 8
enum { TOKENS = 4 }; /* the most tokens whose sums stay in registers */

/* Eight of sixteen scales or offsets. */
INLINE __m256 numbers_at(const struct tare_matrix *m, const unsigned char *at, int half)
{
    if (m->scales == TARE_SCALES_F32)
        return _mm256_loadu_ps((const float *)(const void *)(at + 32 * half));
    const __m128i halves = _mm_loadu_si128((const __m128i *)(const void *)(at + 16 * half));
    return m->scales == TARE_SCALES_F16 ? _mm256_cvtph_ps(halves)
                                        : _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}

INLINE __m256i load(const unsigned char *at)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)at);
}

/* Eight of sixteen factors of one byte each. */
INLINE __m256 factors_at(enum tare_factors kind, const unsigned char *at, int half)
{
    const __m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)(at + 8 * half));
    if (kind == TARE_FACTORS_I8)
        return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
    const __m256i word = _mm256_cvtepu8_epi32(bytes), size = _mm256_and_si256(word, _mm256_set1_epi32(0x7f));
    if (kind == TARE_FACTORS_E8M0) { /* 0 is a subnormal number, 255 NaN: both have this bit of the fraction */
        const __m256i ends = _mm256_or_si256(_mm256_cmpeq_epi32(word, _mm256_setzero_si256()),
                                             _mm256_cmpeq_epi32(word, _mm256_set1_epi32(255)));
        return _mm256_castsi256_ps(
            _mm256_or_si256(_mm256_slli_epi32(word, 23), _mm256_and_si256(ends, _mm256_set1_epi32(0x00400000))));
    }
    const __m256i nan = _mm256_cmpeq_epi32(size, _mm256_set1_epi32(0x7f));
    const __m256 value = _mm256_mul_ps(_mm256_castsi256_ps(_mm256_slli_epi32(size, 20)), _mm256_set1_ps(0x1p120f));
    const __m256i sign = _mm256_slli_epi32(_mm256_srli_epi32(word, 7), 31);
    return _mm256_or_ps(
        _mm256_blendv_ps(value, _mm256_castsi256_ps(_mm256_set1_epi32(0x7fc00000)), _mm256_castsi256_ps(nan)),
        _mm256_castsi256_ps(sign));
}

/* The scales and offsets of eight rows: those of the header, and of a group. */
struct numbers {
    __m256 scale, offset;
};

INLINE struct numbers header_numbers(const struct tare_matrix *m, const unsigned char *at, int half)
{
    return (struct numbers){numbers_at(m, at, half), numbers_at(m, at + tare_tile_scales(m), half)};
}

INLINE struct numbers group_numbers(const struct tare_matrix *m, struct numbers header, const unsigned char *factors,
                                    int half)
{
    if (!m->factors)
        return header;
    header.scale = _mm256_mul_ps(header.scale, factors_at(m->factors, factors, half));
    if (!m->zeros) {
        const __m128i least = _mm_loadl_epi64((const __m128i *)(const void *)(factors + TARE_TILE_ROWS + 8 * half));
        header.offset = _mm256_mul_ps(header.offset, _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(least)));
    }
    return header;
}

INLINE __m256i four(const int8_t *q)
{
    int32_t word;
    memcpy(&word, q, sizeof word);
    return _mm256_set1_epi32(word);
}

#define EACH_TOKEN _Pragma("GCC unroll 4") for (int t = 0; t < T; t++)

/* Multiplies four registers of codes, 16 columns of 8 rows, by 16 activations. Each lane of 16 bits is the sum over
 * half of the columns. */
INLINE __m256i products(const __m256i code[4], const int8_t *q)
{
    const __m256i a =
        _mm256_add_epi16(_mm256_maddubs_epi16(code[0], four(q)), _mm256_maddubs_epi16(code[1], four(q + 4)));
    const __m256i b =
        _mm256_add_epi16(_mm256_maddubs_epi16(code[2], four(q + 8)), _mm256_maddubs_epi16(code[3], four(q + 12)));
    return _mm256_add_epi16(a, b);
}

/* The planes of a block, 16 columns of 8 rows; see tiles.h. */
INLINE void block_nibbles(const unsigned char *steps, __m256i code[4])
{
    const __m256i low = _mm256_set1_epi8(15);
    for (int k = 0; k < 2; k++) {
        const __m256i both = load(steps + TARE_STEP_BYTES * k);
        code[2 * k] = _mm256_and_si256(both, low);
        code[2 * k + 1] = _mm256_and_si256(_mm256_srli_epi16(both, 4), low);
    }
}

INLINE void block_pairs(const unsigned char *plane, __m256i code[4])
{
    const __m256i all = load(plane), low = _mm256_set1_epi8(3);
    code[0] = _mm256_and_si256(all, low);
    code[1] = _mm256_and_si256(_mm256_srli_epi16(all, 2), low);
    code[2] = _mm256_and_si256(_mm256_srli_epi16(all, 4), low);
    code[3] = _mm256_and_si256(_mm256_srli_epi16(all, 6), low);
}

INLINE void add_pairs(const unsigned char *plane, __m256i code[4])
{
    const __m256i all = load(plane), high = _mm256_set1_epi8(0x30);
    code[0] = _mm256_or_si256(code[0], _mm256_and_si256(_mm256_slli_epi16(all, 4), high));
    code[1] = _mm256_or_si256(code[1], _mm256_and_si256(_mm256_slli_epi16(all, 2), high));
    code[2] = _mm256_or_si256(code[2], _mm256_and_si256(all, high));
    code[3] = _mm256_or_si256(code[3], _mm256_and_si256(_mm256_srli_epi16(all, 2), high));
}

/* Bits of 32 bytes stand in four bytes: each is brought to the eight bytes that it has bits of. */
INLINE void add_bits(const unsigned char *plane, int half, char weight, __m256i code[4])
{
    const __m256i spread = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3,
                                            3, 3, 3, 3, 3, 3, 3);
    const __m256i one = _mm256_set1_epi64x((long long)0x8040201008040201u);
    for (int k = 0; k < 4; k++) {
        const __m256i bits = _mm256_shuffle_epi8(four((const int8_t *)plane + 8 * k + 4 * half), spread);
        const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(bits, one), one);
        code[k] = _mm256_or_si256(code[k], _mm256_and_si256(set, _mm256_set1_epi8(weight)));
    }
}

/* Unpacks a block, 16 columns of 8 rows; `steps` is the half's first byte of it, not with a plane of bits, which is
 * told which half. */
INLINE void block_codes(enum tare_storage storage, bool look_up, __m256i table, const unsigned char *steps, int half,
                        __m256i code[4])
{
    if (storage == TARE_STORE_T8) {
        for (int k = 0; k < 4; k++)
            code[k] = load(steps + TARE_STEP_BYTES * k);
        return;
    }
    if (storage == TARE_STORE_T2 || storage == TARE_STORE_T3)
        block_pairs(steps, code);
    else
        block_nibbles(steps, code);
    if (storage == TARE_STORE_T6)
        add_pairs(steps + 2 * TARE_STEP_BYTES, code);
    if (storage == TARE_STORE_T3)
        add_bits(steps - 32 * half + TARE_STEP_BYTES, half, 4, code);
    if (storage == TARE_STORE_T5)
        add_bits(steps - 32 * half + 2 * TARE_STEP_BYTES, half, 16, code);
    for (int k = 0; look_up && k < 4; k++)
        code[k] = _mm256_shuffle_epi8(table, code[k]);
}

/* Multiplies a block of narrow codes by T tokens: dot[t] has a sum of 32 bits for each row. */
INLINE void block_narrow(int T, const __m256i code[4], const int8_t *q, int64_t in, __m256i dot[TOKENS])
{
    const __m256i ones = _mm256_set1_epi16(1);
    EACH_TOKEN
    dot[t] = _mm256_madd_epi16(products(code, q + t * in), ones);
}

/* The same for codes of 6 bits. */
INLINE void block_six(int T, const __m256i code[4], const int8_t *q, int64_t in, __m256i dot[TOKENS])
{
    const __m256i ones = _mm256_set1_epi16(1);
    EACH_TOKEN
    {
        const int8_t *x = q + t * in;
        const __m256i a =
            _mm256_add_epi16(_mm256_maddubs_epi16(code[0], four(x)), _mm256_maddubs_epi16(code[1], four(x + 4)));
        const __m256i b =
            _mm256_add_epi16(_mm256_maddubs_epi16(code[2], four(x + 8)), _mm256_maddubs_epi16(code[3], four(x + 12)));
        dot[t] = _mm256_add_epi32(_mm256_madd_epi16(a, ones), _mm256_madd_epi16(b, ones));
    }
}

/* The same for codes of 8 bits. Their low and high halves are multiplied apart, since 255 * 127 * 2 does not fit into
 * 16 bits; the high ones then count sixteen times. */
INLINE void block_wide(int T, const __m256i all[4], const int8_t *q, int64_t in, __m256i dot[TOKENS])
{
    const __m256i low = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1), sixteen = _mm256_set1_epi16(16);
    __m256i code[4], high[4];
    for (int i = 0; i < 4; i++) {
        code[i] = _mm256_and_si256(all[i], low);
        high[i] = _mm256_and_si256(_mm256_srli_epi16(all[i], 4), low);
    }
    EACH_TOKEN
    dot[t] = _mm256_add_epi32(_mm256_madd_epi16(products(code, q + t * in), ones),
                              _mm256_madd_epi16(products(high, q + t * in), sixteen));
}

/* The tables of a matrix. */
struct tables {
    __m256i table, low;
};

INLINE struct tables tables_of(const struct tare_matrix *m, int look_up)
{
    struct tables t = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    if (look_up)
        t.table = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)m->table));
    if (look_up > 1)
        t.low = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)m->low));
    return t;
}

/* Multiplies a block by T tokens, whose codes stand for the numbers of both tables. */
INLINE void block_two(int T, const __m256i code[4], struct tables tables, const int8_t *q, int64_t in,
                      __m256i dot[TOKENS])
{
    __m256i entry[4], low[TOKENS];
    for (int k = 0; k < 4; k++)
        entry[k] = _mm256_shuffle_epi8(tables.low, code[k]);
    block_wide(T, entry, q, in, low);
    for (int k = 0; k < 4; k++)
        entry[k] = _mm256_shuffle_epi8(tables.table, code[k]);
    block_wide(T, entry, q, in, dot);
    for (int t = 0; t < T; t++)
        dot[t] = _mm256_add_epi32(_mm256_slli_epi32(dot[t], 8), low[t]);
}

/* Multiplies a block of 16 columns, whose codes begin at steps, by T tokens. */
INLINE void block_dots(enum tare_storage storage, int look_up, bool wide, int T, struct tables tables,
                       const unsigned char *steps, int half, const int8_t *q, int64_t in, __m256i dot[TOKENS])
{
    __m256i code[4];
    block_codes(storage, look_up == 1, tables.table, steps, half, code);
    if (look_up == 2)
        block_two(T, code, tables, q, in, dot);
    else if (storage == TARE_STORE_T8 || (look_up && wide))
        block_wide(T, code, q, in, dot);
    else if (storage == TARE_STORE_T6)
        block_six(T, code, q, in, dot);
    else
        block_narrow(T, code, q, in, dot);
}

/* Multiplies the blocks of a group, whose codes begin at steps, by T tokens: part[t]. */
INLINE void group_parts(enum tare_storage storage, int look_up, int T, const struct tare_matrix *m,
                        const unsigned char *steps, int half, const struct tare_tokens *x, int64_t b,
                        __m256 part[TOKENS])
{
    const size_t bytes = tare_tile_block(storage);
    const struct tables tables = tables_of(m, look_up);
    EACH_TOKEN
    part[t] = _mm256_setzero_ps();
    for (int64_t i = 0; i < m->group / BLOCK; i++, b++, steps += bytes) {
        __m256i dot[TOKENS];
        for (size_t k = 0; half == 0 && k < bytes; k += TARE_STEP_BYTES) /* see avx512_tiles.c */
            _mm_prefetch((const char *)steps + TARE_TILE_AHEAD + k, _MM_HINT_T0);
        block_dots(storage, look_up, m->wide, T, tables, steps, half, x->q + b * BLOCK, x->in, dot);
        for (int t = 0; t < T; t++)
            part[t] = _mm256_fmadd_ps(_mm256_set1_ps(x->scale[t * x->blocks + b]), _mm256_cvtepi32_ps(dot[t]), part[t]);
    }
}

/* Multiplies rows [8 half, 8 half + 8) of a tile by T tokens. */
INLINE void half_tile(enum tare_storage storage, int look_up, int T, const struct tare_matrix *m, int64_t tile,
                      int half, const struct tare_tokens *x, __m256 total[TOKENS])
{
    const unsigned char *at = m->data + (size_t)tile * m->stride;
    const int64_t blocks = m->group / BLOCK, end = m->in / BLOCK, columns = tare_tile_columns(m) / BLOCK;
    for (int t = 0; t < T; t++)
        total[t] = _mm256_setzero_ps();
    for (int64_t b = 0; b < end; at += tare_tile_group(m)) {
        const struct numbers both = header_numbers(m, at, half);
        const unsigned char *steps = at + tare_tile_header(m) + 32 * half, *factor = at + 2 * tare_tile_scales(m);
        for (const int64_t last = b + columns; b < last; b += blocks, factor += tare_tile_factors(m)) {
            const struct numbers n = group_numbers(m, both, factor, half);
            __m256 part[TOKENS];
            group_parts(storage, look_up, T, m, steps, half, x, b, part);
            steps += (size_t)blocks * tare_tile_block(storage);
            EACH_TOKEN
            {
                const __m256 v = _mm256_set1_ps(x->sum[t * x->blocks + b]);
                total[t] = m->zeros ? _mm256_fmadd_ps(n.scale, _mm256_fnmadd_ps(n.offset, v, part[t]), total[t])
                                    : _mm256_fmadd_ps(n.offset, v, _mm256_fmadd_ps(n.scale, part[t], total[t]));
            }
        }
    }
}

/* Stores up to eight sums, for the rows from `row` on; fewer when the matrix ends first. */
INLINE void store(const struct tare_matrix *m, int64_t row, __m256 value, float *y)
{
    float all[LANES];
    if (row + LANES <= m->rows) {
        _mm256_storeu_ps(y, value);
        return;
    }
    _mm256_storeu_ps(all, value);
    for (int64_t i = 0; row + i < m->rows; i++)
        y[i] = all[i];
}

INLINE void some_tiles(enum tare_storage storage, int look_up, int T, const struct tare_matrix *m, int64_t tile,
                       int64_t n, const struct tare_tokens *x, float *y, int64_t ldy)
{
    for (int64_t i = 0; i < n; i++)
        for (int half = 0; half < 2; half++) {
            __m256 total[TOKENS];
            half_tile(storage, look_up, T, m, tile + i, half, x, total);
            const int64_t row = i * TARE_TILE_ROWS + half * LANES;
            for (int t = 0; t < T; t++)
                store(m, tile * TARE_TILE_ROWS + row, total[t], y + t * ldy + row);
        }
}

/* The numbers that eight codes stand for. */
INLINE __m256 eight_levels(const float *levels, __m256i code)
{
    const __m256 low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(levels), code);
    const __m256 high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(levels + 8), code);
    return _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(code, 28))); /* by bit 3 */
}

/* Returns the weights of column j of four, for 8 rows: byte j of each 32-bit lane of codes. */
INLINE __m256 column(const struct tare_matrix *m, __m256i codes, int j, struct numbers n)
{
    const __m256i byte = _mm256_and_si256(_mm256_srli_epi32(codes, 8 * j), _mm256_set1_epi32(255));
    if (m->levels)
        return _mm256_mul_ps(n.scale, eight_levels(m->levels, byte));
    const __m256 code = _mm256_cvtepi32_ps(byte);
    return m->zeros ? _mm256_mul_ps(n.scale, _mm256_sub_ps(code, n.offset)) : _mm256_fmadd_ps(n.scale, code, n.offset);
}

/* Multiplies a block by T tokens in float32. Two sums a token take turns, to hide the latency of addition. */
INLINE void exact_block(int T, const struct tare_matrix *m, const __m256i code[4], struct numbers n, const float *x,
                        int64_t ldx, __m256 sum[TOKENS][2])
{
    for (int k = 0; k < 4; k++)
        for (int j = 0; j < 4; j++) {
            const __m256 w = column(m, code[k], j, n);
            for (int t = 0; t < T; t++)
                sum[t][k & 1] = _mm256_fmadd_ps(w, _mm256_set1_ps(x[t * ldx + 4 * k + j]), sum[t][k & 1]);
        }
}

INLINE void exact_half(enum tare_storage storage, int T, const struct tare_matrix *m, int64_t tile, int half,
                       const float *x, int64_t ldx, __m256 sum[TOKENS][2])
{
    const unsigned char *at = m->data + (size_t)tile * m->stride;
    const bool look_up = m->table && !m->levels;
    const struct tables tables = tables_of(m, look_up);
    for (int t = 0; t < T; t++)
        sum[t][0] = sum[t][1] = _mm256_setzero_ps();
    for (int64_t i = 0; i < m->in; at += tare_tile_group(m)) {
        const struct numbers both = header_numbers(m, at, half);
        const unsigned char *steps = at + tare_tile_header(m) + 32 * half, *factor = at + 2 * tare_tile_scales(m);
        for (const int64_t last = i + tare_tile_columns(m); i < last; factor += tare_tile_factors(m)) {
            const struct numbers n = group_numbers(m, both, factor, half);
            for (const int64_t next = i + m->group; i < next; i += BLOCK, x += BLOCK) {
                __m256i code[4];
                block_codes(storage, look_up, tables.table, steps, half, code);
                exact_block(T, m, code, n, x, ldx, sum);
                steps += tare_tile_block(storage);
            }
        }
    }
}

INLINE void exact_tiles(enum tare_storage storage, int T, const struct tare_matrix *m, int64_t tile, int64_t n,
                        const float *x, int64_t ldx, float *y, int64_t ldy)
{
    for (int64_t i = 0; i < n; i++)
        for (int half = 0; half < 2; half++) {
            __m256 sum[TOKENS][2];
            exact_half(storage, T, m, tile + i, half, x, ldx, sum);
            const int64_t row = i * TARE_TILE_ROWS + half * LANES;
            for (int t = 0; t < T; t++)
                store(m, tile * TARE_TILE_ROWS + row, _mm256_add_ps(sum[t][0], sum[t][1]), y + t * ldy + row);
        }
}

/* Loads 8 activations, in the order of the matrix's columns. */
INLINE __m256 eight(const float *x, const int32_t *order, int64_t i)
{
    return order ? _mm256_i32gather_ps(x, load((const unsigned char *)(order + i)), 4) : _mm256_loadu_ps(x + i);
}

INLINE float greatest(__m256 v)
{
    __m128 a = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    a = _mm_max_ps(a, _mm_movehl_ps(a, a));
    return _mm_cvtss_f32(_mm_max_ss(a, _mm_shuffle_ps(a, a, 1)));
}

INLINE int32_t total_of(__m256i v)
{
    __m128i a = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    a = _mm_add_epi32(a, _mm_shuffle_epi32(a, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(a, _mm_shuffle_epi32(a, 0xb1)));
}

static void quantize(const float *x, const int32_t *order, int64_t n, const struct tare_activations *to, int64_t token)
{
    int8_t *q = to->q + token * to->in;
    float *scale = to->scale + token * (to->in / BLOCK), *sum = to->sum + token * (to->in / BLOCK);
    const __m256 positive = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
    for (int64_t i = 0; i < n; i += BLOCK, scale++, sum++) {
        const __m256 a = eight(x, order, i), b = eight(x, order, i + LANES), zero = _mm256_setzero_ps();
        /* max gives its second operand when the first is a NaN, so the NaNs of a and b are left out here. */
        const float top =
            greatest(_mm256_max_ps(_mm256_and_ps(a, positive), _mm256_max_ps(_mm256_and_ps(b, positive), zero)));
        const __m256 inverse = _mm256_set1_ps(tare_activation_inverse(top));
        const __m256i c = _mm256_cvtps_epi32(_mm256_mul_ps(a, inverse)),
                      d = _mm256_cvtps_epi32(_mm256_mul_ps(b, inverse));
        const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(c, d), 0xd8);
        const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
        _mm_storeu_si128((__m128i *)(void *)(q + i), bytes);
        /* A NaN or an infinity times zero is a NaN. */
        const __m256 poison = _mm256_add_ps(_mm256_mul_ps(a, zero), _mm256_mul_ps(b, zero));
        *scale = _mm256_movemask_ps(_mm256_cmp_ps(poison, poison, _CMP_UNORD_Q)) ? __builtin_nanf("") : top / 127;
        *sum = *scale * (float)total_of(_mm256_add_epi32(c, d));
    }
}

#include "kernels/tiles_dispatch.h"

void tare_kernels_avx2_tiles(struct tare_kernels *k)
{
    fill_tiles(k);
}
#else
void tare_kernels_avx2_tiles(struct tare_kernels *k)
{
    (void)k;
}
#endif
