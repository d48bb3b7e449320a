/* SPDX-License-Identifier: MIT
 * test_tiles.c - kernels of tiles: integer ones equal scalar's bit for bit, and scalar's are held against sums in
 * double; on random odd sizes, in memory that ends at a page which may not be touched. `test_tiles --bench` times them.
 */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include "kernels/tiles.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/pool.h"
#include "fixture.h"

enum { CASES = 240, MOST_TOKENS = 11, ZERO = 32768 };

static const enum tare_storage storages[] = {TARE_STORE_T4, TARE_STORE_T8, TARE_STORE_T2,
                                             TARE_STORE_T3, TARE_STORE_T5, TARE_STORE_T6};
enum { STORAGES = sizeof storages / sizeof *storages };

static const char *const sets[] = {"scalar", "avx2", "avx512", "amx", "neon"};
static const uint8_t halves[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0}; /* e2m1 * 2 + 12 */
static const uint8_t wide[16] = {0, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 255};

/* Codes that stand for floats, with the unit 2^-14, and the low parts of their whole numbers. */
static const float levels[16] = {-2.001f, -1.627f, -1.3f,  -1.013f, -0.77f, -0.55f, -0.342f, -0.151f,
                                 0.0148f, 0.201f,  0.389f, 0.591f,  0.83f,  1.078f, 1.39f,   1.988f};
static const uint8_t low[16] = {255, 1, 17, 200, 0, 90, 128, 127, 3, 254, 77, 31, 250, 8, 64, 129};

static uint32_t next(void)
{
    static uint64_t state = 9;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 32);
}

static float real(void)
{
    return (float)next() / 4294967296.0f * 2 - 1;
}

static void *guard(size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), total = (bytes + page - 1) / page * page;
    unsigned char *map = mmap(NULL, total + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(map != MAP_FAILED);
    assert_int_equal(mprotect(map + total, page, PROT_NONE), 0);
    return map + total - bytes;
}

static void unguard(void *data, size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), total = (bytes + page - 1) / page * page;
    munmap((unsigned char *)data + bytes - total, total + page);
}

struct sample {
    struct tare_matrix m;
    size_t bytes;
    double *value; /* (rows, in), by columns as stored */
    double *whole; /* the same as tiles() has it: of the table, without the unit, where there are levels */
    int32_t *order;
    struct tare_activations x;
    float *raw; /* (tokens, in), as x comes */
    int tokens;
    double most; /* the largest scale */
};

/* A number that 16 bits of either kind hold. */
static float short_number(float number)
{
    return tare_from_bfloat16(tare_to_bfloat16(number));
}

/* The numbers of a row: of each group, or of each supergroup and the factors of its groups. */
struct numbers {
    float *scale, *offset;
    uint8_t *factor, *least;
};

static struct numbers numbers_of(const struct tare_matrix *m)
{
    const size_t n = (size_t)m->groups;
    const struct numbers all = {malloc(n * sizeof(float)), malloc(n * sizeof(float)), malloc(n), malloc(n)};
    for (int64_t g = 0; g < m->groups; g++) {
        all.scale[g] = short_number(real());
        all.offset[g] = m->levels  ? ZERO
                        : m->zeros ? (float)(next() % (1u << tare_tile_bits(m->storage)))
                                   : short_number(real());
        all.factor[g] = (uint8_t)(m->factors == TARE_FACTORS_E8M0 ? 119 + next() % 9 : next() % 127);
        all.least[g] = (uint8_t)next();
    }
    if (m->factors == TARE_FACTORS_I8 && next() % 2)
        all.factor[next() % (uint32_t)m->groups] = (uint8_t)(128 + next() % 127);
    return all;
}

static void discard_numbers(const struct numbers *n)
{
    free(n->scale);
    free(n->offset);
    free(n->factor);
    free(n->least);
}

/* Sets column i of a row to what code stands for. */
static void set_value(struct sample *s, const struct numbers *n, int64_t row, int64_t i, uint8_t code)
{
    const struct tare_matrix *m = &s->m;
    const int64_t g = i / m->group, header = i / tare_tile_columns(m);
    const float a = m->factors ? n->scale[header] * tare_tile_factor(m->factors, n->factor[g]) : n->scale[header];
    const float b = m->factors && !m->zeros ? n->offset[header] * (float)n->least[g] : n->offset[header];
    const double c = m->low ? 256 * m->table[code] + m->low[code] : m->table ? m->table[code] : code;
    s->most = fabs((double)a) > s->most ? fabs((double)a) : s->most;
    const double value = m->zeros ? (double)a * (c - (double)b) : (double)fmaf(a, (float)c, b);
    s->whole[row * m->in + i] = m->levels || !m->zeros ? value : (double)(float)value;
    s->value[row * m->in + i] = m->levels ? (double)(a * m->levels[code]) : s->whole[row * m->in + i];
}

static void fill_rows(struct sample *s, unsigned char *data)
{
    const struct tare_matrix *m = &s->m;
    uint8_t *code = malloc((size_t)m->in);
    for (int64_t r = 0; r < m->rows; r++) {
        const struct numbers n = numbers_of(m);
        for (int64_t i = 0; i < m->in; i++) {
            code[i] = (uint8_t)(next() % (1u << tare_tile_bits(m->storage)));
            set_value(s, &n, r, i, code[i]);
        }
        tare_tile_put(m, data, r, code, n.scale, n.offset);
        if (m->factors)
            tare_tile_put_factors(m, data, r, n.factor, n.least);
        discard_numbers(&n);
    }
    free(code);
}

static void shuffle(int32_t *order, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        order[i] = (int32_t)i;
    for (int64_t i = n - 1; i > 0; i--) {
        const int64_t k = (int64_t)next() % (i + 1);
        const int32_t other = order[k];
        order[k] = order[i];
        order[i] = other;
    }
}

static struct sample sample(enum tare_storage storage, int c)
{
    struct sample s = {.m = {.storage = storage, .rows = 1 + next() % 50, .group = 16 * (1 + next() % 9)}};
    struct tare_matrix *m = &s.m;
    m->groups = 1 + next() % 9;
    m->in = m->group * m->groups;
    m->scales = c % 3;
    m->zeros = c % 2;
    m->wide = storage == TARE_STORE_T4 && c % 5 == 2;
    m->table = m->wide ? wide : storage == TARE_STORE_T4 && c % 5 == 1 ? halves : NULL;
    if (m->wide && m->zeros && c % 3) {
        m->levels = levels;
        m->low = low;
        m->wide = c % 2;
        m->unit = 1.0f / 16384;
    }
    if (c % 11 > 4) {
        const int64_t each = 1 + next() % 5;
        m->super = m->group * each;
        m->groups *= each;
        m->in = m->group * m->groups;
        m->factors = m->zeros ? TARE_FACTORS_I8 + next() % 3 : TARE_FACTORS_I8;
    }
    m->stride = tare_tile_stride(m);
    s.bytes = (size_t)tare_tile_count(m) * m->stride;
    s.value = malloc((size_t)(m->rows * m->in) * sizeof *s.value);
    s.whole = malloc((size_t)(m->rows * m->in) * sizeof *s.whole);
    unsigned char *data = guard(s.bytes);
    memset(data, 0, s.bytes);
    fill_rows(&s, data);
    m->data = data;
    if (c % 4 == 3) {
        s.order = malloc((size_t)m->in * sizeof *s.order);
        shuffle(s.order, m->in);
        m->order = s.order;
    }
    s.tokens = 1 + (int)(next() % MOST_TOKENS);
    s.raw = malloc((size_t)(s.tokens * m->in) * sizeof *s.raw);
    for (int64_t i = 0; i < s.tokens * m->in; i++)
        s.raw[i] = real() * (float)(1 + i % 7);
    const size_t blocks = (size_t)(s.tokens * m->in / TARE_ACTIVATION_BLOCK);
    s.x.in = m->in;
    s.x.q = guard((size_t)(s.tokens * m->in));
    s.x.scale = guard(blocks * sizeof(float));
    s.x.sum = guard(blocks * sizeof(float));
    return s;
}

static void discard(struct sample *s)
{
    const size_t n = (size_t)(s->tokens * s->m.in), blocks = n / TARE_ACTIVATION_BLOCK * sizeof(float);
    unguard((void *)s->m.data, s->bytes);
    unguard(s->x.q, n);
    unguard(s->x.scale, blocks);
    unguard(s->x.sum, blocks);
    free(s->value);
    free(s->whole);
    free(s->order);
    free(s->raw);
}

static void near(float got, double want, double magnitude)
{
    if (!(fabs((double)got - want) <= 4e-6 * magnitude + 1e-30))
        fail_msg("got %.9g, expected %.9g within %.3g", (double)got, want, 4e-6 * magnitude);
}

/* Row r times token t, of activations as they are quantized, or as they come. */
static double product(const struct sample *s, int64_t r, int64_t t, bool quantized, double *magnitude)
{
    const int64_t in = s->m.in;
    double sum = 0;
    *magnitude = 0;
    for (int64_t i = 0; i < in; i++) {
        const double x = quantized ? (double)s->x.scale[(t * in + i) / TARE_ACTIVATION_BLOCK] * s->x.q[t * in + i]
                                   : (double)s->raw[t * in + (s->order ? s->order[i] : i)];
        const double w = quantized ? s->whole[r * in + i] : s->value[r * in + i];
        sum += w * x;
        *magnitude +=
            (fabs(w) + (s->m.low ? 65536 : 300) * s->most) * fabs(x); /* codes and zero points are summed apart */
    }
    return sum;
}

static void check_quantize(const struct tare_kernels *k, const struct sample *s)
{
    const int64_t in = s->m.in, blocks = in / TARE_ACTIVATION_BLOCK;
    int8_t *q = malloc((size_t)in);
    float *scale = malloc((size_t)blocks * sizeof *scale), *sum = malloc((size_t)blocks * sizeof *sum);
    const struct tare_activations want = {q, scale, sum, in};
    for (int64_t t = 0; t < s->tokens; t++) {
        k->quantize(s->raw + t * in, s->order, in, &s->x, t);
        tare_scalar_quantize(s->raw + t * in, s->order, in, &want, 0);
        assert_memory_equal(s->x.q + t * in, q, (size_t)in);
        assert_memory_equal(s->x.scale + t * blocks, scale, (size_t)blocks * sizeof *scale);
        assert_memory_equal(s->x.sum + t * blocks, sum, (size_t)blocks * sizeof *sum);
    }
    free(q);
    free(scale);
    free(sum);
}

static void check_tiles(const struct tare_kernels *k, const struct sample *s)
{
    const struct tare_matrix *m = &s->m;
    const int64_t count = tare_tile_count(m), tile = (int64_t)next() % count, n = 1 + (int64_t)next() % (count - tile);
    const int64_t start = tile * TARE_TILE_ROWS, rows = m->rows - start < n * 16 ? m->rows - start : n * 16;
    const int first = (int)(next() % (uint32_t)s->tokens), left = s->tokens - first, tokens = left < 8 ? left : 8;
    const size_t size = (size_t)(tokens * rows) * sizeof(float);
    float *y = guard(size), *want = malloc(size);
    double magnitude;
    k->tiles[m->storage](m, tile, n, &s->x, first, tokens, y, rows);
    tare_scalar_tiles(m, tile, n, &s->x, first, tokens, want, rows);
    assert_memory_equal(y, want, size);
    for (int64_t i = 0; i < tokens * rows; i++) {
        const double exact = product(s, start + i % rows, first + i / rows, true, &magnitude);
        near(y[i], exact, magnitude);
    }
    if (!m->order) {
        k->tiles_exact[m->storage](m, tile, n, s->raw + first * m->in, m->in, tokens, y, rows);
        for (int64_t i = 0; i < tokens * rows; i++) {
            const double exact = product(s, start + i % rows, first + i / rows, false, &magnitude);
            near(y[i], exact, magnitude);
        }
    }
    free(want);
    unguard(y, size);
}

static void check_row(const struct tare_kernels *k, const struct sample *s)
{
    const int64_t row = (int64_t)next() % s->m.rows, in = s->m.in;
    float *dst = guard((size_t)in * sizeof *dst);
    tare_matrix_row(k, &s->m, row, dst);
    for (int64_t i = 0; i < in; i++)
        if ((double)dst[s->order ? s->order[i] : i] != s->value[row * in + i])
            fail_msg("column %lld: got %.9g, expected %.9g", (long long)i, (double)dst[i], s->value[row * in + i]);
    unguard(dst, (size_t)in * sizeof *dst);
}

/* Whole products on two threads, exact and not, in scratch that is too small for all tokens: each token as by itself.
 */
static void check_matmul(struct tare_kernels k, const struct sample *s, struct tare_pool *pool)
{
    const struct tare_matrix *m = &s->m;
    float *y = malloc((size_t)(s->tokens * m->rows) * sizeof *y), *one = malloc((size_t)m->rows * sizeof *one);
    static float work[2][TARE_PANEL_FLOATS];
    float *const works[] = {work[0], work[1]};
    double magnitude;
    for (int exact = 0; exact < 2; exact++) {
        k.exact = exact;
        tare_matmul(&k, pool, m, NULL, s->raw, m->in, s->tokens, y, m->rows, works);
        for (int64_t t = 0; t < s->tokens; t++) {
            tare_matmul(&k, pool, m, NULL, s->raw + t * m->in, m->in, 1, one, m->rows, works);
            assert_memory_equal(one, y + t * m->rows, (size_t)m->rows * sizeof *y);
            for (int64_t r = 0; exact && r < m->rows; r++) {
                const double want = product(s, r, t, false, &magnitude);
                near(one[r], want, magnitude);
            }
        }
    }
    free(one);
    free(y);
}

static void test_kernels(void **unused)
{
    (void)unused;
    struct tare_pool *pool = NULL;
    assert_int_equal(tare_pool_open(&pool, 2, NULL), TARE_OK);
    assert_int_equal(tare_pool_reserve(pool, tare_matmul_scratch(9 * 5 * 144, 2), NULL), TARE_OK);
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        struct tare_kernels k;
        if (!tare_kernels_pick(&k, sets[i]))
            continue;
        for (int c = 0; c < CASES; c++) {
            struct sample s = sample(storages[c % 7 % STORAGES], c);
            check_quantize(&k, &s);
            for (int t = 0; t < s.tokens; t++)
                tare_activations_group(&s.x, t, s.m.group);
            check_tiles(&k, &s);
            check_row(&k, &s);
            check_matmul(k, &s, pool);
            discard(&s);
        }
    }
    tare_pool_free(pool);
}

/* A block with a NaN or an infinity says so in all that comes of it; one of zeros is zero. */
static void test_odd_numbers(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        struct tare_kernels k;
        int8_t q[96];
        float x[96] = {0}, scale[6], sum[6];
        if (!tare_kernels_pick(&k, sets[i]))
            continue;
        x[20] = NAN;
        x[70] = INFINITY;
        k.quantize(x, NULL, 96, &(struct tare_activations){q, scale, sum, 96}, 0);
        assert_true(scale[0] == 0 && sum[0] == 0 && q[0] == 0 && q[15] == 0);
        assert_true(isnan(scale[1]) && isnan(sum[1]));
        assert_true(isnan(scale[4]) && isnan(sum[4]));
    }
}

/* Numbers so small that 127 / most is infinite: codes of zero in every set. */
static void test_tiny_numbers(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        struct tare_kernels k;
        int8_t q[32], none[32] = {0};
        float x[32] = {0}, scale[2], sum[2];
        if (!tare_kernels_pick(&k, sets[i]))
            continue;
        x[3] = 1e-38f;
        x[20] = -3e-37f;
        k.quantize(x, NULL, 32, &(struct tare_activations){q, scale, sum, 32}, 0);
        assert_memory_equal(q, none, sizeof q);
        assert_true(sum[0] == 0 && sum[1] == 0);
    }
}

/* ---- bench ------------------------------------------------------------------------------------------------------- */

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* 4096 rows of 4096 columns in groups of 128: 8.6 MB, beyond L2. */
static void bench(const struct tare_kernels *k, enum tare_storage storage, int tokens)
{
    struct tare_matrix m = {.storage = storage, .rows = 4096, .in = 4096, .group = 128, .groups = 32, .zeros = true};
    m.scales = TARE_SCALES_F16;
    m.stride = tare_tile_stride(&m);
    const size_t bytes = (size_t)tare_tile_count(&m) * m.stride;
    unsigned char *data = aligned_alloc(64, bytes);
    memset(data, 0x11, bytes);
    m.data = data;
    const struct tare_activations x = {calloc(8, 4096), calloc(8, 1024), calloc(8, 1024), 4096};
    float *y = malloc(8 * 4096 * sizeof *y);
    double best = 1e9;
    for (int run = 0; run < 20; run++) {
        const double from = seconds();
        for (int64_t tile = 0; tile < 256; tile += 4)
            k->tiles[storage](&m, tile, 4, &x, 0, tokens, y + tile * 16, 4096);
        best = fmin(best, seconds() - from);
    }
    printf("%-7s T%d %d tokens  %6.1f GB/s of weights  %7.1f G products/s\n", k->name, tare_tile_bits(storage), tokens,
           (double)bytes / best * 1e-9, 4096.0 * 4096 * tokens / best * 1e-9);
    free(data);
    free(x.q);
    free(x.scale);
    free(x.sum);
    free(y);
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "--bench")) {
        for (size_t i = 1; i < sizeof sets / sizeof *sets; i++)
            for (int c = 0; c < 4 * STORAGES; c++) {
                struct tare_kernels k;
                if (tare_kernels_pick(&k, sets[i]))
                    bench(&k, storages[c / 4], 1 << c % 4);
            }
        return 0;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kernels), cmocka_unit_test(test_odd_numbers),
                                       cmocka_unit_test(test_tiny_numbers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
