/* SPDX-License-Identifier: MIT
 * test_wide_tiles.c - products with activations of 12 bits: those of the set `amx`, where the processor has it, and of
 * the same code with tile registers in plain C (tile_model.c), equal the formula of kernels.h bit for bit. Random odd
 * sizes, buffers that end at a page which may not be touched. `test_wide_tiles --bench` times the sets of the processor.
 */
#define _DEFAULT_SOURCE /* clock_gettime() */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/pool.h"
#include "guarded.h"
#include "kernels/tiles.h"

enum { CASES = 60 };

void tare_kernels_tile_model(struct tare_kernels *kernels);

struct sample {
    struct tare_matrix m;
    struct guarded data, x;
    float *scale, *offset; /* (rows, groups) */
    uint8_t *code;         /* (rows, in) */
    int32_t *order;
    int64_t tokens;
};

static float short_number(float number)
{
    return tare_from_bfloat16(tare_to_bfloat16(number));
}

static void fill_rows(struct sample *s)
{
    const struct tare_matrix *m = &s->m;
    s->code = malloc((size_t)(m->rows * m->in));
    s->scale = malloc((size_t)(m->rows * m->groups) * sizeof(float));
    s->offset = malloc((size_t)(m->rows * m->groups) * sizeof(float));
    for (int64_t i = 0; i < m->rows * m->in; i++)
        s->code[i] = next() % 16;
    for (int64_t i = 0; i < m->rows * m->groups; i++) {
        s->scale[i] = short_number(real());
        s->offset[i] = m->zeros ? (float)(next() % 16) : short_number(real());
    }
    for (int64_t r = 0; r < m->rows; r++)
        tare_tile_put(m, s->data.data, r, s->code + r * m->in, s->scale + r * m->groups, s->offset + r * m->groups);
}

static struct sample sample(int c)
{
    struct sample s = {.m = {.storage = TARE_STORE_T4, .rows = size(150), .group = 32 << (c % 3)}};
    struct tare_matrix *m = &s.m;
    m->groups = size(c % 5 == 4 ? 60 : 9); /* many: several panels */
    m->in = m->group * m->groups;
    m->scales = c / 3 % 3;
    m->zeros = c % 2;
    m->stride = tare_tile_stride(m);
    s.data = guard((size_t)tare_tile_count(m) * m->stride);
    memset(s.data.data, 0, (size_t)tare_tile_count(m) * m->stride);
    m->data = s.data.data;
    fill_rows(&s);
    if (c % 4 == 3) {
        s.order = malloc((size_t)m->in * sizeof *s.order);
        for (int64_t i = 0; i < m->in; i++)
            s.order[i] = (int32_t)(i * 7 % m->in); /* some twice, where 7 divides in: it is no matter */
        m->order = s.order;
    }
    s.tokens = c % 4 == 0 ? size(3) : size(c % 4 == 1 ? 20 : 150);
    s.x = guard((size_t)(s.tokens * m->in) * sizeof(float));
    float *x = s.x.data;
    for (int64_t i = 0; i < s.tokens * m->in; i++)
        x[i] = real() * (float)(1 + i % 7);
    if (c == 7)
        x[m->in / 2] = NAN;
    if (c == 8)
        x[m->in / 3] = INFINITY;
    for (int64_t i = 0; c == 9 && i < m->in; i++) /* so small that the inverse of the scale is infinite */
        x[i] *= 1e-38f;
    return s;
}

static void discard(struct sample *s)
{
    unguard(&s->data);
    unguard(&s->x);
    free(s->code);
    free(s->scale);
    free(s->offset);
    free(s->order);
}

/* Codes of one group of activations (group), its scale and its sum; see struct tare_wide. */
static void round_group(const struct sample *s, const float *x, int64_t g, int *code, float *scale, float *sum)
{
    const struct tare_matrix *m = &s->m;
    float most = 0;
    bool bad = false;
    int total = 0;
    for (int64_t i = 0; i < m->group; i++) {
        const float value = x[m->order ? m->order[g * m->group + i] : g * m->group + i];
        bad = bad || !isfinite(value);
        most = fabsf(value) > most ? fabsf(value) : most;
    }
    for (int64_t i = 0; i < m->group; i++) {
        const float value = x[m->order ? m->order[g * m->group + i] : g * m->group + i];
        code[i] = bad ? 0 : (int)rintf(value * tare_wide_inverse(most));
        assert_in_range(code[i] + TARE_WIDE_MOST, 0, 2 * TARE_WIDE_MOST);
        total += code[i];
    }
    *scale = bad ? NAN : most / TARE_WIDE_MOST;
    *sum = *scale * (float)total;
}

static void expect(const struct sample *s, const float *x, float *y)
{
    const struct tare_matrix *m = &s->m;
    int code[128];
    memset(y, 0, (size_t)m->rows * sizeof *y);
    for (int64_t g = 0; g < m->groups; g++) {
        float scale, sum;
        round_group(s, x, g, code, &scale, &sum);
        for (int64_t r = 0; r < m->rows; r++) {
            const float a = s->scale[r * m->groups + g], b = s->offset[r * m->groups + g];
            int dot = 0;
            for (int64_t i = 0; i < m->group; i++)
                dot += code[i] * s->code[r * m->in + g * m->group + i];
            const float part = scale * (float)dot;
            y[r] = m->zeros ? fmaf(a, fmaf(-b, sum, part), y[r]) : fmaf(b, sum, fmaf(a, part, y[r]));
        }
    }
}

/* The formula itself is near the product in float64. */
static void check_formula(const struct sample *s, const float *x, const float *y)
{
    const struct tare_matrix *m = &s->m;
    for (int64_t r = 0; r < m->rows; r++) {
        double sum = 0, most = 1e-30;
        for (int64_t i = 0; i < m->in; i++) {
            const double a = (double)s->scale[r * m->groups + i / m->group];
            const double b = (double)s->offset[r * m->groups + i / m->group], c = s->code[r * m->in + i];
            const double value = (double)x[m->order ? m->order[i] : i];
            sum += (m->zeros ? a * (c - b) : a * c + b) * value;
            most += (fabs(a) * 31 + fabs(b)) * 7;
        }
        if (isfinite(sum) && fabs(sum - (double)y[r]) > most / TARE_WIDE_MOST)
            fail_msg("row %lld: %g, expected %g", (long long)r, (double)y[r], sum);
    }
}

static bool same(const float *got, const float *want, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (memcmp(got + i, want + i, sizeof *got) && !(isnan(got[i]) && isnan(want[i])))
            return false;
    return true;
}

static void check_set(const struct tare_kernels *k)
{
    struct tare_pool *pool = NULL;
    assert_int_equal(tare_pool_open(&pool, 2, NULL), TARE_OK);
    assert_int_equal(tare_pool_reserve(pool, tare_matmul_scratch(4096, 40), NULL), TARE_OK); /* some need parts */
    struct guarded work[2] = {guard(TARE_PANEL_FLOATS * sizeof(float)), guard(TARE_PANEL_FLOATS * sizeof(float))};
    float *const works[2] = {work[0].data, work[1].data};
    random_start();
    for (int c = 0; c < CASES; c++) {
        struct sample s = sample(c);
        const int64_t rows = s.m.rows, n = s.tokens, apart = rows + c % 3;
        const float *x = s.x.data;
        struct guarded y = guard((size_t)((n - 1) * apart + rows) * sizeof(float)), one = guard((size_t)rows * 4);
        float *want = malloc((size_t)rows * sizeof *want);
        assert_true(k->wide.takes(&s.m));
        tare_matmul(k, pool, &s.m, NULL, x, s.m.in, n, y.data, apart, works);
        for (int64_t t = 0; t < n; t++) {
            expect(&s, x + t * s.m.in, want);
            check_formula(&s, x + t * s.m.in, want);
            assert_true(same((float *)y.data + t * apart, want, rows));
            tare_matmul(k, pool, &s.m, NULL, x + t * s.m.in, s.m.in, 1, one.data, rows, works);
            assert_true(same(one.data, want, rows));
        }
        free(want);
        unguard(&y);
        unguard(&one);
        discard(&s);
    }
    unguard(&work[0]);
    unguard(&work[1]);
    tare_pool_free(pool);
}

static void test_model(void **unused)
{
    (void)unused;
    struct tare_kernels k;
    if (!tare_kernels_pick(&k, "avx512"))
        skip();
    tare_kernels_tile_model(&k);
    if (!k.wide.takes) /* not compiled for this processor family */
        skip();
    check_set(&k);
}

static void test_processor(void **unused)
{
    (void)unused;
    struct tare_kernels k;
    if (!tare_kernels_pick(&k, "amx"))
        skip();
    check_set(&k);
}

/* Tables, other storages and other groups are left to the other kernels, for one token and for many. */
static void test_left_out(void **unused)
{
    (void)unused;
    static const uint8_t table[16] = {0};
    struct tare_kernels k;
    if (!tare_kernels_pick(&k, "avx512"))
        skip();
    assert_true(k.wide.takes == NULL);
    tare_kernels_tile_model(&k);
    if (!k.wide.takes)
        skip();
    struct tare_matrix m = {.storage = TARE_STORE_T4, .in = 128, .group = 64, .groups = 2};
    m.stride = tare_tile_stride(&m);
    assert_true(k.wide.takes(&m));
    m.stride += 64; /* more than scales, offsets and codes */
    assert_false(k.wide.takes(&m));
    m.stride -= 64;
    m.table = table;
    assert_false(k.wide.takes(&m));
    m.table = NULL, m.group = 48, m.in = 96, m.stride = tare_tile_stride(&m);
    assert_false(k.wide.takes(&m));
    m.group = 256, m.in = 512, m.stride = tare_tile_stride(&m);
    assert_false(k.wide.takes(&m));
    m.group = 64, m.in = 128, m.storage = TARE_STORE_T8, m.stride = tare_tile_stride(&m);
    assert_false(k.wide.takes(&m));
}

/* ---- bench ------------------------------------------------------------------------------------------------------- */

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Prints what one thread multiplies: 2048 rows of 4096 columns. The best of several tries. */
static void bench(const struct tare_kernels *k, int64_t group, int64_t tokens)
{
    enum { ROWS = 2048, IN = 4096, TRIES = 5 };
    static float work[TARE_PANEL_FLOATS];
    float *const works[] = {work};
    struct tare_matrix m = {.storage = TARE_STORE_T4, .rows = ROWS, .in = IN, .group = group, .groups = IN / group};
    struct tare_pool *pool = NULL;
    m.scales = TARE_SCALES_F16, m.zeros = true;
    m.stride = tare_tile_stride(&m);
    unsigned char *data = aligned_alloc(64, (size_t)tare_tile_count(&m) * m.stride);
    float *x = malloc((size_t)tokens * IN * sizeof *x), *y = malloc((size_t)tokens * ROWS * sizeof *y);
    memset(data, 0x11, (size_t)tare_tile_count(&m) * m.stride);
    m.data = data;
    for (int64_t i = 0; i < tokens * IN; i++)
        x[i] = real();
    double least = 1e9;
    if (!tare_pool_open(&pool, 1, NULL) && !tare_pool_reserve(pool, tare_matmul_scratch(IN, tokens), NULL))
        for (int i = 0; i < TRIES; i++) {
            const double start = seconds();
            for (int n = 0; n < 1 + 256 / tokens; n++)
                tare_matmul(k, pool, &m, NULL, x, IN, tokens, y, ROWS, works);
            const double took = (seconds() - start) / (double)(1 + 256 / tokens);
            least = took < least ? took : least;
        }
    printf("%-7s group %3d, %3d tokens: %7.1f us, %6.1f G products/s\n", k->name, (int)group, (int)tokens, least * 1e6,
           (double)ROWS * IN * (double)tokens / least * 1e-9);
    tare_pool_free(pool);
    free(data);
    free(x);
    free(y);
}

static void bench_all(void)
{
    static const char *const sets[] = {"avx512", "amx"};
    for (int64_t group = 32; group <= 128; group *= 2)
        for (size_t i = 0; i < 2; i++)
            for (int64_t tokens = 1; tokens <= 512; tokens *= tokens < 4 ? 2 : 4) {
                struct tare_kernels k;
                if (tare_kernels_pick(&k, sets[i]))
                    bench(&k, group, tokens);
            }
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "--bench")) {
        bench_all();
        return 0;
    }
    const struct CMUnitTest all[] = {cmocka_unit_test(test_model), cmocka_unit_test(test_processor),
                                     cmocka_unit_test(test_left_out)};
    return cmocka_run_group_tests(all, NULL, NULL);
}
