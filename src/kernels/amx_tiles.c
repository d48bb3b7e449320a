/* SPDX-License-Identifier: MIT
 * amx_tiles.c - products of T4 with activations of 12 bits (struct tare_wide), by Intel's tile registers (AMX) for many
 * tokens and by AVX-512 with VNNI for one.
 *
 * One tile instruction multiplies 16 tokens by 16 rows in 64 columns of bytes, and sums them in 32 bits. Activations of
 * 8 bits would have to be scaled by blocks of 16 columns for their precision, which would leave a quarter of each
 * instruction, and most of the time would go into scaling sums. Instead an activation has 12 bits, 16 * high + low, and
 * one scale a group of the matrix. Both parts are bytes; the codes, which have four bits, are stored for the
 * instruction twice: times 16 beside the high parts, as they are beside the low ones. So one sum of 32 bits holds the
 * whole product of a group, and it is exact. docs/performance.md has the cost of other ways.
 *
 * Since the sums of a group are whole numbers, and what comes after is the same chain of operations for each row and
 * token, a token gets the same bits from both ways, whatever is computed beside it. Of a group, for each row:
 *
 *     part = scale[token] * (code . (16 high + low))
 *     with zeros:      y = y + s * (part - z * sum[token])         without:         y = (y + s * part) + o * sum[token]
 *
 * where each sum of a product is a fused multiply-add.
 */
#include "kernels/avx512_tile.h"

#if defined(__AVX512VNNI__) && (defined(TARE_TILE_MODEL) || (defined(__AMX_INT8__) && defined(__linux__)))
#define MOST TARE_WIDE_MOST /* |16 * high + low| */
enum {
    UNIT = 1024,    /* bytes of a tile register: 16 rows of 64 */
    TOGETHER = 4,   /* tiles of rows that are multiplied together: each has a register of sums */
    AHEAD = 4096,   /* bytes between the codes that are unpacked and those that are asked for */
    CHUNK = 256,    /* tokens whose sums wait in work memory, 64 KiB, while the groups go by */
    PANEL = 4,      /* units of each tile of rows that are unpacked at once: 16 KiB, which stay in L1 */
    FEW = 8,        /* up to that many tokens, unpacking would take longer than multiplying: AVX-512 is faster */
    COLUMNS = 32,   /* of a unit, which has both parts of their activations */
    TILE_BYTES = 64 /* of a row of a tile register */
};

#if !defined(TARE_TILE_MODEL) /* the unit test has its own, in plain C */
#define TILE_ZERO(c) _tile_zero(c)
#define TILE_LOAD(k, at) _tile_loadd(k, at, TILE_BYTES)
#define TILE_STORE(k, at) _tile_stored(k, at, TILE_BYTES)
#define TILE_DOT(c, a, b) _tile_dpbsud(c, a, b) /* signed a by unsigned b */
#define TILE_RELEASE() _tile_release()
#define TILE_CONFIGURE(config)                                                                                         \
    do {                                                                                                               \
        __asm__ volatile("" : : "r"(config) : "memory"); /* gcc 12 thinks that 8 bytes of it are read */               \
        _tile_loadconfig(config);                                                                                      \
    } while (0)
#endif

/* Adds what a group gives to the sum so far. */
INLINE __m512 add_group(bool zeros, __m512 total, __m512i dot, float scale, float sum, __m512 s, __m512 o)
{
    const __m512 part = _mm512_mul_ps(_mm512_set1_ps(scale), _mm512_cvtepi32_ps(dot)), v = _mm512_set1_ps(sum);
    return zeros ? _mm512_fmadd_ps(s, _mm512_fnmadd_ps(o, v, part), total)
                 : _mm512_fmadd_ps(o, v, _mm512_fmadd_ps(s, part, total));
}

/* ---- few tokens -------------------------------------------------------------------------------------------------- */

#define EACH_TOKEN _Pragma("GCC unroll 4") for (int t = 0; t < T; t++)
#define TURNS (T > 1 ? 1 : 2) /* sums of one token by turns, or each would wait for the one before */

/* Multiplies n steps of eight columns by T tokens, whose units of the same columns lie TILE_BYTES apart. */
INLINE void add_steps(int T, const unsigned char *steps, const int8_t *high, const int8_t *low, int n,
                      __m512i sum[4][4][2])
{
    const __m512i mask = _mm512_set1_epi8(15);
    _Pragma("GCC unroll 8") for (int k = 0; k < n; k++)
    {
        const int turn = k % TURNS;
        const __m512i both = _mm512_loadu_si512(steps + k * TARE_STEP_BYTES);
        const __m512i first = _mm512_and_si512(both, mask), next = _mm512_and_si512(_mm512_srli_epi16(both, 4), mask);
        _mm_prefetch((const char *)steps + TARE_TILE_AHEAD + k * TARE_STEP_BYTES, _MM_HINT_T0);
        EACH_TOKEN
        {
            const int8_t *h = high + t * TILE_BYTES + 8 * k, *l = low + t * TILE_BYTES + 8 * k;
            sum[t][0][turn] = _mm512_dpbusd_epi32(sum[t][0][turn], first, four(h));
            sum[t][1][turn] = _mm512_dpbusd_epi32(sum[t][1][turn], first, four(l));
            sum[t][2][turn] = _mm512_dpbusd_epi32(sum[t][2][turn], next, four(h + 4));
            sum[t][3][turn] = _mm512_dpbusd_epi32(sum[t][3][turn], next, four(l + 4));
        }
    }
}

/* The products of one group with T tokens. q: the first one's first unit of the group; apart: bytes between units. */
INLINE void group_dots(int T, int64_t group, const unsigned char *steps, const int8_t *q, int64_t apart, __m512i dot[4])
{
    __m512i sum[4][4][2];
    EACH_TOKEN
    for (int k = 0; k < 4; k++)
        sum[t][k][0] = sum[t][k][1] = _mm512_setzero_si512();
    if (group == COLUMNS)
        add_steps(T, steps, q, q + COLUMNS, COLUMNS / 8, sum);
    for (int64_t i = 0; group > COLUMNS && i < group; i += TILE_BYTES, q += 2 * apart)
        add_steps(T, steps + i / 8 * TARE_STEP_BYTES, q, q + apart, TILE_BYTES / 8, sum);
    EACH_TOKEN
    {
        for (int k = 0; TURNS > 1 && k < 4; k++)
            sum[t][k][0] = _mm512_add_epi32(sum[t][k][0], sum[t][k][1]);
        const __m512i high = _mm512_add_epi32(sum[t][0][0], sum[t][2][0]);
        dot[t] = _mm512_add_epi32(_mm512_slli_epi32(high, 4), _mm512_add_epi32(sum[t][1][0], sum[t][3][0]));
    }
}

/* One tile of rows by tokens [first, first + T). */
INLINE void few_tokens(int T, bool zeros, const struct tare_matrix *m, int64_t tile, const struct tare_wide *x,
                       int64_t first, float *y, int64_t ldy)
{
    const unsigned char *at = m->data + (size_t)tile * m->stride;
    const size_t numbers = tare_tile_scales(m), steps = (size_t)(m->group / 8) * TARE_STEP_BYTES;
    const int64_t apart = x->tokens * TILE_BYTES;
    const int8_t *q = x->q + first * TILE_BYTES;
    __m512 total[4];
    EACH_TOKEN
    total[t] = _mm512_setzero_ps();
    for (int64_t g = 0; g < m->groups; g++, q += m->group / COLUMNS * apart) {
        const __m512 s = numbers_at(m, at), o = numbers_at(m, at + numbers);
        const float *scale = x->scale + g * x->tokens + first, *sum = x->sum + g * x->tokens + first;
        __m512i dot[4];
        group_dots(T, m->group, at + 2 * numbers, q, apart, dot);
        EACH_TOKEN
        total[t] = add_group(zeros, total[t], dot[t], scale[t], sum[t], s, o);
        at += 2 * numbers + steps;
    }
    EACH_TOKEN
    _mm512_mask_storeu_ps(y + t * ldy, rows_of(m, tile), total[t]);
}

static void few(const struct tare_matrix *m, int64_t tile, const struct tare_wide *x, int64_t first, int64_t tokens,
                float *y, int64_t ldy)
{
    for (int64_t t = 0, now; t < tokens; t += now) {
        now = tokens - t >= 4 ? 4 : tokens - t >= 2 ? 2 : 1;
        float *to = y + t * ldy;
        if (now == 4)
            few_tokens(4, m->zeros, m, tile, x, first + t, to, ldy);
        else if (now == 2)
            few_tokens(2, m->zeros, m, tile, x, first + t, to, ldy);
        else
            few_tokens(1, m->zeros, m, tile, x, first + t, to, ldy);
    }
}

/* ---- many tokens ------------------------------------------------------------------------------------------------- */

/* Sums of a group that are still to be scaled: 16 tokens by R tiles of rows. */
struct finished {
    const int32_t *dot;       /* (R, 16 tokens, 16 rows) */
    float *total;             /* (16 tokens, R, 16 rows) */
    const float *scale, *sum; /* of the tokens */
    const float *numbers;     /* (R, 2, 16 rows): scales and offsets of the group */
    int tokens;
};

INLINE void scale_tokens(int R, bool zeros, const struct finished *f, int from, int to)
{
    __m512 s[TOGETHER], o[TOGETHER];
    to = to < f->tokens ? to : f->tokens;
    if (from >= to)
        return;
    for (int r = 0; r < R; r++) {
        s[r] = _mm512_load_ps(f->numbers + 32 * r);
        o[r] = _mm512_load_ps(f->numbers + 32 * r + 16);
    }
    for (int t = from; t < to; t++)
        for (int r = 0; r < R; r++) {
            float *total = f->total + (t * R + r) * TARE_TILE_ROWS;
            const __m512i dot = _mm512_load_si512(f->dot + (r * 16 + t) * TARE_TILE_ROWS);
            _mm512_store_ps(total, add_group(zeros, _mm512_load_ps(total), dot, f->scale[t], f->sum[t], s[r], o[r]));
        }
}

/* Multiplies one unit of 16 tokens by that of R tiles of rows. Register 4 holds the tokens, 5 to 7 the rows by turns. */
INLINE void multiply_unit(int R, const int8_t *q, const unsigned char *codes)
{
    TILE_LOAD(4, q);
    TILE_LOAD(5, codes);
    TILE_DOT(0, 4, 5);
    if (R > 1) {
        TILE_LOAD(6, codes + UNIT);
        TILE_DOT(1, 4, 6);
    }
    if (R > 2) {
        TILE_LOAD(7, codes + 2 * UNIT);
        TILE_DOT(2, 4, 7);
    }
    if (R > 3) {
        TILE_LOAD(5, codes + 3 * UNIT);
        TILE_DOT(3, 4, 5);
    }
}

INLINE void clear_sums(int R)
{
    TILE_ZERO(0);
    if (R > 1)
        TILE_ZERO(1);
    if (R > 2)
        TILE_ZERO(2);
    if (R > 3)
        TILE_ZERO(3);
}

INLINE void store_sums(int R, int32_t *dot)
{
    TILE_STORE(0, dot);
    if (R > 1)
        TILE_STORE(1, dot + 256);
    if (R > 2)
        TILE_STORE(2, dot + 2 * 256);
    if (R > 3)
        TILE_STORE(3, dot + 3 * 256);
}

/* Some groups of some tiles of rows, unpacked. */
struct panel {
    const unsigned char *codes; /* (groups, units of a group, R, UNIT) */
    const float *numbers;       /* (groups, R, 2, 16) */
    int64_t first, groups;      /* of the matrix */
};

/* The products of a panel with up to CHUNK tokens, whose sums so far are in total. The sums of 16 tokens are scaled
 * while the next ones are multiplied: the two take different ports of the processor. */
INLINE void multiply_chunk(int R, int units, bool zeros, const struct panel *p, const struct tare_wide *x,
                           int64_t first, int64_t tokens, float *total)
{
    _Alignas(64) int32_t dot[2][TOGETHER * 256];
    struct finished before = {.tokens = 0};
    int turn = 0;
    const int64_t apart = x->tokens * TILE_BYTES; /* bytes between units */
    for (int64_t g = 0; g < p->groups; g++)
        for (int64_t t = 0; t < tokens; t += 16, turn ^= 1) {
            const int8_t *q = x->q + (p->first + g) * units * apart + (first + t) * TILE_BYTES;
            clear_sums(R);
            for (int u = 0; u < units; u++) {
                multiply_unit(R, q + u * apart, p->codes + (g * units + u) * R * UNIT);
                scale_tokens(R, zeros, &before, 16 / units * u, 16 / units * (u + 1));
            }
            store_sums(R, dot[turn]);
            const int64_t row = (p->first + g) * x->tokens + first + t;
            before = (struct finished){.dot = dot[turn],
                                       .total = total + t * R * TARE_TILE_ROWS,
                                       .scale = x->scale + row,
                                       .sum = x->sum + row,
                                       .numbers = p->numbers + g * R * 32,
                                       .tokens = (int)(tokens - t < 16 ? tokens - t : 16)};
        }
    scale_tokens(R, zeros, &before, 0, 16);
}

/* Unpacks a group of a tile of rows into its units, each the next but `apart` bytes; see the head of this file. */
INLINE void unpack_group(int64_t group, const unsigned char *steps, unsigned char *to, size_t apart)
{
    const __m512i low = _mm512_set1_epi8(15), high = _mm512_set1_epi8((char)0xf0);
    const int64_t half = group == COLUMNS ? COLUMNS : TILE_BYTES; /* columns whose high parts lie together */
    unsigned char *times16 = to, *once = group == COLUMNS ? to + UNIT / 2 : to + apart;
    for (int64_t i = 0; i < group; i += 8, steps += TARE_STEP_BYTES) {
        const __m512i both = _mm512_loadu_si512(steps);
        const int64_t at = i % half * 16;
        _mm_prefetch((const char *)steps + AHEAD, _MM_HINT_T0);
        _mm512_store_si512(times16 + at, _mm512_and_si512(_mm512_slli_epi16(both, 4), high));
        _mm512_store_si512(times16 + at + 64, _mm512_and_si512(both, high));
        _mm512_store_si512(once + at, _mm512_and_si512(both, low));
        _mm512_store_si512(once + at + 64, _mm512_and_si512(_mm512_srli_epi16(both, 4), low));
        if (i % half + 8 == half)
            times16 += 2 * apart, once += 2 * apart;
    }
}

static void unpack(const struct tare_matrix *m, int64_t tile, int R, int64_t first, int64_t groups,
                   unsigned char *codes, float *numbers)
{
    const size_t scales = tare_tile_scales(m), bytes = tare_tile_group(m);
    const int64_t units = m->group / COLUMNS;
    for (int r = 0; r < R; r++) {
        const unsigned char *at = m->data + (size_t)(tile + r) * m->stride + (size_t)first * bytes;
        for (int64_t g = 0; g < groups; g++, at += bytes) {
            _mm512_store_ps(numbers + (g * R + r) * 32, numbers_at(m, at));
            _mm512_store_ps(numbers + (g * R + r) * 32 + 16, numbers_at(m, at + scales));
            unpack_group(m->group, at + 2 * scales, codes + (g * units * R + r) * UNIT, (size_t)R * UNIT);
        }
    }
}

INLINE void store_totals(int R, const struct tare_matrix *m, int64_t tile, int64_t tokens, const float *total, float *y,
                         int64_t ldy)
{
    for (int64_t t = 0; t < tokens; t++)
        for (int r = 0; r < R; r++)
            _mm512_mask_storeu_ps(y + t * ldy + r * 16, rows_of(m, tile + r), _mm512_load_ps(total + (t * R + r) * 16));
}

/* R tiles of rows times all tokens. */
INLINE void some_rows(int R, int units, bool zeros, const struct tare_matrix *m, int64_t tile,
                      const struct tare_wide *x, int64_t first, int64_t tokens, float *y, int64_t ldy, float *work)
{
    _Alignas(64) float numbers[PANEL * TOGETHER * 32];
    unsigned char *codes = (unsigned char *)work + (64 - (uintptr_t)work % 64) % 64;
    float *total = (float *)(void *)(codes + PANEL * TOGETHER * UNIT);
    const int64_t most = PANEL / units;
    for (int64_t t = 0; t < tokens; t += CHUNK) {
        const int64_t n = tokens - t < CHUNK ? tokens - t : CHUNK;
        memset(total, 0, (size_t)(n * R * 16) * sizeof *total);
        for (int64_t g = 0; g < m->groups; g += most) {
            const int64_t groups = m->groups - g < most ? m->groups - g : most;
            unpack(m, tile, R, g, groups, codes, numbers);
            multiply_chunk(R, units, zeros, &(struct panel){codes, numbers, g, groups}, x, first + t, n, total);
        }
        store_totals(R, m, tile, n, total, y + t * ldy, ldy);
    }
}

#define ROWS_OF(R, units, zeros)                                                                                       \
    static void rows_##R##_##units##_##zeros(const struct tare_matrix *m, int64_t tile, const struct tare_wide *x,     \
                                             int64_t first, int64_t tokens, float *y, int64_t ldy, float *work)        \
    {                                                                                                                  \
        some_rows(R, units, zeros, m, tile, x, first, tokens, y, ldy, work);                                           \
    }
#define EACH_ROWS(units)                                                                                               \
    ROWS_OF(1, units, 0)                                                                                               \
    ROWS_OF(2, units, 0)                                                                                               \
    ROWS_OF(3, units, 0)                                                                                               \
    ROWS_OF(4, units, 0) ROWS_OF(1, units, 1) ROWS_OF(2, units, 1) ROWS_OF(3, units, 1) ROWS_OF(4, units, 1)
EACH_ROWS(1)
EACH_ROWS(2)
EACH_ROWS(4)

typedef void rows_fn(const struct tare_matrix *m, int64_t tile, const struct tare_wide *x, int64_t first,
                     int64_t tokens, float *y, int64_t ldy, float *work);
#define NAMES(units)                                                                                                   \
    {                                                                                                                  \
        {rows_1_##units##_0, rows_2_##units##_0, rows_3_##units##_0, rows_4_##units##_0},                              \
        {                                                                                                              \
            rows_1_##units##_1, rows_2_##units##_1, rows_3_##units##_1, rows_4_##units##_1                             \
        }                                                                                                              \
    }
static rows_fn *const rows_fns[3][2][TOGETHER] = {NAMES(1), NAMES(2), NAMES(4)}; /* by units, zeros, tiles of rows */

/* All registers have 16 rows of 64 bytes. */
static void configure(void)
{
    struct {
        uint8_t palette, start, none[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } config = {.palette = 1};
    for (int k = 0; k < 8; k++) {
        config.bytes[k] = TILE_BYTES;
        config.rows[k] = 16;
    }
    TILE_CONFIGURE(&config);
}

/* Each group has its scales, its offsets and its codes, and nothing more: see the head of tiles.h. */
static bool takes(const struct tare_matrix *m)
{
    const size_t group = 2 * tare_tile_scales(m) + (size_t)(m->group / 8) * TARE_STEP_BYTES;
    return m->storage == TARE_STORE_T4 && !m->table && !m->factors &&
           (m->group == 32 || m->group == 64 || m->group == 128) && m->stride == (size_t)m->groups * group;
}

static void wide_tiles(const struct tare_matrix *m, int64_t tile, int64_t n, const struct tare_wide *x, int64_t first,
                       int64_t tokens, float *y, int64_t ldy, float *work)
{
    for (int64_t i = 0; tokens <= FEW && i < n; i++)
        few(m, tile + i, x, first, tokens, y + i * TARE_TILE_ROWS, ldy);
    if (tokens <= FEW)
        return;
    configure();
    const int units = (int)(m->group / COLUMNS);
    for (int64_t i = 0, now; i < n; i += now) {
        now = n - i < TOGETHER ? n - i : TOGETHER;
        rows_fns[units / 2][m->zeros][now - 1](m, tile + i, x, first, tokens, y + i * TARE_TILE_ROWS, ldy, work);
    }
    TILE_RELEASE();
}

/* ---- activations ------------------------------------------------------------------------------------------------- */

INLINE __m512 sixteen(const float *x, const int32_t *order, int64_t i)
{
    return order ? _mm512_i32gather_ps(_mm512_loadu_si512(order + i), x, 4) : _mm512_loadu_ps(x + i);
}

/* Stores the two parts of the codes of a group's columns [i, i + 16) into the token's units, `apart` bytes apart. */
INLINE void store_parts(__m512i code, int64_t group, int64_t i, int8_t *q, int64_t apart)
{
    const __m512i high = _mm512_srai_epi32(_mm512_add_epi32(code, _mm512_set1_epi32(8)), 4);
    const __m512i low = _mm512_sub_epi32(code, _mm512_slli_epi32(high, 4));
    int8_t *at = group == COLUMNS ? q + i : q + i / TILE_BYTES * 2 * apart + i % TILE_BYTES;
    _mm_storeu_si128((__m128i *)(void *)at, _mm512_cvtepi32_epi8(high));
    _mm_storeu_si128((__m128i *)(void *)(group == COLUMNS ? at + COLUMNS : at + apart), _mm512_cvtepi32_epi8(low));
}

static void wide_quantize(const float *x, const struct tare_matrix *m, const struct tare_wide *to, int64_t token)
{
    const int64_t apart = to->tokens * TILE_BYTES;
    int8_t *q = to->q + token * TILE_BYTES;
    for (int64_t g = 0; g < m->groups; g++, q += m->group / COLUMNS * apart) {
        __m512 most = _mm512_setzero_ps();
        __mmask16 bad = 0;
        for (int64_t i = g * m->group; i < (g + 1) * m->group; i += 16) {
            const __m512 v = sixteen(x, m->order, i);
            most = _mm512_max_ps(most, _mm512_abs_ps(v));
            bad |= _mm512_cmp_ps_mask(_mm512_mul_ps(v, _mm512_setzero_ps()), _mm512_setzero_ps(), _CMP_UNORD_Q);
        }
        const float largest = _mm512_reduce_max_ps(most), scale = bad ? __builtin_nanf("") : largest / MOST;
        const __m512 inverse = _mm512_set1_ps(bad ? 0 : tare_wide_inverse(largest));
        __m512i sum = _mm512_setzero_si512();
        for (int64_t i = 0; i < m->group; i += 16) {
            const __m512 scaled = _mm512_mul_ps(sixteen(x, m->order, g * m->group + i), inverse);
            const __mmask16 fits = _mm512_cmp_ps_mask(_mm512_abs_ps(scaled), _mm512_set1_ps(MOST + 0.5f), _CMP_LT_OQ);
            const __m512i code = _mm512_maskz_cvtps_epi32(fits, scaled);
            sum = _mm512_add_epi32(sum, code);
            store_parts(code, m->group, i, q, apart);
        }
        to->scale[g * to->tokens + token] = scale;
        to->sum[g * to->tokens + token] = scale * (float)_mm512_reduce_add_epi32(sum);
    }
}

void tare_kernels_amx_tiles(struct tare_kernels *k)
{
    k->wide = (struct tare_wide_kernels){takes, wide_quantize, wide_tiles};
}
#else
void tare_kernels_amx_tiles(struct tare_kernels *k)
{
    (void)k;
}
#endif
