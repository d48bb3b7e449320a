/* SPDX-License-Identifier: MIT
 * test_kernels.c - every set of kernels that this CPU has, against scalar.c and against sums in double, on random odd
 * sizes. Buffers end at a page that may not be touched. `test_kernels --bench` times them.
 *
 * Tolerance: the lanes of a sum differ, so results may be apart by 4e-6 of the sum of the absolute terms (3000 terms in
 * 8 lanes). Functions of one number may be apart by 4e-7 of it.
 */
#include "kernels/kernels.h"

#include "base/small_float.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/half.h"
#include "base/pool.h"
#include "guarded.h"

#define SUM_TOLERANCE 4e-6
#define TOLERANCE 4e-7

struct sample {
    struct tare_matrix m;
    struct guarded data, scale, offset;
    double *value; /* (rows, in) */
};

static void fill_packed(struct sample *s, int64_t group)
{
    struct tare_matrix *m = &s->m;
    const bool four = m->storage == TARE_STORE_Q4;
    m->group = group;
    m->groups = m->in / group;
    m->stride = four ? tare_q4_stride(m->in) : tare_q8_stride(m->in);
    s->data = guard((size_t)m->rows * m->stride);
    float *scale = floats(&s->scale, m->rows * m->groups), *offset = floats(&s->offset, m->rows * m->groups);
    uint8_t *codes = malloc((size_t)m->in);
    for (int64_t i = 0; i < m->rows * m->groups; i++) {
        scale[i] = tare_from_float16(tare_to_float16(scale[i]));
        offset[i] = -scale[i] * (float)(next() % (four ? 16 : 256));
    }
    for (int64_t r = 0; r < m->rows; r++) {
        for (int64_t i = 0; i < m->in; i++) {
            codes[i] = (uint8_t)(next() % (four ? 16 : 256));
            const int64_t g = r * m->groups + i / group;
            s->value[r * m->in + i] = (double)scale[g] * codes[i] + (double)offset[g];
        }
        unsigned char *row = (unsigned char *)s->data.data + (size_t)r * m->stride;
        if (four)
            tare_q4_pack(codes, m->in, row);
        else
            memcpy(row, codes, (size_t)m->in);
    }
    free(codes);
    m->scale = scale;
    m->offset = offset;
}

/* Floats of one byte, NaN left out, with scales. */
static void fill_bytes(struct sample *s, int64_t group)
{
    struct tare_matrix *m = &s->m;
    m->group = group % 16 ? m->in : group;
    m->groups = m->in / m->group;
    m->stride = (size_t)m->in;
    s->data = guard((size_t)(m->rows * m->in));
    m->scale = floats(&s->scale, m->rows * m->groups);
    for (int64_t i = 0; i < m->rows * m->in; i++) {
        const uint8_t byte = (uint8_t)(next() % 0x7f | (next() & 0x80));
        ((unsigned char *)s->data.data)[i] = byte;
        s->value[i] = (double)(m->scale[i / m->in * m->groups + i % m->in / m->group] * tare_from_e4m3(byte));
    }
}

static void fill_dense(struct sample *s)
{
    struct tare_matrix *m = &s->m;
    const size_t item = m->storage == TARE_STORE_F32 ? 4 : 2;
    m->stride = (size_t)m->in * item;
    s->data = guard((size_t)m->rows * m->stride);
    for (int64_t i = 0; i < m->rows * m->in; i++) {
        const float v = real();
        const uint16_t half = m->storage == TARE_STORE_F16 ? tare_to_float16(v) : tare_to_bfloat16(v);
        unsigned char *at = (unsigned char *)s->data.data + (size_t)i * item;
        if (item == 4)
            memcpy(at, &v, 4);
        else
            memcpy(at, &half, 2);
        s->value[i] = item == 4 ? v : m->storage == TARE_STORE_F16 ? tare_from_float16(half) : tare_from_bfloat16(half);
    }
}

static struct sample sample(enum tare_storage storage, int64_t rows, int64_t in, int64_t group)
{
    struct sample s = {.m = {.storage = storage, .rows = rows, .in = in}};
    s.value = malloc((size_t)(rows * in) * sizeof *s.value);
    if (storage >= TARE_STORE_Q4)
        fill_packed(&s, group);
    else if (storage == TARE_STORE_E4M3)
        fill_bytes(&s, group);
    else
        fill_dense(&s);
    s.m.data = s.data.data;
    return s;
}

static void discard(struct sample *s)
{
    unguard(&s->data);
    if (s->m.scale)
        unguard(&s->scale);
    if (s->m.offset)
        unguard(&s->offset);
    free(s->value);
}

/* Random sizes that a vector kernel has to take: packed ones in groups of whole 32s. */
static struct sample any_sample(enum tare_storage storage, bool even)
{
    const int64_t group = even ? 32 * size(5) : size(50);
    const int64_t in = storage >= TARE_STORE_E4M3 ? group * size(even ? 20 : 60) : size(3000);
    return sample(storage, size(20), in, group);
}

static void check_sum(float got, double want, double magnitude)
{
    if (!(fabs((double)got - want) <= SUM_TOLERANCE * magnitude + 1e-30))
        fail_msg("got %.9g, expected %.9g within %.3g", (double)got, want, SUM_TOLERANCE * magnitude);
}

static void check_dot(const struct tare_kernels *k, const struct sample *s)
{
    struct guarded gx, gy;
    float *x = floats(&gx, s->m.in);
    const int64_t row = (int64_t)next() % s->m.rows, rows = s->m.rows - row;
    float *y = floats(&gy, rows);
    k->dot[s->m.storage](&s->m, row, rows, x, y);
    for (int64_t r = 0; r < rows; r++) {
        double want = 0, magnitude = 0;
        for (int64_t i = 0; i < s->m.in; i++) {
            want += s->value[(row + r) * s->m.in + i] * (double)x[i];
            /* AVX2 sums codes and offsets apart, so their own sizes count. */
            const double code =
                s->m.offset ? 2 * fabs((double)s->m.offset[(row + r) * s->m.groups + i / s->m.group]) : 0;
            magnitude += (fabs(s->value[(row + r) * s->m.in + i]) + code) * fabs((double)x[i]);
        }
        check_sum(y[r], want, magnitude);
    }
    unguard(&gx);
    unguard(&gy);
}

/* Unpacked weights are exact: 16-bit scales, and offsets that are a code times the scale. */
static void check_unpack(const struct tare_kernels *k, const struct sample *s)
{
    const int64_t blocks = (s->m.in - 1) / TARE_Q4_BLOCK + 1, start = TARE_Q4_BLOCK * ((int64_t)next() % blocks);
    const int64_t n = s->m.in - start;
    struct guarded g;
    float *dst = floats(&g, n);
    const int64_t row = (int64_t)next() % s->m.rows;
    k->unpack[s->m.storage](&s->m, row, start, n, dst);
    for (int64_t i = 0; i < n; i++)
        if ((double)dst[i] != s->value[row * s->m.in + start + i])
            fail_msg("column %lld: got %.9g, expected %.9g", (long long)(start + i), (double)dst[i],
                     s->value[row * s->m.in + start + i]);
    unguard(&g);
}

static void matrices(const struct tare_kernels *k)
{
    const bool scalar = !strcmp(k->name, "scalar");
    for (int storage = 0; storage < TARE_STORE_T4; storage++)
        for (int n = 0; n < 30; n++) {
            struct sample s = any_sample((enum tare_storage)storage, !scalar || n % 2);
            check_dot(k, &s);
            check_unpack(k, &s);
            discard(&s);
        }
}

static void test_matrices(void **unused)
{
    (void)unused;
    each_set(matrices);
}

static void panels(const struct tare_kernels *k)
{
    for (int n = 0; n < 60; n++) {
        const int64_t rows = size(13), tokens = size(20), depth = size(300), ldw = depth + size(9),
                      ldx = depth + size(9);
        const int64_t ldy = rows + size(5);
        const bool add = n % 2;
        struct guarded gw, gx, gy;
        const float *w = floats(&gw, (rows - 1) * ldw + depth), *x = floats(&gx, (tokens - 1) * ldx + depth);
        float *y = floats(&gy, (tokens - 1) * ldy + rows), *before = malloc((size_t)(tokens * ldy) * sizeof *y);
        memcpy(before, y, (size_t)((tokens - 1) * ldy + rows) * sizeof *y);
        k->panel(w, ldw, rows, x, ldx, tokens, depth, y, ldy, add);
        for (int64_t i = 0; i < (tokens - 1) * ldy + rows; i++) {
            const int64_t t = i / ldy, r = i % ldy;
            if (r >= rows) { /* between rows of y nothing is written */
                assert_memory_equal(&y[i], &before[i], sizeof *y);
                continue;
            }
            double want = add ? before[i] : 0, magnitude = fabs(want);
            for (int64_t j = 0; j < depth; j++) {
                want += (double)w[r * ldw + j] * (double)x[t * ldx + j];
                magnitude += fabs((double)w[r * ldw + j] * (double)x[t * ldx + j]);
            }
            check_sum(y[i], want, magnitude);
        }
        free(before);
        unguard(&gw);
        unguard(&gx);
        unguard(&gy);
    }
}

static void test_panels(void **unused)
{
    (void)unused;
    each_set(panels);
}

static void attention(const struct tare_kernels *k)
{
    for (int c = 0; c < 60; c++) {
        const int64_t n = size(40), dim = c % 3 ? size(200) : 64;
        struct guarded gq, gk, gs, gy;
        const float *q = floats(&gq, dim), *keys = floats(&gk, n * dim);
        float *s = floats(&gs, n), *y = floats(&gy, dim);
        k->scores(q, keys, n, dim, 0.25f, s);
        for (int64_t j = 0; j < n; j++) {
            double want = 0, magnitude = 0;
            for (int64_t d = 0; d < dim; d++) {
                want += 0.25 * (double)q[d] * (double)keys[j * dim + d];
                magnitude += fabs(0.25 * (double)q[d] * (double)keys[j * dim + d]);
            }
            check_sum(s[j], want, magnitude);
        }
        memset(y, 0, (size_t)dim * sizeof *y);
        k->mix(s, keys, n, dim, y);
        for (int64_t d = 0; d < dim; d++) {
            double want = 0, magnitude = 0;
            for (int64_t j = 0; j < n; j++) {
                want += (double)s[j] * (double)keys[j * dim + d];
                magnitude += fabs((double)s[j] * (double)keys[j * dim + d]);
            }
            check_sum(y[d], want, magnitude);
        }
        unguard(&gq);
        unguard(&gk);
        unguard(&gs);
        unguard(&gy);
    }
}

static void test_attention(void **unused)
{
    (void)unused;
    each_set(attention);
}

/* All sets give the bits of plain multiplications and additions, in the order of the states. */
static void scans(const struct tare_kernels *k)
{
    for (int c = 0; c < 60; c++) {
        const int64_t states = size(40), n = c % 3 ? size(100) : 64, apart = n + c % 2 * 7, alike = c % 4 == 0;
        struct guarded gh, gd, gx, gb, gc, gy;
        float *h = floats(&gh, (states - 1) * apart + n), *y = floats(&gy, n);
        const float *decay = floats(&gd, alike ? n : states * n), *x = floats(&gx, n), *b = floats(&gb, states),
                    *out = floats(&gc, states);
        float *want = malloc((size_t)(states * apart + n) * sizeof *want), *sum = want + states * apart;
        memcpy(want, h, (size_t)((states - 1) * apart + n) * sizeof *h);
        memset(sum, 0, (size_t)n * sizeof *sum);
        for (int64_t s = 0; s < states; s++)
            for (int64_t i = 0; i < n; i++) {
                want[s * apart + i] = decay[(alike ? 0 : s * n) + i] * want[s * apart + i] + b[s] * x[i];
                sum[i] += out[s] * want[s * apart + i];
            }
        k->scan(&(struct tare_scan){h, apart, decay, alike ? 0 : n, x, b, out, states, n, y});
        assert_memory_equal(h, want, (size_t)((states - 1) * apart + n) * sizeof *h);
        assert_memory_equal(y, sum, (size_t)n * sizeof *y);
        free(want);
        unguard(&gh);
        unguard(&gd);
        unguard(&gx);
        unguard(&gb);
        unguard(&gc);
        unguard(&gy);
    }
}

/* Where a number of a delta rule's state lies. */
static int64_t in_tiles(int64_t states, int64_t n, int64_t s, int64_t i)
{
    const int64_t at = i / TARE_DELTA_TILE * TARE_DELTA_TILE, left = n - at;
    return at * states + s * (left < TARE_DELTA_TILE ? left : TARE_DELTA_TILE) + i - at;
}

/* One channel of a step. */
static void delta_channel(const struct tare_delta_step *d, int64_t i, const float *h, float y)
{
    double said = 0, sum = 0, large = 0;
    for (int64_t s = 0; s < d->states; s++)
        said += (double)d->ask[s] * (double)d->from[in_tiles(d->states, d->channels, s, i)];
    for (int64_t s = 0; s < d->states; s++) {
        const int64_t at = in_tiles(d->states, d->channels, s, i);
        const double kept = (double)d->decay[s] * (double)d->from[at], new = (double)d->key[s] * (double)d->x[i],
                     taken = (double)d->back[s] * said, size = fabs(kept) + fabs(new) + fabs(taken) + 1;
        check_sum(h[at], kept + new + taken, size * (double)d->states);
        sum += (double)d->query[s] * (kept + new + taken);
        large += fabs((double)d->query[s]) * size * (double)d->states;
    }
    check_sum(y, sum, large);
}

/* One step of a delta rule, in place and not; y is x or not, and the vectors of states are rows of one. */
static void deltas(const struct tare_kernels *k)
{
    for (int c = 0; c < 60; c++) {
        const int64_t states = size(40), n = c % 3 ? size(100) : 64, all = states * n;
        struct guarded gf, gh, gv, gx, gy;
        float *from = floats(&gf, all), *h = floats(&gh, all), *x = floats(&gx, n), *y = floats(&gy, n);
        const float *v = floats(&gv, 5 * states);
        struct tare_delta_step d = {.h = h, .from = from, .ask = v, .decay = v + states, .key = v + 2 * states};
        d.back = v + 3 * states, d.query = v + 4 * states, d.x = x, d.y = y, d.states = states, d.channels = n;
        struct tare_delta_step within = d;
        k->delta(&d);
        for (int64_t i = 0; i < n; i++)
            delta_channel(&d, i, h, y[i]);
        within.h = from;
        within.y = x;
        k->delta(&within);
        assert_memory_equal(from, h, (size_t)all * sizeof *h);
        assert_memory_equal(x, y, (size_t)n * sizeof *y);
        unguard(&gf);
        unguard(&gh);
        unguard(&gv);
        unguard(&gx);
        unguard(&gy);
    }
}

static void test_deltas(void **unused)
{
    (void)unused;
    each_set(deltas);
}

static void test_scans(void **unused)
{
    (void)unused;
    each_set(scans);
}

static void check_near(float got, double want, double floor)
{
    if (!(fabs((double)got - want) <= TOLERANCE * fabs(want) + floor))
        fail_msg("got %.9g, expected %.9g", (double)got, want);
}

static void functions(const struct tare_kernels *k)
{
    for (int c = 0; c < 60; c++) {
        const int64_t n = size(100);
        struct guarded gs, gg, gu;
        float *s = floats(&gs, n), *g = floats(&gg, n), *up = floats(&gu, n), sum = 0, most = -INFINITY;
        for (int64_t i = 0; i < n; i++) {
            s[i] *= c % 2 ? 300 : 10;
            most = s[i] > most ? s[i] : most;
            g[i] = s[i];
        }
        double total = 0, squares = 0;
        for (int64_t i = 0; i < n; i++) {
            total += exp((double)s[i] - (double)most);
            squares += (double)s[i] * (double)s[i];
        }
        check_sum(k->squares(s, n), squares, squares);
        sum = k->exponents(s, n, most);
        check_sum(sum, total, total);
        for (int64_t i = 0; i < n; i++)
            check_near(s[i], exp((double)(g[i] - most)), 2e-38); /* AVX2 takes what is below exp(-87) for zero */
        memcpy(s, g, (size_t)n * sizeof *s);
        k->silu(g, c % 3 ? up : NULL, n);
        for (int64_t i = 0; i < n; i++)
            check_near(g[i], (double)s[i] / (1 + exp(-(double)s[i])) * (c % 3 ? (double)up[i] : 1), 1e-34);
        unguard(&gs);
        unguard(&gg);
        unguard(&gu);
    }
}

static void test_functions(void **unused)
{
    (void)unused;
    each_set(functions);
}

/* What is not a number stays that: it must not be laundered into a probability. */
static void not_numbers(const struct tare_kernels *k)
{
    float s[] = {0, NAN, -1}, g[] = {NAN, 1, 2};
    assert_true(isnan(k->exponents(s, 3, 0)));
    k->silu(g, NULL, 3);
    assert_true(isnan(g[0]) && !isnan(g[1]));
    float hidden[] = {0, -INFINITY};
    assert_true(k->exponents(hidden, 2, 0) == 1.0f && hidden[1] == 0);
}

static void test_not_numbers(void **unused)
{
    (void)unused;
    each_set(not_numbers);
}

static void multiply(const struct tare_kernels *k, int threads, const struct sample *s, const float *x,
                     const float *bias, int64_t tokens, float *y)
{
    struct tare_pool *pool = NULL;
    assert_int_equal(tare_pool_open(&pool, threads, NULL), TARE_OK);
    float *work[4];
    for (int i = 0; i < threads; i++)
        work[i] = malloc(TARE_PANEL_FLOATS * sizeof(float));
    tare_matmul(k, pool, &s->m, bias, x, s->m.in, tokens, y, s->m.rows, work);
    for (int i = 0; i < threads; i++)
        free(work[i]);
    tare_pool_free(pool);
}

/* One thread or three: the same bits. */
static void products(const struct tare_kernels *k)
{
    for (int c = 0; c < 30; c++) {
        const enum tare_storage storage = (enum tare_storage)(c % TARE_STORE_T4);
        const int64_t group = c % 4 ? 64 : 40; /* groups that vector kernels do not take go to scalar.c */
        struct sample s = sample(storage, size(300), group * size(40), group);
        const int64_t tokens = c % 3 ? size(9) : 1;
        struct guarded gx, gb, gy, gz;
        const float *x = floats(&gx, tokens * s.m.in), *bias = floats(&gb, s.m.rows);
        float *y = floats(&gy, tokens * s.m.rows), *z = floats(&gz, tokens * s.m.rows);
        multiply(k, 1, &s, x, bias, tokens, y);
        multiply(k, 3, &s, x, bias, tokens, z);
        assert_memory_equal(y, z, (size_t)(tokens * s.m.rows) * sizeof *y);
        for (int64_t i = 0; i < tokens * s.m.rows; i++) {
            const double *w = s.value + i % s.m.rows * s.m.in;
            double want = bias[i % s.m.rows], magnitude = fabs(want);
            for (int64_t j = 0; j < s.m.in; j++) {
                want += w[j] * (double)x[i / s.m.rows * s.m.in + j];
                magnitude += (fabs(w[j]) + (s.m.offset ? 512 : 0)) * fabs((double)x[i / s.m.rows * s.m.in + j]);
            }
            check_sum(y[i], want, magnitude);
        }
        discard(&s);
        unguard(&gx);
        unguard(&gb);
        unguard(&gy);
        unguard(&gz);
    }
}

static void test_products(void **unused)
{
    (void)unused;
    each_set(products);
}

/* A token by itself has the bits that it has among others, in columns of more than one panel. */
static void alone(const struct tare_kernels *k)
{
    for (int c = 0; c < 15; c++) {
        struct sample s = sample((enum tare_storage)(c % TARE_STORE_T4), size(40), 64 * size(40) + c % 2 * 40, 8);
        const int64_t tokens = 1 + size(6);
        struct guarded gx, gy, gz;
        const float *x = floats(&gx, tokens * s.m.in);
        float *y = floats(&gy, tokens * s.m.rows), *z = floats(&gz, s.m.rows);
        multiply(k, 1, &s, x, NULL, tokens, y);
        for (int64_t t = 0; t < tokens; t++) {
            multiply(k, 1, &s, x + t * s.m.in, NULL, 1, z);
            assert_memory_equal(y + t * s.m.rows, z, (size_t)s.m.rows * sizeof *z);
        }
        discard(&s);
        unguard(&gx);
        unguard(&gy);
        unguard(&gz);
    }
}

static void test_alone(void **unused)
{
    (void)unused;
    each_set(alone);
}

static void test_pick(void **unused)
{
    (void)unused;
    struct tare_kernels k;
    assert_true(tare_kernels_pick(&k, NULL));
    assert_true(tare_kernels_pick(&k, "scalar"));
    assert_false(tare_kernels_pick(&k, "mmx"));
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static const char *const storage_names[TARE_STORE_T4] = {"f32", "f16", "bf16", "e4m3", "q4", "q8"};

/* Best of five, in one thread. */
static void bench_one(const struct tare_kernels *k, enum tare_storage storage, int64_t tokens)
{
    struct sample s = sample(storage, 512, 2048, storage == TARE_STORE_E4M3 ? 128 : 64);
    struct guarded gx, gy;
    const float *x = floats(&gx, tokens * 2048);
    float *y = floats(&gy, tokens * 512), *work = aligned_alloc(64, TARE_PANEL_FLOATS * sizeof *work);
    struct tare_pool *pool = NULL;
    assert_int_equal(tare_pool_open(&pool, 1, NULL), TARE_OK);
    double best = 1e9;
    const int repeats = tokens == 1 ? 50 : 2;
    for (int i = 0; i < 5; i++) {
        const double start = now();
        for (int r = 0; r < repeats; r++)
            tare_matmul(k, pool, &s.m, NULL, x, 2048, tokens, y, 512, &work);
        const double t = (now() - start) / repeats;
        best = t < best ? t : best;
    }
    printf("%-7s %-5s %4lld tokens  %8.2f Gmac/s  %6.2f GB/s of weights\n", k->name, storage_names[storage],
           (long long)tokens, 512 * 2048 * (double)tokens / best * 1e-9, 512 * (double)s.m.stride / best * 1e-9);
    tare_pool_free(pool);
    free(work);
    unguard(&gx);
    unguard(&gy);
    discard(&s);
}

static void bench(const struct tare_kernels *k)
{
    for (int storage = 0; storage < TARE_STORE_T4; storage++) {
        bench_one(k, (enum tare_storage)storage, 1);
        bench_one(k, (enum tare_storage)storage, 128);
    }
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "--bench")) {
        each_set(bench);
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pick),      cmocka_unit_test(test_matrices),  cmocka_unit_test(test_panels),
        cmocka_unit_test(test_attention), cmocka_unit_test(test_functions), cmocka_unit_test(test_not_numbers),
        cmocka_unit_test(test_products),  cmocka_unit_test(test_scans),     cmocka_unit_test(test_deltas),
        cmocka_unit_test(test_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
