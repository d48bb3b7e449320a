/* SPDX-License-Identifier: MIT
 * test_calibrate.c - calibrating: the factor of a Gram matrix, GPTQ's codes against a plain one of the paper, and that folding
 * changes nothing but what is rounded. */
#include "fixture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "quantize/calibrate/calibrate.h"
#include "tare/convert.h"
#include "tare/plan.h"

#define N 150 /* columns: more than a block, and no multiple of one */
#define GROUP 50
#define ROWS 21
#define TOKENS 700

static uint32_t state = 1;

static float noise(void)
{
    float sum = 0;
    for (int k = 0; k < 4; k++) {
        state = state * 1664525u + 1013904223u;
        sum += (float)(state >> 8) / (float)(1 << 24) - 0.5f;
    }
    return sum;
}

/* Inputs whose columns are unlike in size and go together. */
static void make_inputs(float *x)
{
    for (int t = 0; t < TOKENS; t++) {
        const float common = noise();
        for (int c = 0; c < N; c++)
            x[t * N + c] = (noise() + common) * (0.1f + (float)(c * 37 % N) / N);
    }
}

struct setup {
    struct tare_kernels kernels;
    struct tare_pool *pool;
    struct tare_gram *gram;
    float *x, *w;
};

static struct setup begin(int threads)
{
    struct setup s = {.x = malloc(sizeof(float) * TOKENS * N), .w = malloc(sizeof(float) * ROWS * N)};
    state = 1;
    make_inputs(s.x);
    for (int i = 0; i < ROWS * N; i++)
        s.w[i] = noise();
    assert_true(tare_kernels_pick(&s.kernels, NULL));
    assert_int_equal(tare_pool_open(&s.pool, threads, NULL), TARE_OK);
    assert_true(tare_gram_open(&s.gram, N));
    for (int t = 0; t < TOKENS; t += 130) /* parts of unlike size */
        tare_gram_add(s.gram, &s.kernels, s.pool, s.x + t * N, N, TOKENS - t < 130 ? TOKENS - t : 130);
    tare_gram_finish(s.gram, &s.kernels, s.pool);
    return s;
}

static void end(struct setup *s)
{
    tare_gram_free(s->gram);
    tare_pool_free(s->pool);
    free(s->x);
    free(s->w);
}

static void test_gram(void **unused)
{
    (void)unused;
    struct setup s = begin(2);
    for (int i = 0; i < N; i += 7)
        for (int k = 0; k < N; k++) {
            double sum = 0;
            for (int t = 0; t < TOKENS; t++)
                sum += (double)s.x[t * N + i] * (double)s.x[t * N + k];
            assert_true(fabs((double)s.gram->sum[i * N + k] - sum) < 1e-3 * (1 + fabs(sum)));
        }
    end(&s);
}

/* U^T U A = 1, U being upper. */
static void test_factor(void **unused)
{
    (void)unused;
    struct setup s = begin(2);
    float *u = malloc(sizeof(float) * N * N);
    double *product = malloc(sizeof(double) * N * N);
    bool memory = false;
    for (int i = 0; i < N; i++)
        s.gram->sum[i * N + i] += 1;
    memcpy(u, s.gram->sum, sizeof(float) * N * N);
    assert_true(tare_factor_inverse(u, N, &s.kernels, s.pool, &memory));
    for (int i = 0; i < N; i++) /* u has U transposed */
        for (int j = 0; j < N; j++) {
            product[i * N + j] = 0;
            for (int k = 0; k <= (i < j ? i : j); k++)
                product[i * N + j] += (double)u[i * N + k] * (double)u[j * N + k];
        }
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            double sum = 0;
            for (int k = 0; k < N; k++)
                sum += product[i * N + k] * (double)s.gram->sum[k * N + j];
            assert_true(fabs(sum - (i == j)) < 1e-3);
        }
    s.gram->sum[0] = -1; /* no square of anything */
    memcpy(u, s.gram->sum, sizeof(float) * N * N);
    assert_false(tare_factor_inverse(u, N, &s.kernels, s.pool, &memory));
    assert_true(memory);
    free(u);
    free(product);
    end(&s);
}

static double error_of(const struct setup *s, const float *w)
{
    float *d = malloc(sizeof(float) * ROWS * N);
    double room[ROWS];
    for (int i = 0; i < ROWS * N; i++)
        d[i] = w[i] - s->w[i];
    const double error = tare_gram_error(s->gram, d, ROWS, &s->kernels, s->pool, room);
    free(d);
    return error;
}

/* The inverse of a symmetric positive definite matrix of the last n columns, by Gauss and Jordan. */
static void invert(const double *a, int n, double *inverse)
{
    double *work = malloc(sizeof(double) * (size_t)(2 * n * n));
    for (int i = 0; i < n; i++)
        for (int k = 0; k < n; k++) {
            work[i * 2 * n + k] = a[i * N + k];
            work[i * 2 * n + n + k] = i == k;
        }
    for (int p = 0; p < n; p++) {
        const double pivot = work[p * 2 * n + p];
        for (int k = 0; k < 2 * n; k++)
            work[p * 2 * n + k] /= pivot;
        for (int i = 0; i < n; i++) {
            const double factor = i == p ? 0 : work[i * 2 * n + p];
            for (int k = 0; k < 2 * n && factor != 0; k++)
                work[i * 2 * n + k] -= factor * work[p * 2 * n + k];
        }
    }
    for (int i = 0; i < n; i++)
        memcpy(inverse + i * n, work + i * 2 * n + n, sizeof(double) * (size_t)n);
    free(work);
}

/*
 * Optimal Brain Quantization as the paper's equation 2 has it, of one row from left to right: the error of a column goes to
 * the others by a row of the inverse of what is left of the Gram matrix, which is inverted anew for each column.
 */
static void plain_row(const double *gram, const struct tare_integer_form *form, float *row)
{
    double w[N], *inverse = malloc(sizeof(double) * N * N);
    for (int i = 0; i < N; i++)
        w[i] = (double)row[i];
    struct tare_integer_grid grid = {0};
    for (int k = 0; k < N; k++) {
        if (k % GROUP == 0) {
            float now[GROUP];
            for (int i = 0; i < GROUP; i++)
                now[i] = (float)w[k + i];
            grid = tare_integer_grid_fit(form, TARE_F16, now, GROUP);
        }
        invert(gram + k * N + k, N - k, inverse);
        const int code = tare_integer_grid_code(&grid, (1 << form->bits) - 1, 1 / grid.scale, (float)w[k]);
        row[k] = grid.scale * (float)(code - grid.zero);
        const double error = (w[k] - (double)row[k]) / inverse[0];
        for (int i = k + 1; i < N; i++)
            w[i] -= error * inverse[i - k];
    }
    free(inverse);
}

static float *solve(const struct setup *s, struct tare_gptq_job *job, struct tare_outcome_record *record,
                    struct tare_outcome_arrays *to)
{
    const struct tare_outcome_head head = {
        .kind = TARE_OUTCOME_ORDERED, .rows = ROWS, .columns = N, .groups = N / GROUP, .bits = job->form->bits};
    struct tare_gptq_factor factor;
    struct tare_error err = {0};
    float *w = malloc(sizeof(float) * ROWS * N);
    memcpy(w, s->w, sizeof(float) * ROWS * N);
    job->gram = s->gram;
    job->kernels = &s->kernels;
    job->pool = s->pool;
    assert_true(tare_outcome_add(record, &head, to));
    assert_int_equal(tare_gptq_factor(&factor, job, "w", &err), TARE_OK);
    assert_int_equal(tare_gptq_solve(job, &factor, w, ROWS, to, &err), TARE_OK);
    tare_gptq_release(&factor);
    return w;
}

/* Codes, scales, zeros and g_idx say what w says. */
static void check_outcome(const float *w, const struct tare_outcome_arrays *to, int bits, bool ordered)
{
    uint8_t code[N];
    for (int r = 0; r < ROWS; r++) {
        tare_outcome_unpack(to->codes + (size_t)r * tare_outcome_row(N, bits), bits, N, code);
        for (int i = 0; i < N; i++) {
            const int g = r * (N / GROUP) + (ordered ? to->g_idx[i] : i / GROUP);
            assert_true(w[r * N + i] == to->scale[g] * (float)(code[i] - to->zero[g])); /* to the bit */
        }
    }
}

static void test_gptq(void **unused)
{
    (void)unused;
    struct setup s = begin(2), one = begin(1);
    for (int bits = 2; bits <= 4; bits++)
        for (int order = 0; order < 3; order++)
            for (int symmetric = 0; symmetric < 2; symmetric++) {
                const struct tare_integer_form form = {bits, GROUP, symmetric, 0};
                struct tare_gptq_job job = {
                    .form = &form, .dtype = TARE_F16, .order = (enum tare_act_order)order, .damp = 0.01};
                struct tare_outcome_record record = {0}, again = {0};
                struct tare_outcome_arrays to, there;
                float *rounded = malloc(sizeof(float) * ROWS * N), *w = solve(&s, &job, &record, &to);
                float *same = solve(&one, &job, &again, &there);
                memcpy(rounded, s.w, sizeof(float) * ROWS * N);
                for (int r = 0; r < ROWS; r++)
                    tare_integer_round_row(&form, TARE_F16, rounded + r * N, N);
                assert_true(error_of(&s, w) < 0.8 * error_of(&s, rounded));
                assert_memory_equal(w, same, sizeof(float) * ROWS * N); /* for any number of threads */
                check_outcome(w, &to, bits, order == TARE_ORDER_FULL);
                free(rounded);
                free(w);
                free(same);
                free(record.bytes);
                free(again.bytes);
            }
    end(&s);
    end(&one);
}

/* Of the codes from left to right nearly all are those of the plain algorithm in doubles; the error is the same. */
static void test_gptq_plain(void **unused)
{
    (void)unused;
    struct setup s = begin(2);
    const struct tare_integer_form form = {3, GROUP, false, 0};
    struct tare_gptq_job job = {.form = &form, .dtype = TARE_F16, .order = TARE_ORDER_NONE, .damp = 0.01};
    struct tare_outcome_record record = {0};
    struct tare_outcome_arrays to;
    double *gram = malloc(sizeof(double) * N * N), mean = 0;
    float *plain = malloc(sizeof(float) * ROWS * N), *w = solve(&s, &job, &record, &to);
    memcpy(plain, s.w, sizeof(float) * ROWS * N);
    for (int i = 0; i < N * N; i++)
        gram[i] = (double)s.gram->sum[i];
    for (int i = 0; i < N; i++)
        mean += gram[i * N + i] / N;
    for (int i = 0; i < N; i++)
        gram[i * N + i] += 0.01 * mean;
    int unlike = 0;
    for (int r = 0; r < 3; r++) { /* each inverts N matrices */
        plain_row(gram, &form, plain + r * N);
        for (int i = 0; i < N; i++)
            unlike += fabsf(plain[r * N + i] - w[r * N + i]) > 1e-3f;
    }
    assert_true(unlike <= 3 * N / 50);
    free(gram);
    free(plain);
    free(w);
    free(record.bytes);
    end(&s);
}

/* ---- folding --------------------------------------------------------------------------------------------------- */

/* What a part gives before and after folding; returns how many vectors changed. */
static size_t fold_part(struct tare_walk *walk, struct tare_quantizing *q, const struct tare_model *model,
                        int64_t layer, int part)
{
    const size_t n = (size_t)(walk->sequences * walk->length * walk->decoder->dim);
    struct tare_outcome_record record = {0};
    struct tare_part_work work = {.walk = walk, .layer = layer, .part = part, .record = &record};
    struct tare_error err = {0};
    float *before = malloc(n * sizeof *before), *after = malloc(n * sizeof *after);
    assert_int_equal(tare_walk_part(walk, layer, part, walk->sequences, NULL, before, &err), TARE_OK);
    assert_int_equal(tare_part_find(&work, q, model, &err), TARE_OK);
    assert_int_equal(work.n, part ? 3 : 4); /* gate, up and down; q, k, v and o */
    assert_int_equal(work.n_sets, 2);
    assert_int_equal(tare_part_observe(&work, 0, work.n_sets, &err), TARE_OK);
    assert_int_equal(tare_awq_fold(&work, q->own, &err), TARE_OK);
    assert_int_equal(tare_walk_part(walk, layer, part, walk->sequences, NULL, after, &err), TARE_OK);
    for (size_t i = 0; i < n; i++)
        assert_true(fabsf(after[i] - before[i]) <= 1e-4f * (1 + fabsf(before[i])));
    const size_t vectors = work.n_vectors;
    tare_part_release(&work);
    memcpy(walk->x, before, n * sizeof *before);
    free(record.bytes);
    free(before);
    free(after);
    return vectors;
}

static void test_fold(void **unused)
{
    (void)unused;
    char *folder = fixture_begin();
    tare_model *packed = NULL, *model = NULL;
    struct tare_error err = {0};
    struct tare_convert_options dense = TARE_CONVERT_OPTIONS_INIT;
    dense.to = "dense";
    assert_int_equal(tare_plan(&packed, TARE_SOURCE_DIR "/models/fable", NULL, &err), TARE_OK);
    assert_int_equal(tare_convert(packed, fixture_path(folder, "floats"), &dense, &err), TARE_OK);
    assert_int_equal(tare_plan(&model, fixture_path(folder, "floats"), NULL, &err), TARE_OK);
    int32_t ids[192];
    for (int i = 0; i < 192; i++)
        ids[i] = i * 37 % 2048;
    struct tare_quantize_options options = TARE_QUANTIZE_OPTIONS_INIT;
    options.calibrate = ids;
    options.n_calibrate = 192;
    options.bits = 3; /* floats that were codes of 4 bits once, so that something is to be gained */
    options.group = 64;
    options.scheme = "asymmetric";
    options.method = "awq";
    struct tare_quantizing q = {.options = &options, .target = &tare_quantize_target_gptq_v2};
    struct tare_walk walk;
    assert_int_equal(q.target->begin(&q, &err), TARE_OK);
    assert_int_equal(tare_integer_places(q.own, model, &err), TARE_OK);
    assert_int_equal(tare_walk_open(&walk, model, &options, 64, true, &err), TARE_OK);
    size_t vectors = 0;
    for (int64_t layer = 0; layer < walk.decoder->n_layers; layer++) {
        assert_int_equal(tare_walk_layer(&walk, layer, &err), TARE_OK);
        for (int part = 0; part < 2; part++)
            vectors += fold_part(&walk, &q, model, layer, part);
    }
    assert_true(vectors >= 6); /* half of the norms at least */
    tare_walk_close(&walk);
    q.target->release(&q);
    tare_arena_release(&q.arena);
    tare_model_free(packed);
    tare_model_free(model);
    fixture_end(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gram),       cmocka_unit_test(test_factor), cmocka_unit_test(test_gptq),
        cmocka_unit_test(test_gptq_plain), cmocka_unit_test(test_fold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
